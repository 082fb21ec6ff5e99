"""The reason of a transport error, and environment variables that cannot be used."""

from __future__ import annotations

import asyncio
import gc
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from charthero_ext import AsyncChartHero, ChartHero
from charthero_ext.config import Attempt
from charthero_ext.errors import ConfigurationError, RequestTimeoutError, TransportError

from .conftest import KEY, Listener, QuietHandler, async_client, perform, serving, settings


@pytest.fixture(autouse=True)
def _without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def failure(base_url: str, **others: Any) -> TransportError:
    """Return the exception of a call to *base_url*, which is the same for both clients."""
    errors: list[TransportError] = []
    for kind in (AsyncChartHero, ChartHero):
        with pytest.raises(TransportError) as caught:
            perform(
                kind(settings=settings(base_url=base_url, attempts=1, **others)),
                lambda ch: ch.encounters.get("enc_1"),
            )
        errors.append(caught.value)
    one, other = errors
    assert (one.reason, type(one)) == (other.reason, type(other))
    return other


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def test_an_unknown_host_name_is_a_dns_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*arguments: Any, **others: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = failure("https://api.example.test")
    assert error.reason == "dns"
    assert "api.example.test: the host name cannot be resolved" in str(error)


def test_an_exception_that_is_its_own_cause_still_has_a_reason() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        error = httpx.ReadError("")
        raise error from error

    with pytest.raises(TransportError) as caught:
        ChartHero(settings=settings(attempts=1), httpx_args={"transport": httpx.MockTransport(refuse)}).encounters.get(
            "enc_1"
        )
    assert caught.value.reason == "reset"


def test_a_connection_to_a_closed_port_is_refused(closed_port: int) -> None:
    error = failure(f"http://127.0.0.1:{closed_port}")
    assert error.reason == "refused"
    assert "127.0.0.1: the connection was refused" in str(error)


def test_an_error_names_a_proxy_that_does_not_answer(closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:canary@127.0.0.1:{closed_port}")
    error = failure("https://api.example.test")
    assert error.reason == "proxy"
    assert "canary" not in str(error)


@pytest.mark.parametrize("first_bytes", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n1"])
def test_a_connection_that_ends_early_is_a_reset(first_bytes: bytes) -> None:
    class Handler(BaseHTTPRequestHandler):
        def handle(self) -> None:
            self.request.recv(65_536)
            self.request.sendall(first_bytes)

    server = HTTPServer(("127.0.0.1", 0), Handler)
    with serving(server):
        assert failure(f"http://127.0.0.1:{server.server_port}").reason == "reset"


def test_a_silent_server_is_a_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        error = failure(f"http://127.0.0.1:{server.getsockname()[1]}", total_timeout=0.2)
    assert error.reason == "timeout"
    assert isinstance(error, RequestTimeoutError)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_an_untrusted_certificate_is_named_and_not_retried(tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    line = f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout {key} -out {certificate}"
    subprocess.run(["openssl", *line.split()], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    server.socket = context.wrap_socket(server.socket, server_side=True)
    attempts: list[Attempt] = []
    chosen = settings(base_url=f"https://localhost:{server.server_port}", on_attempt=attempts.append)
    with serving(server), ChartHero(settings=chosen) as ch, pytest.raises(TransportError) as caught:
        ch.encounters.get("enc_1")
    assert caught.value.reason == "certificate"
    assert len(attempts) == 1


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SSL_CERT_FILE", "/no/such/file.pem"),
        ("HTTPS_PROXY", "ftp://canary@proxy.example.test"),
        ("ALL_PROXY", "http://canary:notaport"),
        ("all_proxy", "canary://x"),
    ],
)
def test_an_invalid_variable_is_named(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    with (
        ChartHero(api_key=KEY, base_url="https://api.example.test") as ch,
        pytest.raises(ConfigurationError, match=f"^{variable} cannot be used") as caught,
    ):
        ch.encounters.get("enc_1")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("value", ["[", "*,,", "http://[canary", " "])
def test_an_invalid_no_proxy_is_ignored(value: str, closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", value)
    assert failure(f"http://127.0.0.1:{closed_port}").reason == "refused"


def test_the_async_client_needs_a_running_asyncio_loop() -> None:
    call = async_client(lambda request: httpx.Response(200)).encounters.get("enc_1")
    with pytest.raises(ConfigurationError, match="asyncio"):
        call.send(None)


# The sockets of a closed loop cannot be closed in an orderly way, and Python says so when it collects them.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_closing_after_the_loop_was_closed_is_silent(listener: Callable[[], Listener]) -> None:
    api = listener()
    ch = AsyncChartHero(settings=settings(base_url=api.url))
    asyncio.run(ch.encounters.get("enc_1"))
    asyncio.run(ch.aclose())
    gc.collect()


def test_an_httpx_client_that_sends_the_key_through_a_proxy_is_refused(
    listener: Callable[[], Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    api, proxy = listener(), listener()
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    with httpx.Client() as own, pytest.raises(ConfigurationError, match="HTTP_PROXY would get the key"):
        ChartHero(settings=settings(base_url=api.url), http_client=own)
    with httpx.Client(trust_env=False) as own, ChartHero(settings=settings(base_url=api.url), http_client=own) as ch:
        ch.encounters.get("enc_1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with httpx.Client() as own, ChartHero(settings=settings(base_url=api.url), http_client=own) as ch:
        ch.encounters.get("enc_1")
    assert (len(api.asked), proxy.asked) == (2, [])


def test_no_proxy_excludes_a_host_from_the_proxy(
    listener: Callable[[], Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Proxy(QuietHandler):
        def do_CONNECT(self) -> None:
            asked.append(self.path)
            self.send_error(502)

    server = HTTPServer(("127.0.0.1", 0), Proxy)
    monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{server.server_port}")
    monkeypatch.setenv("NO_PROXY", "direct.example.test")
    with serving(server):
        assert failure("https://api.example.test").reason == "proxy"
        assert failure("https://direct.example.test").reason == "dns"
    assert asked == ["api.example.test:443"] * 2
