"""A recording on its way to disk: written aside, resumed, checked, and renamed when it is whole. No HTTP.

Source in the contract: "Bodies", Audio.
"""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from charthero_ext._transport import CallbackError
from charthero_ext.config import is_loopback
from charthero_ext.errors import TransportError

if TYPE_CHECKING:
    from charthero_ext.models import AudioUrl

__all__ = ["AudioFile", "Progress", "fresh_urls"]

#: Called with the bytes received so far and, where the host states it, how many there are in all.
Progress = Callable[[int, int | None], object]


class MediaError(TransportError):
    """The media host did not give the recording, or gave a part of it. A fresh URL may do better."""


def fresh_urls(attempts: int) -> Any:
    """Return the attempts to have a recording, each with a URL of its own; a long recording may take its time."""
    from stamina import retry_context

    return retry_context(on=MediaError, attempts=attempts, timeout=None)


class AudioFile:
    """The file a recording is written to. Only its owner may read it; *path* is touched only when it is whole."""

    def __init__(self, path: Path, progress: Progress | None) -> None:
        self._path = path
        self._progress = progress
        self._received = 0
        self._total: int | None = None
        self._validator: str | None = None
        self.url = ""

    def __enter__(self) -> Self:
        if self._path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(self._path))
        descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=".charthero-", suffix=".part")
        self._aside = Path(name)
        self._file = os.fdopen(descriptor, "wb")
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                self._file.flush()
                os.fsync(self._file.fileno())
                self._aside.replace(self._path)
        finally:
            # Closing flushes, which fails again on a full disk: what there is of the recording goes all the same.
            try:
                self._file.close()
            finally:
                self._aside.unlink(missing_ok=True)

    def ask(self, audio: AudioUrl) -> Self:
        """Take the URL to ask next.

        Raises:
            MediaError: A recording would travel in the clear.
        """
        try:
            parts = urlsplit(audio.audio_url)
            is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
        except ValueError:
            is_safe = False
        if not is_safe:
            raise self.failure("its URL is not https")
        self.url = audio.audio_url
        return self

    def failure(self, reason: str) -> MediaError:
        """Return the exception that says why the recording could not be had."""
        return MediaError(f"documents.audio: the recording could not be had: {reason}")

    def request_headers(self) -> dict[str, str]:
        """Return the headers that ask for what is still missing."""
        headers = {"Accept-Encoding": "identity"}
        # Without a validator, the rest of another recording could be appended to the beginning of this one.
        if self._received and self._validator:
            headers |= {"Range": f"bytes={self._received}-", "If-Range": self._validator}
        return headers

    def begin(self, status_code: int, headers: Mapping[str, str]) -> None:
        """Take note of what the host is about to send.

        Raises:
            MediaError: It is not the recording, or not the part that is missing.
        """
        if status_code in (200, 206) and headers.get("content-encoding", "identity") != "identity":
            # Ranges, sizes and validators are of what is sent, so they say nothing about what it unpacks to.
            raise self.failure("it was sent compressed, though asked for as it is")
        if status_code == 206:
            found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("content-range", ""))
            if found is None or int(found[1]) != self._received or not self._received:
                self._start_over()
                raise self.failure("another part was sent than was asked for")
            self._total = self._total if found[2] == "*" else int(found[2])
        elif status_code == 200:
            self._start_over()
            length = headers.get("content-length", "")
            self._total = int(length) if length.isdecimal() else None
            etag = headers.get("etag", "")
            self._validator = etag if etag.startswith('"') else None
        else:
            if status_code == 416:
                self._start_over()
            raise self.failure(f"HTTP {status_code}")

    def write(self, chunk: bytes) -> None:
        """Append what was received.

        Raises:
            OSError: It cannot be written.
            CallbackError: The progress callback raised; what it raised is inside, with its own frames alone.
        """
        self._file.write(chunk)
        self._received += len(chunk)
        if self._progress is None:
            return
        try:
            self._progress(self._received, self._total)
        except Exception as error:  # noqa: BLE001 - it is the caller's, and goes back to the caller
            own_frames = error.__traceback__.tb_next if error.__traceback__ else None
            raise CallbackError(error.with_traceback(own_frames)) from None

    def end(self) -> None:
        """Check the size.

        Raises:
            MediaError: It is not what the host stated.
        """
        if self._total is not None and self._received != self._total:
            if self._received > self._total:
                self._start_over()
            raise self.failure("it arrived incomplete")

    def _start_over(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._received, self._total, self._validator = 0, None, None
