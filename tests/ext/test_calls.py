"""One call: the request, the result or exception for each response, retries and logging."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
import pickle
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from email.utils import format_datetime
from operator import attrgetter
from typing import Any

import httpx
import pytest

from charthero_ext import AsyncChartHero, ChartHero, Settings, Timeouts
from charthero_ext._response import retry_after
from charthero_ext.errors import (
    ApiStatusError,
    AuthenticationError,
    ChartHeroError,
    ConfigurationError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RequestTimeoutError,
    ServiceUnavailableError,
    TransportError,
    UnexpectedResponseError,
)
from charthero_ext.models import AudioUrl, Document, Encounter, EncounterPage, Transcript

from .conftest import EITHER_CLIENT, HOST, KEY, Server, async_client, awaited, connected, example, ok, perform, settings

MakeClient = Callable[..., ChartHero]
BODY = {"error": "request_failed", "reason_code": "invalid_limit", "message": "A sentence.", "field": "limit"}


@EITHER_CLIENT
@pytest.mark.parametrize(
    ("operation", "model", "ids"),
    [
        ("encounters.list", EncounterPage, []),
        ("encounters.get", Encounter, ["enc_1"]),
        ("documents.get", Document, ["enc_1", "doc_1"]),
        ("documents.transcript", Transcript, ["enc_1", "doc_1"]),
        ("documents.audio", AudioUrl, ["enc_1", "doc_1"]),
    ],
)
def test_each_operation_returns_the_body_as_its_model(
    kind: Any, operation: str, model: type[Any], ids: list[str]
) -> None:
    read = perform(connected(kind, Server(ok(operation))), lambda ch: attrgetter(operation)(ch)(*ids))
    body = example(operation)
    assert type(read) is model
    assert read.to_dict() == body.get("encounter", body.get("document", body))


@pytest.mark.parametrize("operation", ["encounters.get", "documents.get"])
@pytest.mark.parametrize("bare", [True, False])
def test_a_detail_body_may_have_an_envelope_or_none(client: MakeClient, operation: str, bare: bool) -> None:
    body = example(operation)
    inner = next(iter(body.values()))
    ch = client(Server(httpx.Response(200, json=inner if bare else body)))
    read = ch.encounters.get("enc_1") if operation == "encounters.get" else ch.documents.get("enc_1", "doc_1")
    assert read.to_dict() == inner


def test_the_key_is_sent_in_a_header_and_the_arguments_in_the_query(client: MakeClient) -> None:
    server = Server(ok("encounters.list"))
    client(server).encounters.list(limit=5, start_at="2026-05-01T15:00:00+02:00", sort_order="asc")
    (request,) = server.requests
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert dict(request.url.params) == {"limit": "5", "start_at": "2026-05-01T13:00:00+00:00", "sort_order": "asc"}
    assert KEY not in str(request.url)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (datetime(2026, 5, 1, 15, tzinfo=UTC), "2026-05-01T15:00:00+00:00"),
        (datetime(2026, 5, 1, 15, tzinfo=timezone(timedelta(hours=-3))), "2026-05-01T18:00:00+00:00"),
        (date(2026, 5, 1), "2026-05-01T00:00:00+00:00"),
        ("2026-05-01", "2026-05-01T00:00:00+00:00"),
        ("20260501", "2026-05-01T00:00:00+00:00"),
        ("2026-W18-5", "2026-05-01T00:00:00+00:00"),
        ("2026-121", "2026-05-01T00:00:00+00:00"),
        ("2026-05-01T15:00:00Z", "2026-05-01T15:00:00+00:00"),
        ("20260501T150000Z", "2026-05-01T15:00:00+00:00"),
    ],
)
def test_a_timestamp_may_be_a_datetime_a_date_or_iso_text(client: MakeClient, given: Any, sent: str) -> None:
    server = Server(ok("encounters.list"))
    client(server).encounters.list(end_at=given)
    assert server.requests[0].url.params["end_at"] == sent


def test_a_datetime_of_pendulum_bounds_a_walk(client: MakeClient) -> None:
    pendulum = pytest.importorskip("pendulum")
    server = Server(httpx.Response(200, json={"items": [], "total": 0}))
    assert list(client(server).encounters.iter(start_at=pendulum.datetime(2026, 5, 1))) == []
    assert server.requests[0].url.params["start_at"] == "2026-05-01T00:00:00+00:00"


@pytest.mark.parametrize("given", ["yesterday", "", 5, 1.5, True])
def test_invalid_timestamp_error_names_the_argument(client: MakeClient, given: Any) -> None:
    with pytest.raises(ValueError, match=r"^end_at "):
        client(Server(ok("encounters.list"))).encounters.list(end_at=given)


@pytest.mark.parametrize("given", [datetime(2026, 5, 1), "2026-05-01T15:00:00", "2026-05-01T15"])
def test_a_timestamp_without_a_time_zone_is_refused(client: MakeClient, given: Any) -> None:
    with pytest.raises(ValueError, match="start_at has no time zone"):
        client(Server(ok("encounters.list"))).encounters.list(start_at=given)


@pytest.mark.parametrize("identifier", ["", "  ", ".", "..", "enc_\ud800", None])
def test_an_invalid_id_is_refused_before_a_request_is_sent(client: MakeClient, identifier: Any) -> None:
    server = Server(ok())
    with pytest.raises(ValueError, match="encounter_id"):
        client(server).encounters.get(identifier)
    assert server.requests == []


@pytest.mark.parametrize("identifier", ["a/b", "../admin", "a?b=c", "a#b", "a b", "ä", "%2e%2e", "a\nb"])
def test_an_id_is_always_one_segment_of_the_path(client: MakeClient, identifier: str) -> None:
    server = Server(ok())
    client(server).encounters.get(identifier)
    path = server.requests[0].url.raw_path.decode()
    assert path.startswith("/external/v1/encounters/")
    assert path.count("/") == 4
    assert "?" not in path


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequestError),
        (401, AuthenticationError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (409, ApiStatusError),
        (422, InvalidRequestError),
        (429, RateLimitedError),
        (499, ApiStatusError),
        (500, ServiceUnavailableError),
        (503, ServiceUnavailableError),
        (520, ServiceUnavailableError),
    ],
)
def test_each_status_raises_its_exception(client: MakeClient, status: int, kind: type[ApiStatusError]) -> None:
    with pytest.raises(ApiStatusError) as caught:
        client(Server(httpx.Response(status, json=BODY)), attempts=1).encounters.get("enc_1")
    error = caught.value
    assert type(error) is kind
    assert (error.status_code, error.reason_code, error.field, error.server_message) == (
        status,
        "invalid_limit",
        "limit",
        "A sentence.",
    )
    assert error.operation == "encounters.get"
    error.add_note("while syncing")
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert (type(twin), str(twin), vars(twin)) == (type(error), str(error), {**vars(error), "server_message": None})
        assert twin.__notes__ == ["while syncing"]


def test_a_permission_error_names_the_required_scopes(client: MakeClient) -> None:
    with pytest.raises(PermissionDeniedError, match="recordings:read") as caught:
        client(Server(httpx.Response(403, json=BODY))).documents.audio("enc_1", "doc_1")
    assert caught.value.required_scopes == {"encounters:read", "documents:read", "recordings:read"}
    with pytest.raises(NotFoundError) as missing:
        client(Server(httpx.Response(404, json=BODY))).documents.audio("enc_1", "doc_1")
    assert missing.value.required_scopes == frozenset()


class Cut(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that breaks off."""

    def __iter__(self) -> Iterator[bytes]:
        yield b'{"reason_code": "inv'
        raise httpx.ReadError("synthetic")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self:
            yield chunk


