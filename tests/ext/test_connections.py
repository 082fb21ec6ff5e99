"""Connections: whose they are, where they lead, how long they may take, and what is left when they end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from charthero_ext import AsyncChartHero, ChartHero
from charthero_ext._transport.call import Call
from charthero_ext.config import Timeouts
from charthero_ext.errors import (
    ChartHeroError,
    ConfigurationError,
    NotFoundError,
    RateLimitedError,
    RequestTimeoutError,
    ServiceUnavailableError,
    TransportError,
)

from .conftest import HOST, KEY, async_client, example, settings

MakeClient = Callable[..., ChartHero]


class Listener:
    """A real server that answers everything with an encounter or an audio URL, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.connections: list[int] = []
        self.audio_url = ""
        listener = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments: Any) -> None:
                """Say nothing."""

            def do_GET(self) -> None:
                listener.asked.append((self.path, self.headers.get("Authorization")))
                listener.connections.append(self.client_address[1])
                body = httpx.Response(200, json=example("encounters.get")).content
                if self.path.endswith("/audio"):
                    answer = {"audio_url": listener.audio_url, "expires_at": "2026-05-01T15:45:00Z"}
                    body = httpx.Response(200, json=answer).content
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def listener() -> Iterator[Callable[[], Listener]]:
    made: list[Listener] = []

    def start() -> Listener:
        made.append(Listener())
        threading.Thread(target=made[-1].server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return made[-1]

    yield start
    for each in made:
        each.server.shutdown()
        each.server.server_close()


def test_a_proxy_of_the_environment_never_gets_a_key_or_a_recording_in_the_clear(
    listener: Callable[[], Listener], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    api, proxy = listener(), listener()
    api.audio_url = f"{api.url}/media?signature=canary"
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.url)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with ChartHero(settings=settings(base_url=api.url)) as ch:
        ch.encounters.get("enc_1")
        ch.documents.download_audio("enc_1", "doc_1", tmp_path / "a.wav")
    assert len(api.asked) == 3
    assert proxy.asked == []


def test_a_forked_child_makes_connections_of_its_own(listener: Callable[[], Listener]) -> None:
    api = listener()
    script = f"""
        import os
        from charthero_ext import ChartHero
        ch = ChartHero(api_key="{KEY}", base_url="{api.url}")
        ch.encounters.get("enc_1")
        child = os.fork()
        if child == 0:
            ch.encounters.get("enc_1")
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        ch.encounters.get("enc_1")
    """
    subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)], check=True, timeout=60)
    assert [key for _, key in api.asked] == [f"Bearer {KEY}"] * 3
    before, childs, after = api.connections
    assert before == after != childs


def test_no_answer_sets_a_cookie_for_the_requests_after_it() -> None:
    asked: list[httpx.Request] = []

    def server(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json=example("encounters.get"), headers={"Set-Cookie": "session=canary; Path=/"})

    with ChartHero(settings=settings(), httpx_args={"transport": httpx.MockTransport(server)}) as ch:
        for _ in range(2):
            ch.encounters.get("enc_1")
    assert len(asked) == 2
    assert not any("cookie" in request.headers for request in asked)


