"""A call: what is sent, how each kind of answer ends, what is retried, and that it is one way for sync and async."""

from __future__ import annotations

import asyncio
import copy
import gzip
import logging
import pickle
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from email.utils import format_datetime
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

from .conftest import HOST, KEY, async_client, example, settings

MakeClient = Callable[..., ChartHero]
BODY = {"error": "request_failed", "reason_code": "invalid_limit", "message": "A sentence.", "field": "limit"}


class Server:
    """Answers in turn, the last answer for ever, and remembers what was asked."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def ok(operation: str = "encounters.get") -> httpx.Response:
    return httpx.Response(200, json=example(operation))


def test_every_operation_returns_its_model(client: MakeClient) -> None:
    ids = ("enc_1", "doc_1")
    ch = client(Server(ok("encounters.list")))
    assert ch.encounters.list().items[0].patient.patient_id == "pat_synthetic_0001"
    assert client(Server(ok())).encounters.get("enc_1").encounter_id == "enc_synthetic_0001"
    assert client(Server(ok("documents.get"))).documents.get(*ids).document_id == "doc_synthetic_0001"
    turns = client(Server(ok("documents.transcript"))).documents.transcript(*ids).transcript.turns
    assert [turn.speaker for turn in turns] == ["clinician"]
    assert client(Server(ok("documents.audio"))).documents.audio(*ids).expires_at.tzinfo is UTC


def test_the_asynchronous_client_returns_the_same() -> None:
    async def main() -> None:
        ids = ("enc_1", "doc_1")
        async with async_client(Server(ok("encounters.list"))) as ch:
            assert (await ch.encounters.list()).to_dict() == example("encounters.list")
        async with async_client(Server(ok())) as ch:
            assert (await ch.encounters.get("enc_1")).encounter_id == "enc_synthetic_0001"
        async with async_client(Server(ok("documents.get"))) as ch:
            assert (await ch.documents.get(*ids)).to_dict() == example("documents.get")["document"]
        async with async_client(Server(ok("documents.transcript"))) as ch:
            assert (await ch.documents.transcript(*ids)).to_dict() == example("documents.transcript")
        async with async_client(Server(ok("documents.audio"))) as ch:
            assert (await ch.documents.audio(*ids)).to_dict() == example("documents.audio")

    asyncio.run(main())


@pytest.mark.parametrize("operation", ["encounters.get", "documents.get"])
@pytest.mark.parametrize("bare", [True, False])
def test_a_detail_body_is_read_bare_or_in_an_envelope(client: MakeClient, operation: str, bare: bool) -> None:
    body = example(operation)
    inner = next(iter(body.values()))
    ch = client(Server(httpx.Response(200, json=inner if bare else body)))
    read = ch.encounters.get("enc_1") if operation == "encounters.get" else ch.documents.get("enc_1", "doc_1")
    assert read.to_dict() == inner


def test_the_key_goes_in_a_header_and_only_what_was_given_goes_in_the_query(client: MakeClient) -> None:
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
        ("2026-05-01T15:00:00Z", "2026-05-01T15:00:00+00:00"),
        ("20260501T150000Z", "2026-05-01T15:00:00+00:00"),
    ],
)
def test_an_instant_may_be_a_datetime_a_date_or_iso_text(client: MakeClient, given: Any, sent: str) -> None:
    server = Server(ok("encounters.list"))
    client(server).encounters.list(end_at=given)
    assert server.requests[0].url.params["end_at"] == sent


def test_a_datetime_of_pendulum_bounds_a_walk(client: MakeClient) -> None:
    pendulum = pytest.importorskip("pendulum")
    server = Server(httpx.Response(200, json={"items": [], "total": 0}))
    assert list(client(server).encounters.iter(start_at=pendulum.datetime(2026, 5, 1))) == []
    assert server.requests[0].url.params["start_at"] == "2026-05-01T00:00:00+00:00"


@pytest.mark.parametrize("given", ["yesterday", "", 5, 1.5, True])
def test_what_is_no_instant_is_refused_by_name(client: MakeClient, given: Any) -> None:
    with pytest.raises(ValueError, match="end_at is"):
        client(Server(ok("encounters.list"))).encounters.list(end_at=given)


@pytest.mark.parametrize("given", [datetime(2026, 5, 1), "2026-05-01T15:00:00", "2026-05-01T15"])
def test_an_instant_without_a_time_zone_is_refused_and_not_guessed(client: MakeClient, given: Any) -> None:
    with pytest.raises(ValueError, match="start_at has no time zone"):
        client(Server(ok("encounters.list"))).encounters.list(start_at=given)


@pytest.mark.parametrize("identifier", ["", "  ", ".", "..", "enc_\ud800", None])
def test_an_id_that_is_none_is_refused_before_anything_is_sent(client: MakeClient, identifier: Any) -> None:
    server = Server(ok())
    with pytest.raises(ValueError, match="encounter_id"):
        client(server).encounters.get(identifier)
    assert server.requests == []


@pytest.mark.parametrize("identifier", ["a/b", "../admin", "a?b=c", "a#b", "a b", "ä", "%2e%2e", "a\nb"])
def test_any_other_id_stays_one_segment_of_the_path(client: MakeClient, identifier: str) -> None:
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
def test_each_status_ends_in_its_class_whether_registered_or_not(
    client: MakeClient, status: int, kind: type[ApiStatusError]
) -> None:
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
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert (type(twin), str(twin), vars(twin)) == (type(error), str(error), {**vars(error), "server_message": None})


def test_a_denied_call_says_which_scopes_it_needs(client: MakeClient) -> None:
    with pytest.raises(PermissionDeniedError, match="recordings:read") as caught:
        client(Server(httpx.Response(403, json=BODY))).documents.audio("enc_1", "doc_1")
    assert caught.value.required_scopes == {"encounters:read", "documents:read", "recordings:read"}
    with pytest.raises(NotFoundError) as missing:
        client(Server(httpx.Response(404, json=BODY))).documents.audio("enc_1", "doc_1")
    assert missing.value.required_scopes == frozenset()


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>Synthetic Person</html>", b"[1]", b'"text"', b'{"reason_code": ["x"]}', b"\xff\xfe", b"[" * 9999],
)
def test_an_error_body_of_another_kind_still_ends_in_the_status(client: MakeClient, content: bytes) -> None:
    with pytest.raises(NotFoundError) as caught:
        client(Server(httpx.Response(404, content=content))).encounters.get("enc_1")
    assert caught.value.reason_code is None
    assert str(caught.value) == "encounters.get: HTTP 404; encounter_id enc_1, host localhost:1"


class Cut(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that breaks off."""

    def __iter__(self) -> Iterator[bytes]:
        yield b'{"reason_code": "inv'
        raise httpx.ReadError("synthetic")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self:
            yield chunk


