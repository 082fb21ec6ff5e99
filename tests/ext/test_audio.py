"""Audio downloads: complete or nothing, resumed if possible, and no key for the media host."""

from __future__ import annotations

import errno
import gzip
import json
import os
import stat
import traceback
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from charthero_ext import ChartHero
from charthero_ext.errors import NotFoundError, TransportError

from .conftest import EITHER_CLIENT, HOST, Listener, QuietHandler, Server, connected, ok, perform, serving, settings

RECORDING = bytes(range(256)) * 400


class Media:
    """A media host whose next answers are planned: whole, a status, a part, or cut after some bytes."""

    def __init__(self) -> None:
        self.plan: list[int | str] = []
        self.requests: list[dict[str, str]] = []
        self.has_ranges = True
        self.etag = '"one"'
        media = self

        class Handler(QuietHandler):
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
    with serving(made.server):
        yield made


class Api:
    """An API that gives a fresh URL each time and counts the requests."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        return httpx.Response(200, json={"audio_url": f"{self.url}{self.asked}", "expires_at": "2026-05-01T15:45:00Z"})


def client(api: Any, *, kind: Any = ChartHero, **others: Any) -> Any:
    """Return a client with an API that is a function and real media hosts."""
    return kind(settings=settings(**others), httpx_args={"mounts": {HOST: httpx.MockTransport(api)}})


def download(client: Any, target: Path) -> bytes:
    perform(client, lambda ch: ch.documents.download_audio("e", "d", target))
    return target.read_bytes()


def test_a_recording_is_complete_and_readable_by_its_owner_only(media: Media, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    target = tmp_path / "a.wav"
    with client(Api(media.url)) as ch:
        assert ch.documents.download_audio("e", "d", target, progress=lambda *at: seen.append(at)) == target
    assert target.read_bytes() == RECORDING
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert seen[-1] == (len(RECORDING), len(RECORDING))
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


@EITHER_CLIENT
def test_a_broken_download_resumes_with_a_fresh_url(media: Media, tmp_path: Path, kind: Any) -> None:
    media.plan = ["cut 1000", 403, "cut 2000"]
    api = Api(media.url)
    assert download(client(api, kind=kind), tmp_path / "a.wav") == RECORDING
    assert api.asked == 4
    assert [request.get("range") for request in media.requests] == [None, "bytes=1000-", "bytes=1000-", "bytes=3000-"]


@pytest.mark.parametrize("etag", ["", 'W/"one"', "one"])
def test_without_a_strong_etag_the_whole_recording_is_requested(media: Media, tmp_path: Path, etag: str) -> None:
    media.plan, media.etag = ["cut 1000"], etag
    assert download(client(Api(media.url)), tmp_path / "a.wav") == RECORDING
    assert [request.get("range") for request in media.requests] == [None, None]


@pytest.mark.parametrize(
    "odd",
    [
        "part bytes 0-9/102400",
        "part bytes 990-999/102400",
        "part bytes 1001-1010/102400",
        "part bytes 1000-1009/1005",
        "part nonsense",
        416,
    ],
)
def test_an_unexpected_part_restarts_the_download(media: Media, tmp_path: Path, odd: int | str) -> None:
    media.plan = ["cut 1000", odd]
    assert download(client(Api(media.url)), tmp_path / "a.wav") == RECORDING
    assert [request.get("range") for request in media.requests] == [None, "bytes=1000-", None]


def test_a_part_that_was_not_requested_is_not_the_recording(media: Media, tmp_path: Path) -> None:
    media.plan = ["part bytes 0-9/10"]
    assert download(client(Api(media.url)), tmp_path / "a.wav") == RECORDING


def test_a_host_without_ranges_sends_the_whole_recording_again(media: Media, tmp_path: Path) -> None:
    media.plan, media.has_ranges = ["cut 1000"], False
    assert download(client(Api(media.url)), tmp_path / "a.wav") == RECORDING


def test_a_changed_recording_is_not_appended_to_the_old_part(media: Media, tmp_path: Path) -> None:
    media.plan = ["cut 1000"]
    with client(Api(media.url)) as ch:

        def replace(received: int, total: int | None) -> None:
            media.etag = '"two"'

        ch.documents.download_audio("e", "d", tmp_path / "a.wav", progress=replace)
    assert (tmp_path / "a.wav").read_bytes() == RECORDING


def test_a_failed_download_does_not_change_the_target(media: Media, tmp_path: Path) -> None:
    media.plan = ["cut 10", "cut 10", "cut 10", "cut 10", "cut 10"]
    (tmp_path / "a.wav").write_bytes(b"before")
    with pytest.raises(TransportError, match="could not be downloaded") as caught:
        download(client(Api(media.url), attempts=3), tmp_path / "a.wav")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.wav": b"before"}
    assert "canary" not in repr(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("status", [403, 404, 410, 416, 500])
def test_a_refused_audio_url_is_requested_again_a_few_times(media: Media, tmp_path: Path, status: int) -> None:
    media.plan = [status] * 9
    api = Api(media.url)
    with client(api, attempts=3) as ch, pytest.raises(TransportError, match=f"HTTP {status}"):
        ch.documents.download_audio("e", "d", tmp_path / "a.wav")
    assert api.asked == 3


def test_a_missing_recording_is_requested_once(tmp_path: Path) -> None:
    with client(lambda request: httpx.Response(404)) as ch, pytest.raises(NotFoundError):
        ch.documents.download_audio("e", "d", tmp_path / "a.wav")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("base_url", [HOST, "https://api.example.test"])
@pytest.mark.parametrize("url", ["http://media.example.test/a", "file:///etc/passwd", "no url"])
def test_an_audio_url_that_is_not_https_is_refused(tmp_path: Path, base_url: str, url: str) -> None:
    assert refused(tmp_path, base_url, url) == [httpx.URL(base_url).host]


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/a.wav", "http://localhost/a.wav", "http://[::1]/a.wav"])
def test_an_https_api_cannot_make_the_client_request_its_own_machine(tmp_path: Path, url: str) -> None:
    assert refused(tmp_path, "https://api.example.test", url) == ["api.example.test"]


def refused(tmp_path: Path, base_url: str, url: str) -> list[str]:
    """Return the hosts that got a request before the client refused *url*."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return Api(url)(request)

    with (
        connected(ChartHero, answer, base_url=base_url, attempts=4) as ch,
        pytest.raises(TransportError, match=r"could not be downloaded.*not https"),
    ):
        ch.documents.download_audio("e", "d", tmp_path / "a.wav")
    return asked


