"""What partners need to test an integration: a pytest plugin, and recordings without patients in them.

The plugin is there wherever this package and pytest are installed; its fixtures need the extra ``testing``::

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
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

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
#: What a replay needs of an answer's headers; all others may identify somebody or open something.
KEPT_HEADERS = frozenset({"content-type", "retry-after", "date"})


@pytest.fixture
def charthero_sandbox_options() -> dict[str, Any]:
    """Arguments of the sandbox; override this fixture to choose others."""
    return {"encounters": 1000}


@pytest.fixture
def charthero_sandbox(charthero_sandbox_options: dict[str, Any]) -> Iterator[Sandbox]:
    """A local ChartHero on a free port of this machine, with synthetic data, new for each test."""
    from charthero_ext.sandbox import Sandbox

    with Sandbox(**charthero_sandbox_options) as sandbox:
        yield sandbox


@pytest.fixture
def charthero_client(charthero_sandbox: Sandbox) -> Iterator[ChartHero]:
    """A client of the sandbox. It reads nothing from the environment and reaches nothing but this machine."""
    from charthero_ext import ChartHero

    with ChartHero(settings=_local_settings(charthero_sandbox)) as client:
        yield client


@pytest.fixture
def charthero_async_client(charthero_sandbox: Sandbox) -> AsyncChartHero:
    """As ``charthero_client``; close it in the test's own loop: ``async with charthero_async_client as ch``."""
    from charthero_ext import AsyncChartHero

    return AsyncChartHero(settings=_local_settings(charthero_sandbox))


@pytest.fixture
def charthero_webhooks(charthero_sandbox: Sandbox) -> Any:
    """The sandbox's deliveries: where they go, what was sent, and the signing secret."""
    return charthero_sandbox.webhooks


def _local_settings(sandbox: Sandbox) -> Settings:
    from charthero_ext import Settings
    from charthero_ext.config import is_loopback
    from charthero_ext.errors import ConfigurationError

    if not is_loopback(urlsplit(sandbox.base_url).hostname or ""):
        raise ConfigurationError("the test client talks to this machine only; give it a sandbox on loopback")
    return Settings.load(api_key=sandbox.api_key, base_url=sandbox.base_url)


def vcr_config() -> dict[str, Any]:
    """Return the configuration of vcrpy with which nothing that must not reach the disk does.

    A cassette contains the route and query of each request, the status of each response, and the values that a repr
    shows: ids, instants, integers and known values of enumerations. Placeholders of the same type replace all other
    values. Unknown fields are left out, and compressed bodies are unpacked first. A cassette still decodes, and replays
    against any host.
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

    return any(re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", route), path) for _, route in ROUTES.values())


def _scrub_request(request: Any) -> Any:
    parts = urlsplit(request.uri)
    # A request to anywhere else is one for a recording: its URL is a secret, path and query alike.
    is_ours = _is_a_route(parts.path)
    request.uri = parts._replace(scheme="https", netloc="api.example.test").geturl() if is_ours else SCRUBBED_URL
    request.headers = {}
    request.body = None
    return request


def _scrub_response(response: dict[str, Any]) -> dict[str, Any]:
    headers = {name: value for name, value in response["headers"].items() if name.lower() in KEPT_HEADERS}
    return {**response, "headers": headers, "body": {"string": _scrub_body(response["body"].get("string") or b"")}}


def _scrub_body(content: bytes) -> bytes:
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return b""
    if not isinstance(body, dict):
        return b"{}"
    places = {None: body, **{name: value for name, value in body.items() if isinstance(value, dict)}}
    # An answer does not say which route it is of, so it is the model whose names it shares the most of.
    model, name = max(
        ((model, name) for model in _bodies() for name in places), key=lambda each: _shared(each[0], places[each[1]])
    )
    found = scrubbed(model.from_dict(places[name]))
    # The envelope's name comes from the server, and decoding accepts any.
    return json.dumps(found if name is None else {model.__name__.lower(): found}).encode()


def _bodies() -> tuple[type[Model], ...]:
    from charthero_ext import models

    return models.EncounterPage, models.Encounter, models.Document, models.Transcript, models.AudioUrl, models.ApiError


def _shared(model: type[Model], body: dict[str, Any]) -> int:
    return len(body.keys() & {model._names.get(field.name, field.name) for field in _fields(model)})


def _fields(model: type[Model]) -> tuple[Any, ...]:
    from attrs import fields

    return tuple(fields(cast("Any", model)))