class Recorder:
    """A server that is a function, and keeps what it was asked."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if request.url.host == "media.example.test":
            return httpx.Response(200, content=b"synthetic recording")
        if request.url.path.endswith("/audio"):
            url = "https://media.example.test/a.wav?signature=canary"
            return httpx.Response(200, json={"audio_url": url, "expires_at": "2026-05-01T15:45:00Z"})
        return httpx.Response(200, json=example("encounters.get"))


def test_a_recording_comes_through_the_client_that_was_given_without_what_it_holds_for_the_api(tmp_path: Path) -> None:
    server = Recorder()
    own = httpx.Client(
        transport=httpx.MockTransport(server),
        auth=("user", "canary"),
        headers={"Authorization": "Basic canary"},
        cookies={"session": "canary"},
    )
    with own, ChartHero(settings=settings(), http_client=own) as ch:
        ch.documents.download_audio("enc_1", "doc_1", tmp_path / "a.wav")
    assert (tmp_path / "a.wav").read_bytes() == b"synthetic recording"
    asked = server.requests[-1]
    assert asked.url.host == "media.example.test"
    assert not {"authorization", "cookie"} & set(asked.headers)


def test_an_asynchronous_recording_comes_through_the_client_that_was_given_too(tmp_path: Path) -> None:
    server = Recorder()

    async def main() -> None:
        async with (
            httpx.AsyncClient(transport=httpx.MockTransport(server), auth=("user", "canary")) as own,
            AsyncChartHero(settings=settings(), http_client=own) as ch,
        ):
            await ch.documents.download_audio("enc_1", "doc_1", tmp_path / "a.wav")

    asyncio.run(main())
    assert (tmp_path / "a.wav").read_bytes() == b"synthetic recording"
    assert "authorization" not in server.requests[-1].headers


@pytest.mark.parametrize("name", ["transport", "mounts"])
def test_connections_the_caller_made_are_open_after_a_download(name: str, tmp_path: Path) -> None:
    class Counted(httpx.MockTransport):
        closed = 0

        def close(self) -> None:
            self.closed += 1

    made = Counted(Recorder())
    arguments = {"transport": made} if name == "transport" else {"mounts": {"all://": made}}
    with ChartHero(settings=settings(), httpx_args=arguments) as ch:
        ch.documents.download_audio("enc_1", "doc_1", tmp_path / "a.wav")
        assert made.closed == 0
        assert ch.encounters.get("enc_1")


def test_a_media_host_that_sends_elsewhere_is_not_followed(tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        if request.url.host == "media.example.test":
            return httpx.Response(302, headers={"Location": "http://elsewhere.example.test/"})
        return Recorder()(request)

    with (
        httpx.Client(transport=httpx.MockTransport(answer), follow_redirects=True) as own,
        ChartHero(settings=settings(attempts=1), http_client=own) as ch,
        pytest.raises(TransportError, match="HTTP 302"),
    ):
        ch.documents.download_audio("enc_1", "doc_1", tmp_path / "a.wav")

    async def main() -> None:
        async with (
            httpx.AsyncClient(transport=httpx.MockTransport(answer), follow_redirects=True) as own,
            AsyncChartHero(settings=settings(attempts=1), http_client=own) as ch,
        ):
            await ch.documents.download_audio("enc_1", "doc_1", tmp_path / "a.wav")

    with pytest.raises(TransportError, match="HTTP 302"):
        asyncio.run(main())
    assert not any("elsewhere" in url for url in asked)


def test_certificates_are_verified_wherever_https_can_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox on plain http may hand out recordings on https."""
    verified: list[object] = []

    class Watched(httpx.Client):
        def __init__(self, *, verify: object = True, **others: Any) -> None:
            verified.append(verify)
            super().__init__(**others)

    monkeypatch.setattr(httpx, "Client", Watched)
    with ChartHero(settings=settings(base_url="https://127.0.0.1:9", attempts=1)) as ch, pytest.raises(TransportError):
        ch.encounters.get("enc_1")
    ChartHero(settings=settings(), httpx_args={"mounts": {HOST: httpx.MockTransport(Recorder())}}).close()
    assert verified == [True, True]


def test_threads_whose_first_calls_meet_share_one_pool_of_connections(
    listener: Callable[[], Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, made, meeting = listener(), [], threading.Barrier(4)

    class Watched(httpx.Client):
        def __init__(self, **arguments: Any) -> None:
            made.append(self)
            super().__init__(**arguments)

    def call() -> None:
        meeting.wait(timeout=30)
        ch.encounters.get("enc_1")

    monkeypatch.setattr(httpx, "Client", Watched)
    with ChartHero(base_url=server.url, api_key=KEY) as ch:
        assert not made, "nothing was asked for yet"
        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
    assert len(made) == 1
    assert len(server.asked) == 4


@pytest.mark.parametrize("host", ["\u2764.example.test", "xn--1.example.test"])
def test_a_host_that_no_network_can_have_is_named(host: str) -> None:
    with pytest.raises(ConfigurationError, match="host that no network can have") as caught:
        ChartHero(api_key=KEY, base_url=f"https://{host}")
    assert host in str(caught.value)
    assert caught.value.__context__ is None


def test_the_password_of_a_proxy_that_cannot_be_used_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "ftp://user:canary@proxy.example.test:1")
    with pytest.raises(ConfigurationError, match="proxy or certificates") as caught:
        ChartHero(settings=settings(base_url="https://api.example.test")).encounters.get("enc_1")
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True, compact=False)
    assert "canary" not in "".join(shown.format())


