"""Compares the published artifact with the one that this package was built from."""

from __future__ import annotations

import json
import time
from hashlib import sha256
from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

from attrs import frozen
from charthero_client.contract import ARTIFACT_SHA256

from charthero_ext._call import Session
from charthero_ext._response import Response
from charthero_ext._secret import Secret, hide
from charthero_ext._steps import Send, Steps
from charthero_ext.config import is_loopback
from charthero_ext.errors import TransportError

__all__ = ["PUBLISHED", "SpecReport", "check_spec"]

PUBLISHED: Final = "https://developers.charthero.ai/openapi/v1/openapi.json"
MAX_BYTES: Final = 20_000_000
MAX_SECONDS: Final = 60.0

Outcome: TypeAlias = Literal["same", "differs", "could not tell"]


@frozen
class SpecReport:
    """How the artifact published at *url* compares with the one that this package was built from.

    Attributes:
        outcome: ``same`` content, perhaps in another layout; ``differs``, which ``make drift`` in this package's
            repository explains; or ``could not tell`` without a usable response.
        reconstructed: This package's artifact was written from the developer pages. So a difference may be a mistake in
            it, and not a change of the API.
    """

    outcome: Outcome
    reason: str
    url: str
    built_from_sha256: str
    published_sha256: str | None
    reconstructed: bool

    @property
    def same(self) -> bool:
        """Whether it is certain that nothing changed."""
        return self.outcome == "same"


def check_spec(session: Session, url: str) -> Steps[SpecReport]:
    """Compare the artifact in this package with the one published at *url*, which gets no key."""
    secret_url: Secret[str] = hide(url)
    url, problem = _shown_url(secret_url)
    built_from, response = _packaged(), Response(limit=MAX_BYTES)
    if sha256(built_from).hexdigest() != ARTIFACT_SHA256:
        problem = "the artifact in this package is not the one it was built from; reinstall the package"
    if not problem:
        try:
            yield Send(
                url=secret_url,
                headers=Secret(session.headers),
                timeouts=session.settings.timeouts,
                sink=response,
                deadline=time.monotonic() + MAX_SECONDS,
                is_signed=True,
            )
        except TransportError as error:
            problem = str(error)
    if response.status_code not in (None, 200):
        problem = f"HTTP {response.status_code}"
    outcome, reason = _comparison(problem, built_from, response.body)
    digest = None if problem else sha256(response.body).hexdigest()
    description = str(json.loads(built_from).get("info", {}).get("description"))
    return SpecReport(outcome, reason, url, ARTIFACT_SHA256, digest, description.startswith("Reconstructed "))


def _shown_url(url: Secret[str]) -> tuple[str, str]:
    """Return the URL without credentials and query, and what is wrong with it."""
    try:
        parts = urlsplit(url.reveal())
    except ValueError:
        return "", "the URL cannot be read"
    if not parts.hostname:  # A password may be in the path.
        return "", "the URL has no host"
    # On plain http, an attacker could make a changed artifact look unchanged.
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))
    shown = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
    return shown, "" if is_safe else "the URL is not https"


def _packaged() -> bytes:
    from importlib import resources  # Takes longer to load than this module.

    return (resources.files("charthero_client") / "openapi.json").read_bytes()


def _comparison(problem: str, built_from: bytes, published: bytes) -> tuple[Outcome, str]:
    if problem:
        return "could not tell", problem
    if published == built_from:
        return "same", "the same bytes"
    try:
        document = json.loads(published)
    except (ValueError, RecursionError):
        return "could not tell", "the response is not JSON"
    version = document.get("openapi") if isinstance(document, dict) else None
    if not isinstance(version, str) or not isinstance(document.get("paths"), dict):
        return "could not tell", "the response is not an OpenAPI document"
    if json.dumps(document, sort_keys=True) == json.dumps(json.loads(built_from), sort_keys=True):
        return "same", "the same content in another layout"
    return "differs", "the content differs"
