"""A docs host on loopback, which publishes an artifact or anything else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

from attrs import Factory, define

__all__ = ["Answer", "Docs", "answer", "docs_host"]

Answer = Callable[[BaseHTTPRequestHandler], None]


@define
class Docs:
    """What the host answers, and what it was asked. Each request gets the next answer; the last answer repeats."""

    url: str
    answers: list[Answer] = Factory(list)
    #: The path and the headers of each request.
    requests: list[tuple[str, dict[str, str]]] = Factory(list)
    #: Set at the end of the test, so that no answer outlives it.
    over: Event = Factory(Event)


def answer(status: int = 200, body: bytes = b"", **headers: str) -> Answer:
    """Return an answer. Underscores in the names of headers stand for hyphens."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)
        # A body shorter than announced ends with the connection.
        handler.close_connection = "content_length" in headers

    return send


@contextmanager
def docs_host() -> Iterator[Docs]:
    """Serve in a thread."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            docs.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            (docs.answers.pop(0) if len(docs.answers) > 1 else docs.answers[0])(self)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        # A client that has read enough closes the connection, which is not an error of the server.
        server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]
        docs = Docs(f"http://127.0.0.1:{server.server_port}/openapi/v1/openapi.json")
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield docs
        docs.over.set()
        server.shutdown()
        thread.join()
