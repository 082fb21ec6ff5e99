"""Downloads a recording, as steps: to a partial file, which is resumed, checked, and moved once it is complete."""

from __future__ import annotations

import errno
import os
import re
import stat
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from charthero_ext import _operations
from charthero_ext._call import LASTING_REASONS, WAIT_INITIAL, WAIT_MAX, Session
from charthero_ext._secret import Secret, hide, without_origin
from charthero_ext._steps import CallbackError, Run, Send, Sleep, Steps, of_callback
from charthero_ext.config import Settings, is_loopback
from charthero_ext.errors import TransportError

__all__ = ["Progress", "download_audio"]

NOT_DOWNLOADED = "documents.audio: the recording could not be downloaded"

#: Called with the bytes received so far and, if the host states it, the total number.
Progress = Callable[[int, int | None], object]


def download_audio(
    session: Session, encounter_id: str, document_id: str, path: str | os.PathLike[str], progress: Progress | None
) -> Steps[Path]:
    """Download the recording of a document to *path*, with a fresh URL for each attempt."""
    target = Path(path)
    with RecordingFile(target, progress) as file:
        attempt = 1
        while True:
            audio = yield from session.call(_operations.audio(encounter_id, document_id))
            request = _media_request(session, hide(audio.audio_url), file)
            try:
                yield request
            except TransportError as error:
                failure = error
            else:
                break
            if attempt == session.settings.attempts or failure.reason in LASTING_REASONS:
                raise TransportError(f"{NOT_DOWNLOADED}: {failure}", reason=failure.reason)
            yield Sleep(min(WAIT_MAX, WAIT_INITIAL * 2 ** (attempt - 1)))
            attempt += 1
        yield Run(file.finish)
    return target


def _media_request(session: Session, url: Secret[Any], file: RecordingFile) -> Send:
    """Return a request for the media host: without the key, and without any other header of the API.

    Raises:
        TransportError: The URL is not https, or its host is not allowed.
    """
    problem = _url_problem(url.reveal(), session.settings)
    if problem:
        raise TransportError(f"{NOT_DOWNLOADED}: {problem}", reason="media")
    headers = {"User-Agent": session.headers["User-Agent"], "Accept": "*/*", **file.range_headers()}
    return Send(url=url, headers=Secret(headers), timeouts=session.settings.timeouts, sink=file, is_signed=True)


def _url_problem(url: Any, settings: Settings) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except (AttributeError, TypeError, ValueError):
        return "its URL cannot be read"
    # A production API must not make its clients read from their own machine.
    is_local = parts.scheme == "http" and is_loopback(host) and settings.base_url.startswith("http:")
    if parts.scheme != "https" and not is_local:
        return "its URL is not https"
    if settings.media_hosts is not None and host not in settings.media_hosts:
        return "its host is not one of Settings.media_hosts"
    return ""


class RecordingFile:
    """A partial file, readable by its owner only. It replaces *path* once it is complete."""

    def __init__(self, path: Path, progress: Progress | None) -> None:
        self._path = path
        self._progress = progress
        self._received = 0
        self._total: int | None = None
        self._validator: str | None = None

    def __enter__(self) -> Self:
        try:
            mode = self._path.lstat().st_mode
        except FileNotFoundError:
            pass
        else:
            if stat.S_ISDIR(mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(self._path))
            if not stat.S_ISREG(mode):
                raise OSError(errno.EINVAL, "not a regular file, so it is not replaced", str(self._path))
        descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=".charthero-", suffix=".part")
        self._part = Path(name)
        self._file = os.fdopen(descriptor, "wb")
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._file.close()
        finally:
            # Delete the partial file even if closing, which flushes, fails on a full disk.
            self._part.unlink(missing_ok=True)

    def finish(self) -> None:
        """Move the complete file to its place."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._part.replace(self._path)

    def range_headers(self) -> dict[str, str]:
        """Return the headers that request what is still missing."""
        headers = {"Accept-Encoding": "identity"}
        # Without a validator, the rest of another recording could be appended to the beginning of this one.
        if self._received and self._validator:
            headers |= {"Range": f"bytes={self._received}-", "If-Range": self._validator}
        return headers

    def begin(self, status_code: int, headers: Mapping[str, str], *, is_decoded: bool) -> bool:
        """Take the status and headers.

        Raises:
            TransportError: The response is not the recording, or not the part that is missing.
        """
        if status_code in (200, 206) and headers.get("content-encoding", "identity") != "identity":
            # Ranges, sizes and validators describe the compressed form.
            raise self._failure("the host compressed it, although the request does not allow that")
        if status_code == 206:
            found = re.fullmatch(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)", headers.get("content-range", ""))
            if found is None or int(found[1]) != self._received or not self._received:
                self._start_over()
                raise self._failure("the host sent another part than the requested one")
            self._total = self._total if found[2] == "*" else int(found[2])
        elif status_code == 200:
            self._start_over()
            length = headers.get("content-length", "")
            self._total = int(length) if re.fullmatch(r"[0-9]{1,18}", length) else None
            etag = headers.get("etag", "")
            self._validator = etag if etag.startswith('"') else None
        else:
            if status_code == 416:
                self._start_over()
            raise self._failure(f"HTTP {status_code}")
        return True

    def write(self, chunk: bytes) -> None:
        """Append a part of the recording.

        Raises:
            CallbackError: The file cannot be written, or the progress callback raised.
        """
        try:
            self._file.write(chunk)
        except OSError as error:
            raise CallbackError(without_origin(error)) from None
        self._received += len(chunk)
        if self._progress is not None:
            try:
                self._progress(self._received, self._total)
            except Exception as error:  # noqa: BLE001 - the caller's exception goes back to the caller
                raise of_callback(error) from None

    def end(self) -> None:
        """Check the size.

        Raises:
            TransportError: It is not the size that the host stated.
        """
        if self._total is not None and self._received != self._total:
            if self._received > self._total:
                self._start_over()
            raise self._failure("it arrived incomplete")

    def _failure(self, reason: str) -> TransportError:
        return TransportError(reason, reason="media")

    def _start_over(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._received, self._total, self._validator = 0, None, None