def test_an_error_of_a_progress_callback_ends_the_download(media: Media, tmp_path: Path) -> None:
    def fail(received: int, total: int | None) -> None:
        raise KeyError("mine")

    with client(Api(media.url)) as ch, pytest.raises(KeyError, match="mine") as caught:
        ch.documents.download_audio("e", "d", tmp_path / "a.wav", progress=fail)
    assert list(tmp_path.iterdir()) == []
    frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True).stack
    assert frames[-1].name == "fail", "it does not show where the callback failed"
    assert not any("chunk" in (frame.locals or {}) for frame in frames), "the recording is in the traceback"
    assert caught.value.__context__ is None


def client_of_media(answer: httpx.Response, **others: Any) -> ChartHero:
    """Return a client with a media host that gives one answer."""
    mounts = {HOST: Server(ok("documents.audio")), "all://": lambda request: answer}
    transports = {pattern: httpx.MockTransport(server) for pattern, server in mounts.items()}
    return ChartHero(settings=settings(attempts=1, **others), httpx_args={"mounts": transports})


def test_a_compressed_recording_is_refused(tmp_path: Path) -> None:
    answer = httpx.Response(200, headers={"Content-Encoding": "gzip"}, content=gzip.compress(RECORDING))
    with pytest.raises(TransportError, match="compressed"):
        download(client_of_media(answer), tmp_path / "a.wav")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_as_target_is_refused_before_a_request_is_sent(media: Media, tmp_path: Path) -> None:
    api = Api(media.url)
    with client(api) as ch, pytest.raises(IsADirectoryError):
        ch.documents.download_audio("e", "d", tmp_path)
    assert api.asked == 0
    assert list(tmp_path.iterdir()) == []


