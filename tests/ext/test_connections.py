"""Connections: proxies, certificates, and the caller's own httpx client."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from charthero_ext import AsyncChartHero, ChartHero
from charthero_ext.errors import (
    ConfigurationError,
    NotFoundError,
    TransportError,
)

from .conftest import EITHER_CLIENT, HOST, KEY, Listener, Server, example, ok, perform, settings

MakeClient = Callable[..., ChartHero]


def test_a_proxy_gets_no_key_and_no_recording_in_clear_text(
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


def test_cookies_of_a_response_are_not_sent_back(client: MakeClient) -> None:
    server = Server(ok(**{"Set-Cookie": "session=canary; Path=/"}))
    ch = client(server)
    ch.encounters.get("enc_1")
    ch.encounters.get("enc_1")
    assert ["cookie" in request.headers for request in server.requests] == [False, False]


GIVEN_CLIENT = pytest.mark.parametrize(
    ("kind", "given"), [(ChartHero, httpx.Client), (AsyncChartHero, httpx.AsyncClient)]
)


class Recorder:
    """A server that records the requests."""

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


@pytest.mark.parametrize("name", ["transport", "mounts"])
def test_a_transport_of_the_caller_stays_open_after_a_download(name: str, tmp_path: Path) -> None:
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


@GIVEN_CLIENT
def test_a_redirect_of_a_media_host_is_not_followed(kind: Any, given: Any, tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        if request.url.host == "media.example.test":
            return httpx.Response(302, headers={"Location": "http://elsewhere.example.test/"})
        return Recorder()(request)

    own = given(transport=httpx.MockTransport(answer), follow_redirects=True)
    ch = kind(settings=settings(attempts=1), http_client=own)
    with pytest.raises(TransportError, match="HTTP 302"):
        perform(ch, lambda ch: ch.documents.download_audio("enc_1", "doc_1", tmp_path / "a.wav"))
    assert not any("elsewhere" in url for url in asked)


def test_certificates_are_verified_for_every_https_url(
    listener: Callable[[], Listener], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A sandbox on plain http may hand out recordings on https."""
    verified: list[object] = []
    make = httpx.HTTPTransport.__init__

    def watched_make(transport: httpx.HTTPTransport, **arguments: Any) -> None:
        verified.append(arguments.get("verify", True))
        make(transport, **arguments)

    monkeypatch.setattr(httpx.HTTPTransport, "__init__", watched_make)
    api = listener()
    api.audio_url = "https://127.0.0.1:9/a.wav"
    with ChartHero(settings=settings(base_url=api.url, attempts=1)) as ch, pytest.raises(TransportError):
        ch.documents.download_audio("enc_1", "doc_1", tmp_path / "a.wav")
    assert verified == [False, True]


@pytest.mark.parametrize("host", ["\u2764.example.test", "xn--1.example.test"])
def test_an_invalid_host_name_is_refused_and_named(host: str) -> None:
    with pytest.raises(ConfigurationError, match="has an invalid host name") as caught:
        ChartHero(api_key=KEY, base_url=f"https://{host}")
    assert host in str(caught.value)
    assert caught.value.__context__ is None


def test_the_base_url_of_the_given_client_does_not_redirect_a_call() -> None:
    server = Recorder()
    with httpx.Client(transport=httpx.MockTransport(server)) as own:
        ch = ChartHero(settings=settings(), http_client=own)
        own.base_url = "https://elsewhere.example.test"
        ch.encounters.get("enc_1")
    assert [request.url.host for request in server.requests] == ["localhost"]


def test_the_hooks_of_a_given_client_see_requests_and_responses() -> None:
    keys: list[str | None] = []
    statuses: list[int] = []
    own = httpx.Client(
        transport=httpx.MockTransport(lambda request: httpx.Response(404)),
        event_hooks={
            "request": [lambda request: keys.append(request.headers.get("authorization"))],
            "response": [lambda response: statuses.append(response.status_code)],
        },
    )
    with own, ChartHero(settings=settings(), http_client=own) as ch, pytest.raises(NotFoundError):
        ch.encounters.get("enc_1")
    assert (keys, statuses) == ([f"Bearer {KEY}"], [404])


@GIVEN_CLIENT
def test_a_given_client_is_not_changed_or_closed(kind: Any, given: Any) -> None:
    own = given(transport=httpx.MockTransport(Recorder()))
    hooks, headers = copy.deepcopy(own.event_hooks), own.headers.copy()
    perform(kind(settings=settings(), http_client=own), lambda ch: ch.encounters.get("enc_1"))
    assert (own.event_hooks, own.headers) == (hooks, headers)
    assert not own.is_closed


def test_two_clients_can_share_one_httpx_client() -> None:
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


def test_a_closed_httpx_client_is_named_in_the_error() -> None:
    with httpx.Client() as own:
        ch = ChartHero(settings=settings(), http_client=own)
    with pytest.raises(ConfigurationError, match="the http_client was closed"):
        ch.encounters.get("enc_1")


def test_an_httpx_client_of_the_wrong_kind_is_refused() -> None:
    wrong: Any = httpx.AsyncClient()
    with pytest.raises(ConfigurationError, match=r"must be an httpx\.Client"):
        ChartHero(settings=settings(), http_client=wrong)
    with httpx.Client() as own:
        wrong = own
        with pytest.raises(ConfigurationError, match=r"must be an httpx\.AsyncClient"):
            AsyncChartHero(settings=settings(), http_client=wrong)


def test_an_httpx_client_with_another_base_url_is_refused() -> None:
    for base_url in ("https://elsewhere.example.test", f"{HOST}/external/v2"):
        with httpx.Client(base_url=base_url) as own, pytest.raises(ConfigurationError, match="another base_url"):
            ChartHero(settings=settings(), http_client=own)
    with httpx.Client(base_url=f"{HOST}/") as own:
        ChartHero(settings=settings(), http_client=own).close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "arguments", [{"verify": "/no/such/file.pem"}, {"cert": "/no/such/file.pem"}, {"proxy": "canary://proxy"}]
)
def test_invalid_httpx_args_are_refused_when_the_client_is_made(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="httpx_args") as caught:
        ChartHero(settings=settings(base_url="https://api.example.test"), httpx_args=arguments)
    assert "canary" not in str(caught.value)


@EITHER_CLIENT
@pytest.mark.parametrize(
    ("package", "arguments"), [("h2", {"http2": True}), ("socksio", {"proxy": "socks5://canary@127.0.0.1:9"})]
)
def test_a_package_that_httpx_arguments_need_is_named_when_the_client_is_made(
    kind: Any, package: str, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigurationError, match=package) as caught:
        kind(settings=settings(), httpx_args=arguments)
    assert "canary" not in str(caught.value)


def test_an_httpx_argument_of_none_is_ignored(listener: Callable[[], Listener]) -> None:
    arguments = dict.fromkeys(("cert", "limits", "mounts", "proxy", "transport"))
    with ChartHero(settings=settings(base_url=listener().url), httpx_args=arguments) as ch:
        assert ch.get("/").status_code == 200


def test_settings_cannot_be_combined_with_api_key_or_base_url() -> None:
    for arguments in ({"api_key": "ch_sk_synthetic_x"}, {"base_url": HOST}):
        for kind in (ChartHero, AsyncChartHero):
            with pytest.raises(ConfigurationError, match="give either settings, or api_key and base_url"):
                kind(settings=settings(), **arguments)
