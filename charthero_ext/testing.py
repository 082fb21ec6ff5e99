"""Tools to test an integration: a pytest plugin, and cassettes without secrets or patients' data.

pytest loads the plugin wherever this package is installed. Its fixtures need the extra ``testing``::

    def test_sync(charthero_sandbox, charthero_client):
        charthero_sandbox.append()
        assert charthero_client.encounters.list(limit=1).total == 1001

For vcrpy and pytest-recording, override their fixture::

    @pytest.fixture
    def vcr_config():
        return charthero_ext.testing.vcr_config()
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from http import HTTPStatus
from itertools import product
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

if TYPE_CHECKING:
    from charthero_client.decoding import Model

    from charthero_ext import AsyncChartHero, ChartHero, Settings
    from charthero_ext.sandbox import Sandbox

__all__ = [
    "charthero_async_client",
    "charthero_client",
    "charthero_sandbox",
    "charthero_sandbox_options",
    "charthero_webhooks",
    "scrubbed",
    "vcr_config",
]

SCRUBBED = "scrubbed"
SCRUBBED_URL = "https://scrubbed.invalid/"
API_HOST = "api.example.test"
#: A WAV file with a hundredth of a second of silence: one channel, 8000 samples a second, one byte each.
SILENCE = (
    b"RIFF\x74\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00"
    b"\x40\x1f\x00\x00\x40\x1f\x00\x00\x01\x00\x08\x00data\x50\x00\x00\x00"
) + bytes([128] * 80)
#: The query parameters of the API, and the values of each that a cassette keeps.
QUERY = {
    "limit": r"-?\d{1,6}",
    "offset": r"-?\d{1,6}",
    "sort_order": "asc|desc",
    "start_at": r"\d{4}-\d\d-\d\d[T\d:.Z+-]*",
    "end_at": r"\d{4}-\d\d-\d\d[T\d:.Z+-]*",
}


@pytest.fixture
def charthero_sandbox_options() -> dict[str, Any]:
    """Return the arguments of the sandbox. Override this fixture to change them."""
    return {"encounters": 1000}


@pytest.fixture
def charthero_sandbox(charthero_sandbox_options: dict[str, Any]) -> Iterator[Sandbox]:
    """Start a local ChartHero with synthetic data on a free port, for one test."""
    from charthero_ext.sandbox import Sandbox

    with Sandbox(**charthero_sandbox_options) as sandbox:
        yield sandbox


@pytest.fixture
def charthero_client(charthero_sandbox: Sandbox) -> Iterator[ChartHero]:
    """Return a client of the sandbox. It ignores the environment and connects only to this machine."""
    from charthero_ext import ChartHero

    with ChartHero(settings=_local_settings(charthero_sandbox)) as client:
        yield client


@pytest.fixture
def charthero_async_client(charthero_sandbox: Sandbox) -> AsyncChartHero:
    """Return an async client of the sandbox. Close it in the test: ``async with charthero_async_client as ch``."""
    from charthero_ext import AsyncChartHero

    return AsyncChartHero(settings=_local_settings(charthero_sandbox))


@pytest.fixture
def charthero_webhooks(charthero_sandbox: Sandbox) -> Any:
    """Return the sandbox's webhooks: the receiver's URL, the signing secret, and the attempts so far."""
    return charthero_sandbox.webhooks


def _local_settings(sandbox: Sandbox) -> Settings:
    from charthero_ext import Settings
    from charthero_ext.config import is_loopback
    from charthero_ext.errors import ConfigurationError

    if not is_loopback(urlsplit(sandbox.base_url).hostname or ""):
        raise ConfigurationError("the test client connects only to this machine; use a sandbox on loopback")
    return Settings.load(api_key=sandbox.api_key, base_url=sandbox.base_url)


def vcr_config() -> dict[str, Any]:
    """Return a configuration for vcrpy that keeps secrets and patients' data out of cassettes.

    A cassette keeps the route and the known query parameters of a request, and the status of a response. From the body
    it keeps the fields that a repr may show: ids, instants, enumerations, counts. Placeholders of the same type replace
    keys, signed URLs, recordings, patients and clinical text: a date stays a date, and a recording becomes a short WAV
    file. Unknown fields and headers are dropped. Responses still decode, and a cassette replays against any host.
    """
    return {
        "decode_compressed_response": True,
        "before_record_request": _scrub_request,
        "before_record_response": _scrub_response,
        "match_on": ["method", "path", "query"],
    }


def scrubbed(model: Model) -> dict[str, Any]:
    """Return a model as JSON. A placeholder of the same type replaces every value that its repr hides."""
    from charthero_client.decoding import UNSET

    return {
        model._names.get(field.name, field.name): _recorded(model, field)
        for field in _fields(type(model))
        if getattr(model, field.name) is not UNSET
    }


def _recorded(model: Model, field: Any) -> Any:
    from charthero_client.decoding import Model, encode
    from charthero_client.showing import is_shown

    value = getattr(model, field.name)
    if isinstance(value, Model):
        return scrubbed(value)
    if isinstance(value, list):
        return [scrubbed(item) for item in value if isinstance(item, Model)]
    if value is None or is_shown(model, field.name):
        return encode(value)
    if isinstance(value, (bool, int, float)):
        return type(value)(0)
    if isinstance(value, datetime):
        return "1970-01-01T00:00:00Z"
    if field.metadata.get("format") == "date":
        return "1970-01-01"
    return SCRUBBED_URL if field.name.endswith("_url") else SCRUBBED


def _is_a_route(path: str) -> bool:
    from charthero_client.contract import ROUTES

    return any(re.fullmatch(re.sub(r"\{\w+\}", "[A-Za-z0-9_.:-]{1,80}", route), path) for _, route in ROUTES.values())


def _scrub_request(request: Any) -> Any:
    parts = urlsplit(request.uri)
    # A media URL may look like a route, but only a request to the API has a key. vcrpy also passes scrubbed requests.
    is_api = "authorization" in request.headers or parts.netloc == API_HOST
    request.uri = SCRUBBED_URL
    if is_api and _is_a_route(parts.path):
        query = [
            (name, value if re.fullmatch(QUERY[name], value) else SCRUBBED)
            for name, value in parse_qsl(parts.query, keep_blank_values=True)
            if name in QUERY
        ]
        request.uri = f"https://{API_HOST}{parts.path}{'?' if query else ''}{urlencode(query)}"
    request.headers = {}
    request.body = None
    return request


def _scrub_response(response: dict[str, Any]) -> dict[str, Any]:
    code = response["status"]["code"]
    sent = {
        name.lower(): values if isinstance(values, str) else values[0] for name, values in response["headers"].items()
    }
    media_type = sent.get("content-type", "").partition(";")[0].strip().lower()
    body = _scrub_body(response["body"].get("string") or b"")
    if body is not None:
        media_type = "application/json"
    elif media_type in ("text/html", "text/plain") or code not in (200, 206):
        media_type, body = "text/html" if media_type == "text/html" else "text/plain", b""
    else:
        code, media_type, body = 200, "audio/wav", SILENCE
    headers = {"content-type": [media_type]}
    for name in ("retry-after", "date"):
        value = _delay_or_date(sent.get(name, ""))
        if value is not None:
            headers[name] = [value]
    phrase = HTTPStatus(code).phrase if code in set(HTTPStatus) else ""
    return {"status": {"code": code, "message": phrase}, "headers": headers, "body": {"string": body}}


def _delay_or_date(value: str) -> str | None:
    """Return a header's value if it is a number of seconds or an HTTP date."""
    if re.fullmatch(r"[0-9]{1,9}", value):
        return value
    try:
        return format_datetime(parsedate_to_datetime(value).astimezone(UTC), usegmt=True)
    except (ValueError, OverflowError):
        return None


def _scrub_body(content: bytes) -> bytes | None:
    """Return a JSON body with placeholders, or None if it is not JSON."""
    from charthero_ext.models import ApiError, AudioUrl, Document, Encounter, EncounterPage, Transcript

    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict):
        return b"{}"
    places = {None: body, **{name: value for name, value in body.items() if isinstance(value, dict)}}
    models: tuple[type[Model], ...] = (EncounterPage, Encounter, Document, Transcript, AudioUrl, ApiError)
    # A response does not name its route, so the model with the most names in common is the body.
    model, name = max(product(models, places), key=lambda each: _shared(each[0], places[each[1]]))
    found = scrubbed(model.from_dict(places[name]))
    # The envelope's name comes from the server, and decoding accepts any.
    return json.dumps(found if name is None else {model.__name__.lower(): found}).encode()


def _shared(model: type[Model], body: dict[str, Any]) -> int:
    return len(body.keys() & {model._names.get(field.name, field.name) for field in _fields(model)})


def _fields(model: type[Model]) -> tuple[Any, ...]:
    from attrs import fields

    return tuple(fields(cast("Any", model)))