@EITHER_CLIENT
@pytest.mark.parametrize(
    ("headers", "stream"),
    [
        ({}, Cut()),
        ({"Content-Encoding": "gzip"}, httpx.ByteStream(b"no gzip at all")),
        *[
            ({}, httpx.ByteStream(content))
            for content in (
                b"",
                b"<html>Synthetic Person</html>",
                b"[1]",
                b'"text"',
                b'{"reason_code": ["x"]}',
                b"\xff\xfe",
                b"[" * 9999,
            )
        ],
    ],
)
def test_an_unreadable_error_body_does_not_hide_the_status(kind: Any, headers: dict[str, str], stream: Any) -> None:
    client = connected(kind, lambda request: httpx.Response(404, headers=headers, stream=stream))
    with pytest.raises(NotFoundError) as caught:
        perform(client, lambda ch: ch.encounters.get("enc_1"))
    assert caught.value.reason_code is None
    assert str(caught.value) == "encounters.get: HTTP 404; encounter_id enc_1, host localhost:1"


@EITHER_CLIENT
def test_only_the_beginning_of_an_endless_error_body_is_read(kind: Any) -> None:
    read: list[int] = []

    class Endless(httpx.SyncByteStream, httpx.AsyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            while True:
                read.append(1000)
                yield b" " * 1000

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for chunk in self:
                yield chunk

    with pytest.raises(NotFoundError):
        perform(
            connected(kind, lambda request: httpx.Response(404, stream=Endless())),
            lambda ch: ch.encounters.get("enc_1"),
        )
    assert sum(read) < 200_000


def test_the_server_message_is_truncated_and_never_displayed(client: MakeClient) -> None:
    body = {**BODY, "message": "synthetic " * 1000}
    with pytest.raises(InvalidRequestError) as caught:
        client(Server(httpx.Response(400, json=body))).encounters.list()
    assert caught.value.server_message == ("synthetic " * 1000)[:500]
    assert "synthetic" not in f"{caught.value} {caught.value!r} {caught.value.args}"


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, html="<html>Synthetic Person</html>"),
        httpx.Response(200, content=b""),
        httpx.Response(200, content=b'{"encounter": {"encounter_id": "enc'),
        httpx.Response(200, json=[]),
        httpx.Response(200, json=None),
        httpx.Response(200, json={"items": 3}),
        httpx.Response(200, json={"hello": {"encounter_id": 5}}),
        httpx.Response(200, json={"encounter": {"encounter_id": None}}),
        httpx.Response(200, content=b"\xff\xfe\x00"),
        httpx.Response(200, content=b'{"encounter":' + b"[" * 100_000),
        httpx.Response(204),
        httpx.Response(299, json={}),
        httpx.Response(302, headers={"Location": "https://elsewhere.example.test/"}),
    ],
)
def test_a_success_with_an_unexpected_body_raises_one_exception(client: MakeClient, answer: httpx.Response) -> None:
    with pytest.raises(UnexpectedResponseError, match=r"^encounters\.get: ") as caught:
        client(Server(answer), attempts=1).encounters.get("enc_1")
    assert "Person" not in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).args == caught.value.args