@pytest.mark.parametrize(
    ("headers", "stream"),
    [({}, Cut()), ({"Content-Encoding": "gzip"}, httpx.ByteStream(b"no gzip at all"))],
    ids=["cut", "not what it says"],
)
def test_an_error_body_that_cannot_be_read_does_not_hide_the_status(
    client: MakeClient, headers: dict[str, str], stream: Any
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(403, headers=headers, stream=stream)

    with pytest.raises(PermissionDeniedError):
        client(answer).encounters.get("enc_1")

    async def main() -> None:
        async with async_client(answer) as ch:
            await ch.encounters.get("enc_1")

    with pytest.raises(PermissionDeniedError):
        asyncio.run(main())


def test_of_an_endless_error_body_only_the_beginning_is_read(client: MakeClient) -> None:
    read: list[int] = []

    class Endless(httpx.SyncByteStream, httpx.AsyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            while True:
                read.append(1000)
                yield b" " * 1000

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for chunk in self:
                yield chunk

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(404, stream=Endless())

    with pytest.raises(NotFoundError):
        client(answer).encounters.get("enc_1")

    async def main() -> None:
        async with async_client(answer) as ch:
            await ch.encounters.get("enc_1")

    with pytest.raises(NotFoundError):
        asyncio.run(main())
    assert sum(read) < 200_000


def test_the_sentence_of_the_server_is_kept_short_and_out_of_every_text(client: MakeClient) -> None:
    body = {**BODY, "message": "synthetic " * 1000}
    with pytest.raises(InvalidRequestError) as caught:
        client(Server(httpx.Response(400, json=body))).encounters.list()
    assert caught.value.server_message == ("synthetic " * 1000)[:500]
    assert "synthetic" not in f"{caught.value} {caught.value!r} {caught.value.args}"


def test_an_error_with_a_note_is_pickled_and_copied_with_it(client: MakeClient) -> None:
    with pytest.raises(NotFoundError) as caught:
        client(Server(httpx.Response(404, json=BODY))).encounters.get("enc_1")
    caught.value.add_note("while syncing")
    for twin in (pickle.loads(pickle.dumps(caught.value)), copy.copy(caught.value), copy.deepcopy(caught.value)):
        kept = {**vars(caught.value), "server_message": None}
        assert (type(twin), str(twin), vars(twin)) == (NotFoundError, str(caught.value), kept)
        assert twin.__notes__ == ["while syncing"]


def test_a_reason_code_nobody_knows_passes_through(client: MakeClient) -> None:
    body = {**BODY, "reason_code": "a_new_reason"}
    with pytest.raises(InvalidRequestError) as caught:
        client(Server(httpx.Response(400, json=body))).encounters.list()
    assert caught.value.reason_code == "a_new_reason"


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
def test_a_success_that_is_not_the_contracts_ends_in_one_class(client: MakeClient, answer: httpx.Response) -> None:
    with pytest.raises(UnexpectedResponseError, match=r"^encounters\.get: ") as caught:
        client(Server(answer), attempts=1).encounters.get("enc_1")
    assert "Person" not in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).args == caught.value.args


def test_a_page_without_its_rows_is_refused_and_not_read_as_empty(client: MakeClient) -> None:
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
def test_a_lost_connection_is_retried_and_ends_in_our_class(
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
def test_what_may_pass_is_tried_again(client: MakeClient, passing: httpx.Response | Exception) -> None:
    server = Server(passing, passing, ok())
    assert client(server).encounters.get("enc_1").encounter_id == "enc_synthetic_0001"
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 501, 505])
def test_what_cannot_pass_is_asked_once(client: MakeClient, status: int) -> None:
    server = Server(httpx.Response(status))
    with pytest.raises(ApiStatusError):
        client(server).encounters.get("enc_1")
    assert len(server.requests) == 1


