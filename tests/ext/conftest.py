"""Clients whose server is a function, and a real server on loopback."""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from charthero_client.decoding import SURPRISES

from charthero_ext import AsyncChartHero, ChartHero, Settings
from tests.payloads import BODIES

KEY = "ch_sk_synthetic_test_1"
HOST = "http://localhost:1"

Answer = Callable[[httpx.Request], httpx.Response]

EITHER_CLIENT = pytest.mark.parametrize("kind", [ChartHero, AsyncChartHero])


def example(operation: str) -> Any:
    """Return the body of a success."""
    return copy.deepcopy(BODIES[operation])


def settings(**others: Any) -> Settings:
    return Settings.load(**{"api_key": KEY, "base_url": HOST, **others})


def connected(kind: Any, answer: Answer, **others: Any) -> Any:
    """Return a client of one kind whose server is a function."""
    return kind(settings=settings(**others), httpx_args={"transport": httpx.MockTransport(answer)})


def awaited(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an asynchronous test in its own event loop."""

    @wraps(test)
    def run(*arguments: Any, **others: Any) -> None:
        asyncio.run(test(*arguments, **others))

    return run


def perform(client: ChartHero | AsyncChartHero, call: Callable[[Any], Any]) -> Any:
    """Return the result of a call of either client, and close the client."""
    if isinstance(client, ChartHero):
        with client:
            return call(client)

    async def awaited() -> Any:
        async with client:
            return await call(client)

    return asyncio.run(awaited())


def ok(operation: str = "encounters.get", **headers: str) -> httpx.Response:
    """Return the response of a success."""
    return httpx.Response(200, json=example(operation), headers=headers)


class Server:
    """Gives its answers in turn, repeats the last one, and records the requests."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


class QuietHandler(BaseHTTPRequestHandler):
    """A request handler that logs nothing."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        """Log nothing."""


@contextmanager
def serving(server: HTTPServer) -> Iterator[None]:
    """Serve in another thread."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Listener:
    """A real server that answers with an encounter or an audio URL, and records the requests."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.connections: list[int] = []
        self.audio_url = ""
        listener = self

        class Handler(QuietHandler):
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

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                """Expect clients that go away."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def listener() -> Iterator[Callable[[], Listener]]:
    with ExitStack() as started:

        def start() -> Listener:
            made = Listener()
            started.enter_context(serving(made.server))
            return made

        yield start


@pytest.fixture(autouse=True)
def _clean_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Hide the configuration of this machine, retry without a wait, and reset the counters."""
    for name in ("API_KEY", "API_KEY_FILE", "BASE_URL", "PROFILE"):
        monkeypatch.delenv(f"CHARTHERO_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    SURPRISES.clear()
    for name in ("WAIT_INITIAL", "WAIT_JITTER"):
        monkeypatch.setattr(f"charthero_ext._call.{name}", 0.0)
    for module in ("_audio", "_follow_up"):
        monkeypatch.setattr(f"charthero_ext.{module}.WAIT_INITIAL", 0.0)


@pytest.fixture
def client() -> Iterator[Callable[..., ChartHero]]:
    """Return a function that makes a client whose server is a function."""
    made: list[ChartHero] = []

    def make(answer: Answer, **others: Any) -> ChartHero:
        made.append(connected(ChartHero, answer, **others))
        return made[-1]

    yield make
    for each in made:
        each.close()


def async_client(answer: Answer, **others: Any) -> AsyncChartHero:
    return connected(AsyncChartHero, answer, **others)
