"""Downloading a recording: whole or not at all, resumed where it can be, and with no key for the media host."""

from __future__ import annotations

import asyncio
import errno
import gzip
import json
import os
import stat
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from charthero_ext import AsyncChartHero, ChartHero, Settings
from charthero_ext.errors import ChartHeroError, NotFoundError, TransportError

from .conftest import HOST, settings

RECORDING = bytes(range(256)) * 400


class Media:
    """A media host whose next answers a test chooses: whole, a status, or cut after so many bytes."""

    def __init__(self) -> None:
        self.plan: list[int | str] = []
        self.requests: list[dict[str, str]] = []
        self.has_ranges = True
        self.etag = '"one"'
        media = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments: Any) -> None:
                """Say nothing."""

            def do_GET(self) -> None:
                media.requests.append({name.lower(): value for name, value in self.headers.items()})
                step = media.plan.pop(0) if media.plan else "whole"
                if isinstance(step, int) and step >= 100 and step < 600:
                    self.send_response(step)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                start = 0
                wanted = self.headers.get("Range", "")
                if isinstance(step, str) and step.startswith("part "):
                    self.send_response(206)
                    self.send_header("Content-Range", step.removeprefix("part "))
                    self.send_header("Content-Length", "10")
                    self.end_headers()
                    self.wfile.write(b"0123456789")
                    return
                if wanted and media.has_ranges and self.headers.get("If-Range") == media.etag:
                    start = int(wanted.removeprefix("bytes=").rstrip("-"))
                    self.send_response(206)
                    self.send_header("Content-Range", f"bytes {start}-{len(RECORDING) - 1}/{len(RECORDING)}")
                else:
                    self.send_response(200)
                self.send_header("ETag", media.etag)
                self.send_header("Content-Length", str(len(RECORDING) - start))
                self.end_headers()
                if step == "whole":
                    self.wfile.write(RECORDING[start:])
                else:
                    self.wfile.write(RECORDING[start : start + int(str(step).removeprefix("cut "))])
                    self.close_connection = True

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/a.wav?signature=canary"


@pytest.fixture
def media() -> Iterator[Media]:
    made = Media()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