class SlowToMake:
    """Lets tests in while the connections of a first call are made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[httpx.Client] = []
        self.meanwhile: Callable[[], object] = bool
        slow = self

        class Watched(httpx.Client):
            def __init__(self, **arguments: Any) -> None:
                slow.made.append(self)
                meanwhile, slow.meanwhile = slow.meanwhile, bool
                meanwhile()
                super().__init__(**arguments)

        monkeypatch.setattr(httpx, "Client", Watched)


def test_closing_during_a_first_call_leaves_nothing_open(
    listener: Callable[[], Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, begun, closing = SlowToMake(monkeypatch), threading.Event(), threading.Event()
    ch = ChartHero(base_url=listener().url, api_key=KEY)

    def meanwhile() -> None:
        begun.set()
        assert closing.wait(timeout=30)

    def call() -> None:
        with suppress(ChartHeroError):
            ch.encounters.get("enc_1")

    slow.meanwhile = meanwhile
    caller = threading.Thread(target=call)
    caller.start()
    assert begun.wait(timeout=30)
    closer = threading.Thread(target=ch.close)
    closer.start()
    closing.set()
    for thread in (caller, closer):
        thread.join(timeout=30)
    assert [client.is_closed for client in slow.made] == [True]


def test_the_handler_of_a_signal_can_make_a_call_within_a_first_call(
    listener: Callable[[], Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, server = SlowToMake(monkeypatch), listener()
    with ChartHero(base_url=server.url, api_key=KEY) as ch:
        slow.meanwhile = lambda: ch.encounters.get("enc_1")
        caller = threading.Thread(target=ch.encounters.get, args=["enc_2"], daemon=True)
        caller.start()
        caller.join(timeout=30)
        assert not caller.is_alive()
    assert len(server.asked) == 2


def test_a_child_forked_during_a_first_call_can_call(listener: Callable[[], Listener]) -> None:
    api = listener()
    script = f"""
        import os, signal, threading, httpx
        from charthero_ext import ChartHero

        begun, forked, make = threading.Event(), threading.Event(), httpx.Client.__init__

        def slow(self, **arguments):
            begun.set()
            assert forked.wait(timeout=30)
            make(self, **arguments)

        httpx.Client.__init__ = slow
        ch = ChartHero(api_key="{KEY}", base_url="{api.url}")
        caller = threading.Thread(target=ch.encounters.get, args=["enc_1"])
        caller.start()
        begun.wait(timeout=30)
        child = os.fork()
        forked.set()
        if child == 0:
            signal.alarm(20)
            ch.encounters.get("enc_2")
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        caller.join()
    """
    subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)], check=True, timeout=60)
    assert len(api.asked) == 2


def test_a_client_that_was_never_used_can_be_closed() -> None:
    ch = ChartHero(settings=settings())
    ch.close()
    with pytest.raises(ConfigurationError, match="closed"):
        ch.encounters.get("enc_1")


def test_the_key_stays_behind_when_the_client_that_was_given_is_led_to_another_host() -> None:
    server = Recorder()
    with httpx.Client(transport=httpx.MockTransport(server)) as own:
        ch = ChartHero(settings=settings(), http_client=own)
        own.base_url = "https://elsewhere.example.test"
        ch.encounters.get("enc_1")
    assert server.requests[0].url.host == "elsewhere.example.test"
    assert "authorization" not in server.requests[0].headers


def test_hooks_of_the_client_that_was_given_see_every_response_and_no_key_and_ours_go_when_we_go() -> None:
    keys: list[str | None] = []
    statuses: list[int] = []
    own = httpx.Client(
        transport=httpx.MockTransport(lambda request: httpx.Response(404)),
        event_hooks={
            "request": [lambda request: keys.append(request.headers.get("authorization"))],
            "response": [lambda response: statuses.append(response.status_code)],
        },
    )
    before = own.event_hooks
    with own, ChartHero(settings=settings(), http_client=own) as ch:
        with pytest.raises(NotFoundError):
            ch.encounters.get("enc_1")
        ch.close()
        assert own.event_hooks == before
    assert (keys, statuses) == ([None], [404])


def test_hooks_of_an_asynchronous_client_that_was_given_go_when_we_go() -> None:
    async def main() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(Recorder())) as own:
            before = own.event_hooks
            async with AsyncChartHero(settings=settings(), http_client=own) as ch:
                await ch.encounters.get("enc_1")
            assert own.event_hooks == before
            assert not own.is_closed

    asyncio.run(main())


def test_two_clients_can_share_a_client_that_was_given() -> None:
    server = Recorder()
    with httpx.Client(transport=httpx.MockTransport(server)) as own:
        one = ChartHero(settings=settings(api_key="ch_sk_synthetic_one"), http_client=own)
        two = ChartHero(settings=settings(api_key="ch_sk_synthetic_two"), http_client=own)
        one.encounters.get("enc_1")
        one.close()
        two.encounters.get("enc_1")
        two.close()
    keys = [request.headers["authorization"] for request in server.requests]
    assert keys == ["Bearer ch_sk_synthetic_one", "Bearer ch_sk_synthetic_two"]


def test_a_client_that_was_given_and_closed_is_named_as_the_cause() -> None:
    with httpx.Client() as own:
        ch = ChartHero(settings=settings(), http_client=own)
    with pytest.raises(ConfigurationError, match="the http_client was closed"):
        ch.encounters.get("enc_1")


def test_a_client_of_the_other_kind_is_refused_at_once() -> None:
    wrong: Any = httpx.AsyncClient()
    with pytest.raises(ConfigurationError, match=r"has to be an httpx\.Client"):
        ChartHero(settings=settings(), http_client=wrong)
    with httpx.Client() as own:
        wrong = own
        with pytest.raises(ConfigurationError, match=r"has to be an httpx\.AsyncClient"):
            AsyncChartHero(settings=settings(), http_client=wrong)


def test_a_client_of_another_host_is_refused_at_once() -> None:
    for base_url in ("https://elsewhere.example.test", f"{HOST}/external/v2"):
        with httpx.Client(base_url=base_url) as own, pytest.raises(ConfigurationError, match="another base_url"):
            ChartHero(settings=settings(), http_client=own)
    with httpx.Client(base_url=f"{HOST}/") as own:
        ChartHero(settings=settings(), http_client=own).close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "arguments", [{"verify": "/no/such/file.pem"}, {"cert": "/no/such/file.pem"}, {"proxy": "canary://proxy"}]
)
def test_httpx_arguments_that_httpx_cannot_use_are_refused_at_once(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="httpx_args") as caught:
        ChartHero(settings=settings(base_url="https://api.example.test"), httpx_args=arguments)
    assert "canary" not in str(caught.value)


def test_settings_are_not_mixed_with_a_key_or_a_url() -> None:
    for arguments in ({"api_key": "ch_sk_synthetic_x"}, {"base_url": HOST}):
        for kind in (ChartHero, AsyncChartHero):
            with pytest.raises(ConfigurationError, match="give either settings, or api_key and base_url"):
                kind(settings=settings(), **arguments)


def test_each_client_knows_its_own_last_response(client: MakeClient) -> None:
    one = client(lambda request: httpx.Response(200, json=example("encounters.get")))
    two = client(lambda request: httpx.Response(404))
    one.encounters.get("enc_1")
    with pytest.raises(NotFoundError):
        two.encounters.get("enc_1")
    assert one.last_response is not None
    assert two.last_response is not None
    assert (one.last_response.status_code, two.last_response.status_code) == (200, 404)


def test_a_thread_does_not_see_the_last_response_of_another(client: MakeClient) -> None:
    ch = client(lambda request: httpx.Response(200, json=example("encounters.get")))
    thread = threading.Thread(target=ch.encounters.get, args=("enc_1",))
    thread.start()
    thread.join()
    assert ch.last_response is None


class Drip(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that never ends, each piece well within any timeout of a read."""

    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield b" "

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            yield b" "