def test_a_page_without_items_is_not_an_empty_page(client: MakeClient) -> None:
    for body in ({"limit": 1, "offset": 0, "total": 5}, {"items": None, "total": 5}, {"items": {}, "total": 5}):
        with pytest.raises(UnexpectedResponseError):
            client(Server(httpx.Response(200, json=body)), attempts=1).encounters.list()


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (httpx.ConnectError("ch_sk"), TransportError),
        (httpx.ReadError("ch_sk"), TransportError),
        (httpx.RemoteProtocolError("ch_sk"), TransportError),
        (httpx.ConnectTimeout("ch_sk"), RequestTimeoutError),
        (httpx.PoolTimeout("ch_sk"), RequestTimeoutError),
    ],
)
def test_a_lost_connection_is_retried_and_raises_our_exception(
    client: MakeClient, raised: Exception, kind: type[ChartHeroError]
) -> None:
    server = Server(raised)
    with pytest.raises(kind) as caught:
        client(server, attempts=3).encounters.get("enc_1")
    assert type(caught.value) is kind
    assert len(server.requests) == 3
    assert "ch_sk" not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize(
    "passing",
    [
        httpx.Response(429),
        httpx.Response(500),
        httpx.Response(502, html="<html>"),
        httpx.Response(503),
        httpx.Response(504),
        httpx.Response(520, html="<html>"),
        httpx.Response(200, html="<html>"),
        httpx.Response(200, content=b'{"encounter":'),
        httpx.ReadTimeout(""),
    ],
)
@EITHER_CLIENT
def test_a_temporary_failure_is_retried(kind: Any, passing: httpx.Response | Exception) -> None:
    server = Server(passing, passing, ok())
    read = perform(connected(kind, server), lambda ch: ch.encounters.get("enc_1"))
    assert read.encounter_id == "enc_synthetic_0001"
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 501, 505])
@EITHER_CLIENT
def test_a_permanent_failure_is_not_retried(kind: Any, status: int) -> None:
    server = Server(httpx.Response(status))
    with pytest.raises(ApiStatusError):
        perform(connected(kind, server), lambda ch: ch.encounters.get("enc_1"))
    assert len(server.requests) == 1


