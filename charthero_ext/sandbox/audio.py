"""Recordings behind signed URLs that expire, on a separate port.

The contract does not cover these assumptions. A URL is valid for five minutes. The media host refuses a request with
an ``Authorization`` header with 400, and an expired or changed URL with 403.
"""

from __future__ import annotations

import hmac
import io
import math
import re
import wave
from datetime import datetime, timedelta
from functools import lru_cache

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from charthero_ext.sandbox.clock import Clock

__all__ = ["Recordings"]

_LIFETIME = timedelta(minutes=5)
_RATE = 4000  # Samples per second, of one byte each.


@lru_cache(maxsize=4)
def _wav(samples: int) -> bytes:
    second = bytes(128 + round(60 * math.sin(math.tau * 220 * sample / _RATE)) for sample in range(_RATE))
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(1)
        writer.setframerate(_RATE)
        writer.writeframes((second * (samples // _RATE + 1))[:samples])
    return file.getvalue()


class Recordings:
    """Signs URLs of recordings and serves them. A recording is a tone, as long as its transcript."""

    def __init__(self, secret: bytes, clock: Clock) -> None:
        self._secret = secret
        self._clock = clock

    def sign(self, origin: str, document_id: str, seconds: float) -> tuple[str, datetime]:
        """Return the URL of a recording of this length, and when the URL expires."""
        expires_at = (self._clock.now() + _LIFETIME).replace(microsecond=0)
        path = f"/recordings/{document_id}/{round(seconds * _RATE)}.wav"
        expires = str(int(expires_at.timestamp()))
        return f"{origin}{path}?expires={expires}&signature={self._signature(path, expires)}", expires_at

    async def answer(self, request: Request) -> Response:
        """Return the recording, or one range of it."""
        if "authorization" in request.headers:
            return PlainTextResponse("Only one way to authorize is allowed.\n", 400)
        expires = request.query_params.get("expires", "")
        signature = request.query_params.get("signature", "")
        if not hmac.compare_digest(self._signature(request.url.path, expires).encode(), signature.encode()):
            return PlainTextResponse("The signature does not match.\n", 403)
        if self._clock.now().timestamp() >= int(expires):
            return PlainTextResponse("The URL has expired.\n", 403)
        body = _wav(request.path_params["samples"])
        etag = f'"{request.path_params["document_id"]}"'
        headers = {"Accept-Ranges": "bytes", "ETag": etag, "Cache-Control": "private, no-store"}
        wanted = _range(request.headers, len(body), etag)
        if wanted is None:
            return Response(body, 200, headers, "audio/wav")
        if not wanted:
            return Response(None, 416, {"Content-Range": f"bytes */{len(body)}"})
        headers["Content-Range"] = f"bytes {wanted.start}-{wanted.stop - 1}/{len(body)}"
        return Response(body[wanted.start : wanted.stop], 206, headers, "audio/wav")

    def _signature(self, path: str, expires: str) -> str:
        return hmac.new(self._secret, f"{path}?expires={expires}".encode(), "sha256").hexdigest()


def _range(headers: Headers, size: int, etag: str) -> range | None:
    """Return the requested range; None for the whole recording, an empty range if it is not satisfiable."""
    # HTTP allows a server to ignore several ranges, other units and malformed headers.
    match = re.fullmatch(r"bytes=([0-9]{0,18})-([0-9]{0,18})", headers.get("range", ""))
    if match is None or match.group() == "bytes=-" or headers.get("if-range", etag) != etag:
        return None
    first, last = match.groups()
    if not first:
        return range(max(0, size - int(last)), size)
    if last and int(last) < int(first):
        return None
    return range(int(first), min(size, int(last) + 1 if last else size))