class Api:
    """An API that gives a fresh URL each time, and counts how often."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        return httpx.Response(200, json={"audio_url": f"{self.url}{self.asked}", "expires_at": "2026-05-01T15:45:00Z"})


def client(api: Any, **others: Any) -> ChartHero:
    """Make a client of an API that is a function, and of media hosts that are real."""
    return ChartHero(settings=settings(**others), httpx_args={"mounts": {HOST: httpx.MockTransport(api)}})


def async_client(api: Any, **others: Any) -> AsyncChartHero:
    return AsyncChartHero(settings=settings(**others), httpx_args={"mounts": {HOST: httpx.MockTransport(api)}})


def test_a_recording_is_written_whole_and_only_its_owner_may_read_it(media: Media, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    target = tmp_path / "a.wav"
    with client(Api(media.url)) as ch:
        assert ch.documents.download_audio("e", "d", target, progress=lambda *at: seen.append(at)) == target
    assert target.read_bytes() == RECORDING
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert seen[-1] == (len(RECORDING), len(RECORDING))
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_the_media_host_gets_no_key(media: Media, tmp_path: Path) -> None:
    with client(Api(media.url)) as ch:
        ch.documents.download_audio("e", "d", tmp_path / "a.wav")
    assert "authorization" not in media.requests[0]
    assert "ch_sk" not in str(media.requests)
    assert media.requests[0]["accept-encoding"] == "identity", "sizes and ranges are of what is sent"


def test_a_broken_download_resumes_where_it_stopped_with_a_fresh_url(media: Media, tmp_path: Path) -> None:
    media.plan = ["cut 1000", 403, "cut 2000"]
    api = Api(media.url)
    with client(api) as ch:
        ch.documents.download_audio("e", "d", str(tmp_path / "a.wav"))
    assert (tmp_path / "a.wav").read_bytes() == RECORDING
    assert api.asked == 4
    assert [request.get("range") for request in media.requests] == [None, "bytes=1000-", "bytes=1000-", "bytes=3000-"]


@pytest.mark.parametrize("etag", ["", 'W/"one"', "one"])
def test_a_recording_that_cannot_be_told_from_another_is_asked_for_whole(
    media: Media, tmp_path: Path, etag: str
) -> None:
    media.plan, media.etag = ["cut 1000"], etag
    with client(Api(media.url)) as ch:
        ch.documents.download_audio("e", "d", tmp_path / "a.wav")
    assert (tmp_path / "a.wav").read_bytes() == RECORDING
    assert [request.get("range") for request in media.requests] == [None, None]


@pytest.mark.parametrize(
    "odd", ["part bytes 0-9/102400", "part bytes 990-999/102400", "part bytes 1001-1010/102400", "part nonsense", 416]
)
def test_a_part_that_does_not_follow_begins_the_download_anew(media: Media, tmp_path: Path, odd: int | str) -> None:
    media.plan = ["cut 1000", odd]
    with client(Api(media.url)) as ch:
        ch.documents.download_audio("e", "d", tmp_path / "a.wav")
    assert (tmp_path / "a.wav").read_bytes() == RECORDING
    assert [request.get("range") for request in media.requests] == [None, "bytes=1000-", None]


def test_a_part_that_nobody_asked_for_is_not_the_recording(media: Media, tmp_path: Path) -> None:
    media.plan = ["part bytes 0-9/10"]
    with client(Api(media.url)) as ch:
        ch.documents.download_audio("e", "d", tmp_path / "a.wav")
    assert (tmp_path / "a.wav").read_bytes() == RECORDING


def test_more_than_the_host_stated_begins_the_download_anew(media: Media, tmp_path: Path) -> None:
    media.plan = ["cut 1000", "part bytes 1000-1009/1005"]
    with client(Api(media.url)) as ch:
        ch.documents.download_audio("e", "d", tmp_path / "a.wav")
    assert (tmp_path / "a.wav").read_bytes() == RECORDING
    assert [request.get("range") for request in media.requests] == [None, "bytes=1000-", None]


def test_a_host_without_ranges_sends_it_all_again(media: Media, tmp_path: Path) -> None:
    media.plan, media.has_ranges = ["cut 1000"], False
    with client(Api(media.url)) as ch:
        ch.documents.download_audio("e", "d", tmp_path / "a.wav")
    assert (tmp_path / "a.wav").read_bytes() == RECORDING


def test_another_recording_is_not_appended_to_the_beginning_of_this_one(media: Media, tmp_path: Path) -> None:
    media.plan = ["cut 1000"]
    with client(Api(media.url)) as ch:

        def replace(received: int, total: int | None) -> None:
            media.etag = '"two"'

        ch.documents.download_audio("e", "d", tmp_path / "a.wav", progress=replace)
    assert (tmp_path / "a.wav").read_bytes() == RECORDING


def test_a_download_that_fails_leaves_what_was_there(media: Media, tmp_path: Path) -> None:
    media.plan = ["cut 10", "cut 10", "cut 10", "cut 10", "cut 10"]
    (tmp_path / "a.wav").write_bytes(b"before")
    with (
        client(Api(media.url), attempts=3) as ch,
        pytest.raises(TransportError, match="could not be downloaded") as caught,
    ):
        ch.documents.download_audio("e", "d", tmp_path / "a.wav")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.wav": b"before"}
    assert "canary" not in repr(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("status", [403, 404, 410, 416, 500])
def test_a_url_that_was_refused_is_asked_for_again_within_a_bound(media: Media, tmp_path: Path, status: int) -> None:
    media.plan = [status] * 9
    api = Api(media.url)
    with client(api, attempts=3) as ch, pytest.raises(TransportError, match=f"HTTP {status}"):
        ch.documents.download_audio("e", "d", tmp_path / "a.wav")
    assert api.asked == 3


def test_a_recording_that_does_not_exist_is_asked_for_once(tmp_path: Path) -> None:
    with client(lambda request: httpx.Response(404)) as ch, pytest.raises(NotFoundError):
        ch.documents.download_audio("e", "d", tmp_path / "a.wav")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["http://media.example.test/a", "file:///etc/passwd", "no url", "https://[bad"])
def test_a_url_that_would_send_a_recording_in_the_clear_is_refused(tmp_path: Path, url: str) -> None:
    with client(Api(url), attempts=1) as ch, pytest.raises(ChartHeroError):
        ch.documents.download_audio("e", "d", tmp_path / "a.wav")


def test_a_progress_callback_that_fails_ends_the_download_with_its_own_error(media: Media, tmp_path: Path) -> None:
    def fail(received: int, total: int | None) -> None:
        raise KeyError("mine")

    with client(Api(media.url)) as ch, pytest.raises(KeyError, match="mine") as caught:
        ch.documents.download_audio("e", "d", tmp_path / "a.wav", progress=fail)
    assert list(tmp_path.iterdir()) == []
    frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True).stack
    assert frames[-1].name == "fail", "it does not show where the callback failed"
    assert not any("chunk" in (frame.locals or {}) for frame in frames), "the recording is in the traceback"
    assert caught.value.__context__ is None


def test_a_recording_that_is_sent_compressed_is_refused(tmp_path: Path) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Encoding": "gzip"}, content=gzip.compress(RECORDING))

    elsewhere = {HOST: httpx.MockTransport(Api("https://media.example.test/")), "all://": httpx.MockTransport(answer)}
    with (
        ChartHero(settings=settings(attempts=2), httpx_args={"mounts": elsewhere}) as ch,
        pytest.raises(TransportError, match="compressed"),
    ):
        ch.documents.download_audio("e", "d", tmp_path / "a.wav")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_is_no_place_for_a_recording_and_nothing_is_asked(media: Media, tmp_path: Path) -> None:
    api = Api(media.url)
    with client(api) as ch, pytest.raises(IsADirectoryError):
        ch.documents.download_audio("e", "d", tmp_path)
    assert api.asked == 0
    assert list(tmp_path.iterdir()) == []


def test_a_name_as_long_as_a_name_may_be_can_be_written(media: Media, tmp_path: Path) -> None:
    target = tmp_path / ("a" * 255)
    with client(Api(media.url)) as ch:
        ch.documents.download_audio("e", "d", target)
    assert target.read_bytes() == RECORDING


def test_the_asynchronous_client_downloads_and_resumes_alike(media: Media, tmp_path: Path) -> None:
    media.plan = ["cut 1000", 403]

    async def main() -> None:
        async with async_client(Api(media.url)) as ch:
            await ch.documents.download_audio("e", "d", tmp_path / "a.wav")

    asyncio.run(main())
    assert (tmp_path / "a.wav").read_bytes() == RECORDING
    assert media.requests[-1]["range"] == "bytes=1000-"


def media_hosts(*hosts: str) -> ChartHero:
    answer = httpx.MockTransport(lambda request: httpx.Response(200, content=b"synthetic"))
    elsewhere = {HOST: httpx.MockTransport(Api("https://media.example.test/")), "all://": answer}
    return ChartHero(settings=settings(attempts=1, media_hosts=hosts), httpx_args={"mounts": elsewhere})


def test_only_the_media_hosts_of_the_settings_are_asked(tmp_path: Path) -> None:
    with media_hosts("MEDIA.example.test") as ch:
        ch.documents.download_audio("e", "d", tmp_path / "a.wav")
    with media_hosts("other.example.test") as ch, pytest.raises(TransportError, match="media_hosts"):
        ch.documents.download_audio("e", "d", tmp_path / "b.wav")
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_a_url_that_may_not_be_used_is_requested_once(tmp_path: Path) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return Api("http://media.example.test/a.wav")(request)

    with client(answer, attempts=4) as ch, pytest.raises(TransportError, match=r"could not be downloaded.*not https"):
        ch.documents.download_audio("e", "d", tmp_path / "a.wav")
    assert len(asked) == 1


@pytest.mark.parametrize(
    "url", ["https://media.example.test/\ud800?", "https://xn--a/?", "https://a..b/?", f"https://{'a' * 64}/?"]
)
def test_a_url_that_cannot_be_encoded_is_a_transport_error_without_it(url: str, tmp_path: Path) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        body = {"audio_url": f"{url}signature=canary", "expires_at": "2026-05-01T16:00:00Z"}
        return httpx.Response(200, content=json.dumps(body))

    chosen = settings(base_url=HOST, attempts=1)
    elsewhere = {HOST: httpx.MockTransport(answer)}
    with ChartHero(settings=chosen, httpx_args={"mounts": elsewhere}) as ch, pytest.raises(TransportError) as caught:
        ch.documents.download_audio("e", "d", tmp_path / "a.wav")
    assert "canary" not in "".join(traceback.format_exception(caught.value))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/a.wav", "http://localhost/a.wav", "http://[::1]/a.wav"])
def test_an_https_api_cannot_make_the_client_read_from_its_own_machine(tmp_path: Path, url: str) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return Api(url)(request)

    chosen = settings(base_url="https://api.example.test", attempts=1)
    with (
        ChartHero(settings=chosen, httpx_args={"transport": httpx.MockTransport(answer)}) as ch,
        pytest.raises(TransportError, match="not https"),
    ):
        ch.documents.download_audio("e", "d", tmp_path / "a.wav")
    assert asked == ["api.example.test"]


def test_the_media_request_is_made_from_the_url_alone(tmp_path: Path) -> None:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        if request.url.host == "media.example.test":
            return httpx.Response(200, content=b"synthetic")
        return Api("https://media.example.test/a.wav?signature=")(request)

    own = httpx.Client(
        transport=httpx.MockTransport(answer),
        headers={"X-Api": "canary"},
        cookies={"session": "canary"},
        params={"tenant": "canary"},
    )
    with own, ChartHero(settings=settings(application="sync/1"), http_client=own) as ch:
        ch.documents.download_audio("e", "d", tmp_path / "a.wav")
    assert str(requests[-1].url) == "https://media.example.test/a.wav?signature=1"
    assert set(requests[-1].headers) == {"host", "user-agent", "accept", "accept-encoding"}


def test_what_wraps_httpx_sees_the_host_of_a_signed_url_only(
    media: Media, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    seen: list[str] = []
    send, send_awaited = httpx.HTTPTransport.handle_request, httpx.AsyncHTTPTransport.handle_async_request

    def traced(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return send(transport, request)

    async def traced_awaited(transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return await send_awaited(transport, request)

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", traced)
    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", traced_awaited)

    with serving_api(media.url) as base_url:
        for http_logging in (False, True):
            chosen = settings(base_url=base_url, http_logging=http_logging)

            async def main(chosen: Settings) -> None:
                async with AsyncChartHero(settings=chosen) as ch:
                    await ch.documents.download_audio("e", "d", tmp_path / "b.wav")

            with ChartHero(settings=chosen) as ch:
                ch.documents.download_audio("e", "d", tmp_path / "a.wav")
            asyncio.run(main(chosen))
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes() == RECORDING
    assert len(seen) == 8
    assert "canary" not in f"{seen} {caplog.text}"


@contextmanager
def serving_api(audio_url: str) -> Iterator[str]:
    """Serve an API on loopback that answers everything with an audio URL."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            body = httpx.Response(200, json={"audio_url": audio_url, "expires_at": "2026-05-01T15:45:00Z"}).content
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("kind", ["link", "broken link", "pipe", "device"])
def test_what_is_not_a_regular_file_is_not_replaced(tmp_path: Path, kind: str) -> None:
    target, other = tmp_path / "a.wav", tmp_path / "other"
    if kind == "link":
        other.write_bytes(b"before")
    if kind in ("link", "broken link"):
        target.symlink_to(other)
    elif kind == "pipe":
        os.mkfifo(target)
    else:
        target = Path(os.devnull)
    before = target.lstat()
    api = Api("https://media.example.test/")
    with client(api) as ch, pytest.raises(OSError, match="not a regular file"):
        ch.documents.download_audio("e", "d", target)
    assert api.asked == 0
    assert target.lstat() == before


def test_a_disk_that_is_full_is_an_os_error_and_leaves_no_part(media: Media, tmp_path: Path) -> None:
    class Full:
        def __init__(self, file: Any) -> None:
            self.file = file

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def write(self, chunk: bytes) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as patch:
        opened = os.fdopen
        patch.setattr(os, "fdopen", lambda *arguments: Full(opened(*arguments)))
        with client(Api(media.url)) as ch, pytest.raises(OSError, match="No space left"):
            ch.documents.download_audio("e", "d", tmp_path / "a.wav")
    assert list(tmp_path.iterdir()) == []