def test_retry_after_is_read_as_seconds_milliseconds_or_a_date() -> None:
    now = datetime(2026, 5, 1, 15, tzinfo=UTC)
    later = format_datetime(now + timedelta(seconds=90), usegmt=True)
    assert retry_after({"retry-after": "7"}) == 7
    assert retry_after({"retry-after": "0.5"}) == 0.5
    assert retry_after({"retry-after-ms": "250", "retry-after": "9"}) == 0.25
    assert retry_after({"retry-after": later}, now=now) == 90
    assert retry_after({"retry-after": format_datetime(now)}, now=now + timedelta(days=1)) == 0
    assert retry_after({}) is retry_after({"retry-after": " "}) is None


@pytest.mark.parametrize("value", ["soon", "-1", "nan", "inf", "9" * 40, "1777647600", "Thu, 99 Foo 2026", "120 s"])
def test_an_invalid_or_huge_retry_after_means_one_day(value: str) -> None:
    assert retry_after({"retry-after": value}) == 86_400


def test_the_longest_of_several_retry_after_values_is_used() -> None:
    assert retry_after(httpx.Headers([("Retry-After", "7"), ("Retry-After", "120")])) == 120
    assert retry_after({"retry-after": "120, 7"}) == 120
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT, 120"}) == 120


@EITHER_CLIENT
def test_a_refused_key_is_retried_once_and_only_with_another_key(kind: Any) -> None:
    def sent(keys: list[str], *answers: httpx.Response) -> list[str]:
        source, server = iter(keys), Server(*answers)
        call = connected(kind, server, api_key=lambda: next(source))
        with contextlib.suppress(AuthenticationError):
            perform(call, lambda ch: ch.encounters.get("enc_1"))
        return [request.headers["authorization"] for request in server.requests]

    refused = httpx.Response(401)
    assert sent(["ch_sk_old", "ch_sk_new"], refused, ok()) == ["Bearer ch_sk_old", "Bearer ch_sk_new"]
    assert sent(["ch_sk_old", "ch_sk_old"], refused) == ["Bearer ch_sk_old"]
    assert sent(["ch_sk_1", "ch_sk_2", "ch_sk_3"], refused) == ["Bearer ch_sk_1", "Bearer ch_sk_2"]


def test_an_error_of_a_key_source_shows_its_class_and_place_but_not_its_message(client: MakeClient) -> None:
    def broken() -> str:
        raise RuntimeError("ch_sk_in_the_message")

    with pytest.raises(
        ConfigurationError, match=r"callable given as api_key failed \(RuntimeError at test_calls.py:\d+\)"
    ) as caught:
        client(Server(ok()), api_key=broken).encounters.get("enc_1")
    assert caught.value.__context__ is None


@pytest.mark.parametrize("first", [httpx.Response(503), httpx.ReadError("")])
def test_a_key_source_that_fails_before_a_retry_ends_the_call(client: MakeClient, first: Any) -> None:
    keys = iter(["ch_sk_once"])
    server = Server(first)
    with pytest.raises(ConfigurationError):
        client(server, api_key=lambda: next(keys)).encounters.get("enc_1")
    assert len(server.requests) == 1


def test_an_async_key_source_needs_the_async_client(client: MakeClient) -> None:
    async def fetch() -> str:
        return "ch_sk_awaited"

    async def main() -> str:
        server = Server(ok())
        async with async_client(server, api_key=fetch) as ch:
            await ch.encounters.get("enc_1")
        return server.requests[0].headers["authorization"]

    assert asyncio.run(main()) == "Bearer ch_sk_awaited"
    with pytest.raises(ConfigurationError, match="AsyncChartHero"):
        client(Server(ok()), api_key=fetch).encounters.get("enc_1")