def test_a_file_name_can_have_the_greatest_length(media: Media, tmp_path: Path) -> None:
    assert download(client(Api(media.url)), tmp_path / ("a" * 255)) == RECORDING


def test_only_the_media_hosts_in_the_settings_get_requests(tmp_path: Path) -> None:
    answer = httpx.Response(200, content=b"synthetic")
    assert download(client_of_media(answer, media_hosts=["MEDIA.example.test"]), tmp_path / "a.wav") == b"synthetic"
    with pytest.raises(TransportError, match="media_hosts"):
        download(client_of_media(answer, media_hosts=["other.example.test"]), tmp_path / "b.wav")
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


@pytest.mark.parametrize(
    "url",
    [
        "https://[bad?",
        "https://media.example.test/\ud800?",
        "https://xn--a/?",
        "https://a..b/?",
        f"https://{'a' * 64}/?",
    ],
)
def test_an_invalid_audio_url_is_not_shown_in_the_error(url: str, tmp_path: Path) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        body = {"audio_url": f"{url}signature=canary", "expires_at": "2026-05-01T16:00:00Z"}
        return httpx.Response(200, content=json.dumps(body))

    chosen = settings(base_url=HOST, attempts=1)
    elsewhere = {HOST: httpx.MockTransport(answer)}
    with ChartHero(settings=chosen, httpx_args={"mounts": elsewhere}) as ch, pytest.raises(TransportError) as caught:
        ch.documents.download_audio("e", "d", tmp_path / "a.wav")
    assert "canary" not in "".join(traceback.format_exception(caught.value))
    assert list(tmp_path.iterdir()) == []


@EITHER_CLIENT
def test_a_media_request_has_nothing_of_the_api_client(kind: Any, tmp_path: Path) -> None:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        if request.url.host == "media.example.test":
            return httpx.Response(200, content=b"synthetic")
        return Api("https://media.example.test/a.wav?signature=")(request)

    own = (httpx.Client if kind is ChartHero else httpx.AsyncClient)(
        transport=httpx.MockTransport(answer),  # type: ignore[arg-type]
        auth=("user", "canary"),
        headers={"X-Api": "canary"},
        cookies={"session": "canary"},
        params={"tenant": "canary"},
    )
    ch = kind(settings=settings(application="sync/1"), http_client=own)
    assert download(ch, tmp_path / "a.wav") == b"synthetic"
    assert str(requests[-1].url) == "https://media.example.test/a.wav?signature=1"
    assert set(requests[-1].headers) == {"host", "user-agent", "accept", "accept-encoding"}
    assert requests[-1].headers["accept-encoding"] == "identity", "sizes and ranges count the bytes on the wire"


@EITHER_CLIENT
@pytest.mark.parametrize("http_logging", [False, True])
def test_tracing_and_logs_see_only_the_host_of_a_signed_url(
    media: Media,
    listener: Callable[[], Listener],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    kind: Any,
    http_logging: bool,
) -> None:
    caplog.set_level(0)
    seen: list[str] = []
    for transport, name in (
        (httpx.HTTPTransport, "handle_request"),
        (httpx.AsyncHTTPTransport, "handle_async_request"),
    ):
        send = getattr(transport, name)

        def traced(transport: Any, request: httpx.Request, send: Any = send) -> Any:
            seen.append(str(request.url))
            return send(transport, request)

        monkeypatch.setattr(transport, name, traced)
    api = listener()
    api.audio_url = media.url
    ch = kind(settings=settings(base_url=api.url, http_logging=http_logging))
    assert download(ch, tmp_path / "a.wav") == RECORDING
    assert len(seen) == 2
    assert "canary" not in f"{seen} {caplog.text}"


@pytest.mark.parametrize("kind", ["link", "broken link", "pipe", "device"])
def test_a_target_that_is_not_a_regular_file_is_not_replaced(tmp_path: Path, kind: str) -> None:
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


def test_a_full_disk_is_an_os_error_and_leaves_no_file(media: Media, tmp_path: Path) -> None:
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
