"""Does ChartHero still publish the artifact this package was built from? Asked of the developer docs, without the key.

Source in the contract: "Where things are".
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from attrs import field, frozen
from charthero_client.contract import ARTIFACT_SHA256

from charthero_ext.config import is_loopback
from charthero_ext.errors import ChartHeroError, TransportError

if TYPE_CHECKING:
    from charthero_ext._transport import Transport
    from charthero_ext._transport.asynchronous import AsyncTransport

__all__ = ["PUBLISHED", "PublicDocument", "SpecReport", "check_spec", "check_spec_async"]

PUBLISHED = "https://developers.charthero.ai/openapi/v1/openapi.json"

MAX_BYTES = 20_000_000
MAX_SECONDS = 60.0


@frozen
class SpecReport:
    """What was found at *url*.

    ``same``: what is published says what this package was built from, in the same bytes or laid out otherwise.
    ``differs``: it says something else; scripts/drift.py of this package's repository says what that means.
    ``could not tell``: there was no usable answer, which is no good news; ``reason`` says why.

    ``reconstructed`` tells that the package was built from an artifact that was written from the developer pages and
    never published, so that a difference may be a mistake in it and no change of the API.
    """

    outcome: Literal["same", "differs", "could not tell"]
    reason: str
    url: str
    built_from_sha256: str
    published_sha256: str | None
    reconstructed: bool

    @property
    def same(self) -> bool:
        """Whether it is known that nothing changed."""
        return self.outcome == "same"


class PublicDocument:
    """A document on its way here: refused where it is no success, too large or too slow. No HTTP."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._chunks: list[bytes] = []
        self._size = 0
        self._deadline = time.monotonic() + MAX_SECONDS

    @property
    def content(self) -> bytes:
        """What has arrived."""
        return b"".join(self._chunks)

    def request_headers(self) -> dict[str, str]:
        """Return the headers to ask with."""
        return {"Accept": "application/json"}

    def begin(self, status_code: int, headers: Mapping[str, str]) -> None:
        """Take the status of the response."""
        if status_code != 200:
            raise self.failure(f"HTTP {status_code}")

    def write(self, chunk: bytes) -> None:
        """Take a part of the body."""
        self._size += len(chunk)
        self._chunks.append(chunk)
        if self._size > MAX_BYTES:
            raise self.failure(f"larger than {MAX_BYTES:,} bytes")
        if time.monotonic() > self._deadline:
            raise self.failure(f"took longer than {MAX_SECONDS:.0f} seconds")

    def end(self) -> None:
        """Note that nothing more comes."""

    def failure(self, reason: str) -> TransportError:
        """Return the exception that says why the document could not be had."""
        return TransportError(reason)


def check_spec(transport: Transport, url: str = PUBLISHED) -> SpecReport:
    """Compare the artifact in this package with the one published at *url*. Never raises for want of an answer."""
    check = _Check.at(url)
    if check.refusal:
        return check.could_not_tell(check.refusal)
    document = PublicDocument(url)
    try:
        transport.receive(document)
    except ChartHeroError as error:
        return check.could_not_tell(str(error))
    return check.report(document.content)


async def check_spec_async(transport: AsyncTransport, url: str = PUBLISHED) -> SpecReport:
    """As :func:`check_spec`."""
    check = _Check.at(url)
    if check.refusal:
        return check.could_not_tell(check.refusal)
    document = PublicDocument(url)
    try:
        await transport.receive(document)
    except ChartHeroError as error:
        return check.could_not_tell(str(error))
    return check.report(document.content)


@frozen
class _Check:
    """The half of the comparison that is in the package."""

    url: str
    refusal: str
    built_from: bytes = field(repr=False)

    @classmethod
    def at(cls, url: str) -> _Check:
        from importlib import resources  # which takes longer to load than this module

        try:
            parts = urlsplit(url)
        except ValueError:
            parts = urlsplit("")
        # Whoever can change an answer on its way could make a change look like none.
        is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
        built_from = (resources.files("charthero_client") / "openapi.json").read_bytes()
        refusal = "" if is_safe and parts.hostname else "the URL is not https"
        if sha256(built_from).hexdigest() != ARTIFACT_SHA256:
            refusal = "the artifact in this package is not the one it was built from; install the package anew"
        shown = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
        return cls(shown, refusal, built_from)

    def could_not_tell(self, reason: str, published: bytes | None = None) -> SpecReport:
        return self._report("could not tell", reason, published)

    def report(self, published: bytes) -> SpecReport:
        if published == self.built_from:
            return self._report("same", "the same bytes", published)
        try:
            document = json.loads(published)
        except (ValueError, RecursionError):
            return self.could_not_tell("the answer is not JSON", published)
        version = document.get("openapi") if isinstance(document, dict) else None
        if not isinstance(version, str) or not isinstance(document.get("paths"), dict):
            return self.could_not_tell("the answer is not an OpenAPI document", published)
        if _canonical(document) == _canonical(json.loads(self.built_from)):
            return self._report("same", "the same content, laid out otherwise", published)
        return self._report("differs", "another content", published)

    def _report(
        self, outcome: Literal["same", "differs", "could not tell"], reason: str, published: bytes | None
    ) -> SpecReport:
        digest = None if published is None else sha256(published).hexdigest()
        # A reconstructed artifact says of itself that it is one.
        about = json.loads(self.built_from).get("info", {}).get("description", "")
        return SpecReport(outcome, reason, self.url, ARTIFACT_SHA256, digest, str(about).startswith("Reconstructed "))


def _canonical(document: Any) -> str:
    return json.dumps(document, sort_keys=True)
