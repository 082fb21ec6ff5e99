"""A server that publishes artifacts, on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from attrs import Factory, define

__all__ = ["Docs"]


@define
class Docs:
    """A docs host. What it answers with is set by the test; the headers it was sent are kept."""

    url: str
    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = Factory(dict)
    cut_short: bool = False
    asked: list[dict[str, str]] = Factory(list)


@pytest.fixture
def docs() -> Iterator[Docs]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(served.status)
            for name, value in served.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(served.body) + (1 if served.cut_short else 0)))
            self.end_headers()
            self.wfile.write(served.body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served = Docs(f"http://127.0.0.1:{server.server_port}/openapi/v1/openapi.json")
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield served
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _one_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.pull.WAITS", ())