def test_the_key_does_not_follow_a_redirect() -> None:
    seen: list[tuple[str, str | None]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append((request.url.host, request.headers.get("authorization")))
        return httpx.Response(302, headers={"Location": "https://elsewhere.example.test/"})

    own = httpx.Client(transport=httpx.MockTransport(answer), follow_redirects=True)
    with own, ChartHero(settings=settings(), http_client=own) as ch, pytest.raises(UnexpectedResponseError):
        ch.encounters.get("enc_1")
    assert seen == [("localhost", f"Bearer {KEY}")]


def test_every_request_has_timeouts_and_a_call_can_change_them(client: MakeClient) -> None:
    server = Server(ok())
    ch = client(server)
    ch.encounters.get("enc_1")
    ch.encounters.get("enc_1", timeout=1.5)
    ch.encounters.get("enc_1", timeout=Timeouts(read=2))
    first, second, third = (request.extensions["timeout"] for request in server.requests)
    assert first == {"connect": 5.0, "read": 30.0, "write": 30.0, "pool": 30.0}
    assert set(second.values()) == {1.5}
    assert third["read"] == 2


def test_a_closed_client_refuses_calls(client: MakeClient) -> None:
    ch = client(Server(ok()))
    ch.close()
    ch.close()
    with pytest.raises(ConfigurationError, match="closed"):
        ch.encounters.get("enc_1")


def test_an_async_client_works_in_one_event_loop_only() -> None:
    ch = async_client(Server(ok()))
    asyncio.run(ch.encounters.get("enc_1"))
    with pytest.raises(ConfigurationError, match="another event loop"):
        asyncio.run(ch.encounters.get("enc_1"))


@awaited
async def test_a_call_can_be_cancelled_while_it_waits_for_a_retry() -> None:
    async with async_client(Server(httpx.Response(503, headers={"Retry-After": "20"}))) as ch:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ch.encounters.get("enc_1"), timeout=0.2)


def test_httpx_args_cannot_replace_auth_or_timeout() -> None:
    with pytest.raises(ConfigurationError, match="httpx_args does not allow auth, timeout"):
        ChartHero(settings=settings(), httpx_args={"auth": None, "timeout": None})


def test_each_attempt_is_one_log_line_without_ids(client: MakeClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(NotFoundError):
        client(Server(httpx.Response(503), httpx.ConnectError(""), httpx.Response(404, json=BODY))).encounters.get(
            "enc_secret"
        )
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split(" ms ")[1] for line in lines] == ["attempt 1", "attempt 2", "attempt 3"]
    assert [line.split()[:3] for line in lines] == [
        ["encounters.get", "503", "ServiceUnavailableError"],
        ["encounters.get", "-", "TransportError"],
        ["encounters.get", "404", "invalid_limit"],
    ]
    assert "enc_secret" not in caplog.text


@pytest.mark.parametrize("name", ["httpx", "httpcore.connection", "httpcore.http11", "httpcore.http2", "hpack.hpack"])
def test_loggers_of_httpx_are_quiet_only_during_a_call(
    client: MakeClient, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    caplog.set_level(logging.DEBUG)

    def answer(request: httpx.Request) -> httpx.Response:
        logging.getLogger(name).debug("canary %s", request.headers)
        return ok()

    client(answer).encounters.get("enc_1")
    assert "canary" not in caplog.text
    logging.getLogger(name).debug("outside")
    assert "outside" in caplog.text


def test_http_logging_enables_the_log_of_httpx(client: MakeClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="httpx")
    client(Server(ok()), http_logging=True).encounters.get("enc_1")
    assert "HTTP Request" in caplog.text


def test_settings_replace_api_key_and_base_url() -> None:
    own = Settings.load(api_key=KEY, base_url=HOST)
    assert ChartHero(settings=own).settings is own
    assert AsyncChartHero(settings=own).settings is own


def test_a_deprecated_operation_warns_at_the_line_of_the_caller(
    client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charthero_ext._operations.DEPRECATED", frozenset({"encounters.get"}))
    ch = client(Server(ok()))
    with pytest.warns(DeprecationWarning, match=r"deprecated encounters\.get") as caught:
        ch.encounters.get("enc_1")
    assert [warning.filename for warning in caught] == [__file__]