@pytest.mark.parametrize("status", [200, 404])
def test_a_body_that_drips_without_end_is_given_up_in_time(client: MakeClient, status: int) -> None:
    started = time.monotonic()

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, stream=Drip())

    expected = RequestTimeoutError if status == 200 else NotFoundError
    with pytest.raises(expected):
        client(answer, total_timeout=0.3).encounters.get("enc_1")

    async def main() -> None:
        async with async_client(answer, total_timeout=0.3) as ch:
            await ch.encounters.get("enc_1")

    with pytest.raises(expected):
        asyncio.run(main())
    assert time.monotonic() - started < 20


def test_no_request_is_given_longer_than_is_left_of_the_call(client: MakeClient) -> None:
    server = Recorder()
    client(server, total_timeout=2.0).encounters.get("enc_1")
    assert all(0 < at <= 2 for at in server.requests[0].extensions["timeout"].values())


def failure(kind: type[Any], retry_after: float | None, status_code: int) -> Any:
    return kind(status_code=status_code, operation="encounters.list", retry_after=retry_after)


def test_waits_grow_differ_and_are_never_shorter_than_the_server_asks() -> None:
    call = Call("encounters.list", Timeouts(), time.monotonic() + 60)
    shortest = []
    for _ in range(4):
        call.begin_attempt()
        waits = {call.wait(failure(RateLimitedError, 0.0, 429)) for _ in range(40)}
        assert len(waits) > 20
        shortest.append(min(waits))
        assert 7 <= call.wait(failure(ServiceUnavailableError, 7.0, 503)) <= 8
    for at_least, wait in zip((0.1, 0.2, 0.4, 0.8), shortest, strict=True):
        assert wait >= at_least


def test_a_call_whose_time_is_up_is_not_tried_again() -> None:
    call = Call("encounters.list", Timeouts(), time.monotonic() + 5)
    call.begin_attempt()
    assert call.wait(failure(RateLimitedError, 6.0, 429)) is False
    assert call.wait(failure(ServiceUnavailableError, None, 501)) is False
    assert call.wait(failure(RateLimitedError, None, 429)) is not False