def test_the_asynchronous_client_retries_and_raises_alike() -> None:
    async def main() -> None:
        server = Server(httpx.Response(503), httpx.ReadError(""), ok())
        async with async_client(server) as ch:
            await ch.encounters.get("enc_1")
        assert len(server.requests) == 3
        async with async_client(Server(httpx.Response(501, html="<p>"))) as ch:
            with pytest.raises(ServiceUnavailableError):
                await ch.encounters.get("enc_1")

    asyncio.run(main())


def test_a_wait_beyond_the_budget_raises_at_once(client: MakeClient) -> None:
    server = Server(httpx.Response(503, headers={"Retry-After": "3600"}), ok())
    with pytest.raises(ServiceUnavailableError) as caught:
        client(server, total_timeout=30.0).encounters.get("enc_1")
    assert caught.value.retry_after == 3600
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
def test_an_unreadable_or_huge_retry_after_counts_as_a_day(value: str) -> None:
    assert retry_after({"retry-after": value}) == 86_400


def test_the_longest_of_several_retry_after_values_counts() -> None:
    assert retry_after(httpx.Headers([("Retry-After", "7"), ("Retry-After", "120")])) == 120
    assert retry_after({"retry-after": "120, 7"}) == 120
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT, 120"}) == 120


def test_a_refused_key_is_tried_again_only_when_the_source_gives_another(client: MakeClient) -> None:
    keys = iter(["ch_sk_old", "ch_sk_new"])
    server = Server(httpx.Response(401), ok())
    client(server, api_key=lambda: next(keys)).encounters.get("enc_1")
    assert [r.headers["authorization"] for r in server.requests] == ["Bearer ch_sk_old", "Bearer ch_sk_new"]

    counted = iter(f"ch_sk_{number}" for number in range(9))
    server = Server(httpx.Response(401))
    with pytest.raises(AuthenticationError):
        client(server, api_key=lambda: next(counted)).encounters.get("enc_1")
    assert len(server.requests) == 2


def test_the_asynchronous_client_asks_for_another_key_too() -> None:
    keys = iter(["ch_sk_old", "ch_sk_new", "ch_sk_new", "ch_sk_new"])
    server = Server(httpx.Response(401), ok(), httpx.Response(401))

    async def main() -> None:
        async with async_client(server, api_key=lambda: next(keys)) as ch:
            await ch.encounters.get("enc_1")
            with pytest.raises(AuthenticationError):
                await ch.encounters.get("enc_1")

    asyncio.run(main())
    sent = [request.headers["authorization"] for request in server.requests]
    assert sent == ["Bearer ch_sk_old", "Bearer ch_sk_new", "Bearer ch_sk_new"]


def test_a_key_source_that_fails_says_so_without_its_own_words(client: MakeClient) -> None:
    def broken() -> str:
        raise RuntimeError("ch_sk_in_the_message")

    with pytest.raises(ConfigurationError, match=r"callable given as api_key failed \(RuntimeError\)") as caught:
        client(Server(ok()), api_key=broken).encounters.get("enc_1")
    assert caught.value.__context__ is None


def test_a_key_source_that_fails_between_two_attempts_ends_the_call(client: MakeClient) -> None:
    keys = iter(["ch_sk_once"])
    server = Server(httpx.Response(503))
    with pytest.raises(ConfigurationError):
        client(server, api_key=lambda: next(keys)).encounters.get("enc_1")
    assert len(server.requests) == 1

    server = Server(httpx.ReadError(""))
    keys = iter(["ch_sk_once"])
    with pytest.raises(ConfigurationError):
        client(server, api_key=lambda: next(keys)).encounters.get("enc_1")
    assert len(server.requests) == 1


def test_an_asynchronous_key_source_works_where_it_can_be_awaited(client: MakeClient) -> None:
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


