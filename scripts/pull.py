"""Fetch the published artifact into openapi/, if this client can be built from it.

Nothing is written until the bytes have passed every check, the canonicalizer included. Then they are written unchanged.
No credentials are sent, because the artifact needs none.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import httpx

from scripts.artifact import SNAPSHOT, SOURCE, ArtifactError, parse, sha256, write_atomically
from scripts.canonicalize import canonicalize
from scripts.surface import load_surface

__all__ = ["PUBLISHED", "fetch", "main", "public", "store"]

PUBLISHED = "https://developers.charthero.ai/openapi/v1/openapi.json"
MAX_BYTES = 20_000_000
MAX_SECONDS = 60.0
#: Seconds to wait before each further attempt.
WAITS = (0.5, 1.5)


def fetch(source: str) -> bytes:
    """Return the bytes at *source*, an http(s) URL or a file's path.

    Raises:
        ArtifactError: It cannot be reached, answers with another status than 200, is too large, or takes too long.
    """
    if not _is_url(source):
        return _read(Path(source))
    address = public(source)
    try:
        for pause in WAITS:
            try:
                return _download(source)
            except (httpx.HTTPStatusError, httpx.TransportError) as error:
                if not _may_pass(error):
                    raise
            time.sleep(pause)
        return _download(source)
    except httpx.HTTPStatusError as error:
        raise ArtifactError(f"{address}: HTTP {error.response.status_code}") from None
    except httpx.RemoteProtocolError:
        raise ArtifactError(f"{address}: the answer is cut short, or is not HTTP") from None
    except httpx.DecodingError:
        raise ArtifactError(f"{address}: the compressed answer is damaged") from None
    except httpx.HTTPError as error:
        raise ArtifactError(f"{address}: cannot be reached ({type(error).__name__})") from None
    except (httpx.InvalidURL, UnicodeError):
        raise ArtifactError(f"{address}: not a URL") from None


def store(content: bytes, source: str, *, snapshot: Path = SNAPSHOT, record: Path = SOURCE) -> bool:
    """Replace the snapshot by *content*, fetched from *source*, and tell whether it differs from the one before.

    Raises:
        ArtifactError: It is not an artifact that this client can be built from; the snapshot is untouched.
    """
    canonicalize(parse(content), load_surface())
    digest = sha256(content)
    if _recorded(record) == ("pulled", digest) and snapshot.is_file() and snapshot.read_bytes() == content:
        return False
    facts = {
        "url": public(source),
        "sha256": digest,
        "fetched_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "provenance": "pulled",
    }
    # The snapshot last: a process killed in between leaves a record whose sha256 does not fit, which `make check` sees.
    write_atomically(record, (json.dumps(facts, indent=2) + "\n").encode())
    write_atomically(snapshot, content)
    return True


def public(source: str) -> str:
    """Return *source* without possible secrets: of a URL its scheme, host and path, of a file its name."""
    if not _is_url(source):
        return Path(source).name
    try:
        parts = urlsplit(source)
    except ValueError:
        return "the address"
    host = parts.netloc.rpartition("@")[2]
    # Without a host, the path may hold a password.
    return urlunsplit((parts.scheme, host, parts.path, "", "")) if host else "the address"


def _is_url(source: str) -> bool:
    return source.lower().startswith(("http://", "https://"))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise ArtifactError(f"{path}: larger than {MAX_BYTES:,} bytes")
    return content


def _recorded(record: Path) -> tuple[object, object] | None:
    """Return provenance and digest of the snapshot before, or None where they cannot be known."""
    try:
        known = json.loads(record.read_bytes())
        return known["provenance"], known["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _download(url: str) -> bytes:
    address = public(url)
    headers = {"Accept": "application/json", "Accept-Encoding": "gzip"}
    # trust_env stays on for proxies; `_no_credentials` keeps netrc out.
    with (
        httpx.Client(timeout=httpx.Timeout(20.0), follow_redirects=True, auth=_no_credentials) as client,
        client.stream("GET", url, headers=headers) as response,
    ):
        response.raise_for_status()
        if url.lower().startswith("https:") and response.url.scheme != "https":
            raise ArtifactError(f"{address}: leads from https to plain http")
        if response.headers.get("content-encoding", "identity").strip().lower() not in ("identity", "gzip"):
            raise ArtifactError(f"{address}: the answer has a content encoding other than gzip")
        content, started = bytearray(), time.monotonic()
        for piece in response.iter_bytes():
            content += piece
            if len(content) > MAX_BYTES:
                raise ArtifactError(f"{address}: larger than {MAX_BYTES:,} bytes")
            if time.monotonic() - started > MAX_SECONDS:
                raise ArtifactError(f"{address}: took longer than {MAX_SECONDS:.0f} seconds")
        return bytes(content)


def _no_credentials(request: httpx.Request) -> httpx.Request:
    request.headers.pop("Authorization", None)
    return request


def _may_pass(error: Exception) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code == 429 or error.response.status_code >= 500
    return isinstance(error, httpx.TransportError)


def main(arguments: list[str] | None = None) -> int:
    """Pull the artifact."""
    parser = argparse.ArgumentParser(description="Fetch the published artifact into openapi/, if it can be used.")
    parser.add_argument("source", nargs="?", default=PUBLISHED, help="http(s) URL or file path (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        changed = store(fetch(options.source), options.source)
    except ArtifactError as error:
        print(f"pull: {error}; the snapshot is as it was", file=sys.stderr)
        return 1
    print("pull: a new snapshot" if changed else "pull: the snapshot is the published artifact already")
    return 0


if __name__ == "__main__":
    sys.exit(main())