def test_a_client_of_ones_own_keeps_its_ways_outside_our_calls() -> None:
    seen: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("authorization"))
        return httpx.Response(404) if request.url.path == "/other" else ok()

    with httpx.Client(transport=httpx.MockTransport(answer)) as own:
        with ChartHero(settings=settings(), http_client=own) as ch:
            ch.encounters.get("enc_1")
        assert own.get(f"{HOST}/other").status_code == 404
    assert seen == [f"Bearer {KEY}", None]


def test_timeouts_are_always_set_and_can_differ_per_call(client: MakeClient) -> None:
    server = Server(ok())
    ch = client(server)
    ch.encounters.get("enc_1")
    ch.encounters.get("enc_1", timeout=1.5)
    ch.encounters.get("enc_1", timeout=Timeouts(read=2))
    first, second, third = (request.extensions["timeout"] for request in server.requests)
    assert first == {"connect": 5.0, "read": 30.0, "write": 30.0, "pool": 30.0}
    assert set(second.values()) == {1.5}
    assert third["read"] == 2


def test_a_closed_client_says_so(client: MakeClient) -> None:
    ch = client(Server(ok()))
    ch.close()
    ch.close()
    with pytest.raises(ConfigurationError, match="closed"):
        ch.encounters.get("enc_1")


def test_an_asynchronous_client_belongs_to_one_loop() -> None:
    ch = async_client(Server(ok()))
    asyncio.run(ch.encounters.get("enc_1"))
    with pytest.raises(ConfigurationError, match="another event loop"):
        asyncio.run(ch.encounters.get("enc_1"))


def test_a_call_can_be_cancelled_while_it_waits_to_try_again() -> None:
    async def main() -> None:
        async with async_client(Server(httpx.Response(503, headers={"Retry-After": "20"}))) as ch:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ch.encounters.get("enc_1"), timeout=0.2)

    asyncio.run(main())


def test_httpx_settings_pass_through_but_not_those_that_would_undo_ours() -> None:
    with pytest.raises(ConfigurationError, match="httpx_args may not have auth, timeout"):
        ChartHero(settings=settings(), httpx_args={"auth": None, "timeout": None})


def test_each_call_is_one_line_in_the_log_without_ids_and_httpx_is_quiet(
    client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(NotFoundError):
        client(Server(httpx.Response(503), httpx.Response(404, json=BODY))).encounters.get("enc_secret")
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split(" ms ")[1] for line in lines] == ["attempt 1", "attempt 2"]
    assert lines[0].startswith("encounters.get 503 ServiceUnavailableError ")
    assert lines[1].startswith("encounters.get 404 invalid_limit ")
    assert "enc_secret" not in caplog.text


def test_a_line_of_the_log_has_no_status_of_an_attempt_before(
    client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="charthero_ext")
    client(Server(httpx.Response(503), httpx.ConnectError(""), ok())).encounters.get("enc_1")
    lines = [record.getMessage() for record in caplog.records if record.name == "charthero_ext"]
    assert [line.split()[1:3] for line in lines] == [
        ["503", "ServiceUnavailableError"],
        ["-", "TransportError"],
        ["200", "-"],
    ]


@pytest.mark.parametrize("name", ["httpx", "httpcore.connection", "httpcore.http11", "httpcore.http2", "hpack.hpack"])
def test_whatever_httpx_stands_on_is_quiet_within_a_call(
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


def test_httpx_logs_when_asked_to(client: MakeClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="httpx")
    client(Server(ok()), http_logging=True).encounters.get("enc_1")
    assert "HTTP Request" in caplog.text


def test_httpx_used_for_something_else_keeps_its_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="httpx")
    with httpx.Client(transport=httpx.MockTransport(Server(httpx.Response(200)))) as other:
        other.get(HOST)
    assert "HTTP Request" in caplog.text


def test_a_compressed_error_body_is_read_like_any_other(client: MakeClient) -> None:
    packed = gzip.compress(b'{"reason_code": "invalid_offset"}')

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(400, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(packed))

    with pytest.raises(InvalidRequestError) as caught:
        client(answer).encounters.list()
    assert caught.value.reason_code == "invalid_offset"


def test_settings_take_the_place_of_key_and_url() -> None:
    own = Settings.load(api_key=KEY, base_url=HOST)
    assert ChartHero(settings=own).settings is own
    assert AsyncChartHero(settings=own).settings is own


def test_a_deprecated_operation_warns_with_its_public_name_where_it_is_used(
    client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charthero_ext._operations.DEPRECATED", frozenset({"encounters.get"}))
    ch = client(Server(ok()))
    with pytest.warns(DeprecationWarning, match=r"deprecated encounters\.get") as caught:
        ch.encounters.get("enc_1")
    assert [warning.filename for warning in caught] == [__file__]
