"""Pull over HTTP from a real server on loopback: good, bad, slow and missing answers."""

from __future__ import annotations

import contextlib
import functools
import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest
from attrs import define

from scripts import pull
from scripts.artifact import SNAPSHOT, sha256
from tests import docs_host
from tests.docs_host import Answer, Docs

from .trees import environment

ARTIFACT = SNAPSHOT.read_bytes()
answer = functools.partial(docs_host.answer, body=ARTIFACT)


@pytest.fixture
def published() -> Iterator[Docs]:
    with docs_host.docs_host() as served:
        yield served


@pytest.fixture(autouse=True)
def _no_waiting_and_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pull, "WAITS", (0, 0))


@define
class Tree:
    """A snapshot and its record, in a directory of their own."""

    snapshot: Path
    record: Path

    def pull(self, source: str) -> bool:
        return pull.store(pull.fetch(source), source, snapshot=self.snapshot, record=self.record)

    def facts(self) -> dict[str, str]:
        facts: dict[str, str] = json.loads(self.record.read_text())
        return facts


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    made = Tree(tmp_path / "openapi.json", tmp_path / "source.json")
    made.snapshot.write_bytes(b"old")
    made.record.write_text('{"sha256": "old", "provenance": "reconstructed"}')
    return made


def refused(tree: Tree, source: str) -> str:
    with pytest.raises(pull.ArtifactError) as error:
        tree.pull(source)
    assert tree.snapshot.read_bytes() == b"old"
    assert tree.facts()["sha256"] == "old"
    assert sorted(path.name for path in tree.record.parent.iterdir()) == ["openapi.json", "source.json"]
    line = str(error.value)
    assert "\n" not in line
    return line


def test_pull_writes_the_artifact_byte_for_byte_and_records_its_origin(tree: Tree, published: Docs) -> None:
    odd = ARTIFACT.replace(b"{", b"{ \r\n\t", 1) + b"\n\n "
    published.answers = [answer(body=odd)]
    before = datetime.now(UTC).replace(microsecond=0)
    assert tree.pull(published.url)
    assert tree.snapshot.read_bytes() == odd
    facts = tree.facts()
    assert list(facts) == ["url", "sha256", "fetched_at", "provenance"]
    assert (facts["url"], facts["provenance"], facts["sha256"]) == (published.url, "pulled", sha256(odd))
    assert facts["fetched_at"].endswith("Z")
    assert before <= datetime.fromisoformat(facts["fetched_at"]) <= datetime.now(UTC)


def test_a_compressed_answer_is_stored_without_compression(tree: Tree, published: Docs) -> None:
    published.answers = [answer(body=gzip.compress(ARTIFACT), content_encoding="gzip")]
    tree.pull(published.url)
    assert tree.snapshot.read_bytes() == ARTIFACT
    assert published.requests[0][1]["accept-encoding"] == "gzip"


def test_a_second_pull_of_the_same_bytes_changes_nothing(tree: Tree, published: Docs) -> None:
    published.answers = [answer()]
    assert tree.pull(published.url)
    tree.record.write_text(json.dumps({**tree.facts(), "fetched_at": "2000-01-01T00:00:00Z"}))
    times = [(path.stat().st_mtime_ns, path.stat().st_ino) for path in (tree.snapshot, tree.record)]
    assert not tree.pull(published.url)
    assert [(path.stat().st_mtime_ns, path.stat().st_ino) for path in (tree.snapshot, tree.record)] == times
    tree.snapshot.write_bytes(ARTIFACT + b" ")
    assert tree.pull(published.url)
    assert tree.snapshot.read_bytes() == ARTIFACT


@pytest.mark.parametrize(
    "record",
    [
        *(None, b"", b"{", b"[]", b'{"sha256": 1}', b"\xff", b"null"),
        json.dumps({"sha256": sha256(ARTIFACT), "provenance": "reconstructed", "note": "x"}).encode(),
    ],
)
def test_a_pull_replaces_a_record_that_does_not_say_pulled(tree: Tree, published: Docs, record: bytes | None) -> None:
    published.answers = [answer()]
    tree.snapshot.write_bytes(ARTIFACT)
    tree.record.unlink()
    if record is not None:
        tree.record.write_bytes(record)
    assert tree.pull(published.url)
    facts = tree.facts()
    assert list(facts) == ["url", "sha256", "fetched_at", "provenance"]
    assert (facts["sha256"], facts["provenance"]) == (sha256(ARTIFACT), "pulled")


def test_pull_follows_redirects_and_records_the_first_address(tree: Tree, published: Docs) -> None:
    published.answers = [
        answer(302, body=b"", location="/there"),
        answer(308, body=b"", location="/openapi.json"),
        answer(),
    ]
    tree.pull(published.url)
    assert [path for path, _ in published.requests] == ["/openapi/v1/openapi.json", "/there", "/openapi.json"]
    assert tree.facts()["url"] == published.url


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://", "//", "http://[::1"])
def test_a_redirect_to_anything_but_http_is_refused(tree: Tree, published: Docs, location: str) -> None:
    published.answers = [answer(302, body=b"", location=location)]
    assert refused(tree, published.url).startswith(f"{published.url}: ")


OTHER_ENCODING = "the answer has a content encoding other than gzip"
DAMAGED = gzip.compress(ARTIFACT)[:20] + b"x" * 200


@pytest.mark.parametrize(
    ("bad", "line", "attempts"),
    [
        *((answer(status, body=b"no"), f"HTTP {status}", 1) for status in (400, 401, 403, 404, 410)),
        *((answer(status, body=b"no"), f"HTTP {status}", 3) for status in (429, 500, 502, 503, 520)),
        (answer(content_length=str(len(ARTIFACT) * 2)), "the answer is cut short, or is not HTTP", 3),
        *((answer(content_encoding=one), OTHER_ENCODING, 1) for one in ("deflate", "br", "zstd", "gzip, gzip")),
        (answer(body=DAMAGED, content_encoding="gzip"), "the compressed answer is damaged", 1),
        (answer(302, body=b"", location="/again"), "cannot be reached (TooManyRedirects)", 21),
    ],
)
def test_a_bad_answer_is_refused_and_only_some_are_requested_again(
    tree: Tree, published: Docs, bad: Answer, line: str, attempts: int
) -> None:
    published.answers = [bad]
    address = published.url.replace("http://", "HTTP://someone:synthetic-secret@") + "?sig=synthetic-secret"
    assert refused(tree, address) == f"{published.url}: {line}"
    assert len(published.requests) == attempts
    published.answers = [bad, answer()]
    assert attempts != 3 or tree.pull(published.url)


def test_an_address_without_a_host_is_refused_and_not_shown(tree: Tree) -> None:
    line = refused(tree, "https:///someone:synthetic-secret@docs.example/openapi.json")
    assert line.startswith("the address: ")
    assert "synthetic-secret" not in line


def test_a_redirect_from_https_to_http_is_refused(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        if request.url.scheme == "https":
            return httpx.Response(302, headers={"location": "http://docs.example/openapi.json"})
        return httpx.Response(200, content=ARTIFACT)

    monkeypatch.setattr(httpx, "Client", functools.partial(httpx.Client, transport=httpx.MockTransport(serve)))
    line = refused(tree, "https://docs.example/openapi.json")
    assert line == "https://docs.example/openapi.json: leads from https to plain http"


@pytest.mark.parametrize("content_encoding", ["identity", "gzip"])
def test_an_answer_past_the_limit_is_refused_before_it_ends(
    tree: Tree, published: Docs, monkeypatch: pytest.MonkeyPatch, content_encoding: str
) -> None:
    monkeypatch.setattr(pull, "MAX_BYTES", 1_000_000)
    small = answer(body=gzip.compress(b" " * 50_000_000), content_encoding="gzip")
    published.answers = [endless(published, b" " * 0x8000) if content_encoding == "identity" else small]
    assert refused(tree, published.url) == f"{published.url}: larger than 1,000,000 bytes"
    assert len(published.requests) == 1
    assert refused(tree, "/dev/zero") == "/dev/zero: larger than 1,000,000 bytes"


def test_an_answer_that_takes_too_long_is_refused(tree: Tree, published: Docs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "MAX_SECONDS", 0.3)
    published.answers = [endless(published, b" ", pause=0.01)]
    assert refused(tree, published.url) == f"{published.url}: took longer than 0 seconds"


def test_a_host_that_cannot_be_reached_is_refused(tree: Tree) -> None:
    closed = "http://127.0.0.1:1/openapi.json"
    assert refused(tree, closed) == f"{closed}: cannot be reached (ConnectError)"


@pytest.mark.parametrize(
    "source", ["http://", "https:///x", "http://[::1", "http://a b/", "http://\x00/", "http://é\udcff/"]
)
def test_an_invalid_address_is_refused(tree: Tree, source: str) -> None:
    assert len(refused(tree, source)) < 120


def endless(docs: Docs, piece: bytes, pause: float = 0) -> Answer:
    """Return an answer that sends *piece* until the client hangs up or the test ends."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("content-length", str(10**12))
        handler.end_headers()
        with contextlib.suppress(OSError):
            while not docs.over.wait(pause):
                handler.wfile.write(piece)
        handler.close_connection = True

    return send


# What is sent


def test_a_pull_never_sends_credentials(tree: Tree, published: Docs, tmp_path: Path) -> None:
    """In a process of its own, with a home directory whose ~/.netrc has an entry for the host."""
    home = tmp_path / "home"
    home.mkdir()
    netrc = home / ".netrc"
    netrc.write_text("machine 127.0.0.1 login someone password synthetic-secret\ndefault login x password y\n")
    netrc.chmod(0o600)
    address = published.url.replace("http://", "http://someone:synthetic-secret@")
    published.answers = [answer(302, body=b"", location=address.replace("openapi.json", "there.json")), answer()]
    program = "import sys; from pathlib import Path; from scripts.pull import fetch, store; a = sys.argv\n"
    program += "store(fetch(a[1]), a[1], snapshot=Path(a[2]), record=Path(a[3]))"
    command = [
        sys.executable,
        "-c",
        program,
        f"{address}?token=synthetic-secret#x",
        str(tree.snapshot),
        str(tree.record),
    ]
    env = environment(home, NETRC=str(netrc), CHARTHERO_API_KEY="ch_sk_synthetic_secret", no_proxy="*")
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stderr) == (0, "")
    assert len(published.requests) == 2
    for _, headers in published.requests:
        assert headers.keys() <= {"host", "accept", "accept-encoding", "connection", "user-agent"}
    assert tree.facts()["url"] == published.url
    assert "synthetic" not in tree.record.read_text()


# Files


def test_the_record_of_a_file_holds_its_name_and_not_its_directory(tree: Tree, tmp_path: Path) -> None:
    elsewhere = tmp_path / "downloads"
    elsewhere.mkdir()
    (elsewhere / "artifact.json").write_bytes(ARTIFACT)
    assert tree.pull(str(elsewhere / "artifact.json"))
    assert tree.snapshot.read_bytes() == ARTIFACT
    assert tree.facts()["url"] == "artifact.json"
    assert tree.facts()["provenance"] == "pulled"


def test_a_missing_file_a_directory_or_an_unknown_scheme_is_refused(tree: Tree) -> None:
    assert refused(tree, "/nowhere/openapi.json") == "/nowhere/openapi.json: No such file or directory"
    assert refused(tree, "/") == "/: Is a directory"
    assert refused(tree, "ftp://docs.example/openapi.json").endswith("No such file or directory")
    assert refused(tree, "") == ".: Is a directory"


def test_a_snapshot_that_cannot_be_written_leaves_no_partial_file(tree: Tree, published: Docs) -> None:
    published.answers = [answer()]
    tree.snapshot.unlink()
    tree.snapshot.mkdir()
    with pytest.raises(OSError, match=r"openapi\.json"):
        tree.pull(published.url)
    assert sorted(path.name for path in tree.record.parent.iterdir()) == ["openapi.json", "source.json"]


def test_the_program_prints_one_line(
    published: Docs, tree: Tree, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pull.store, "__kwdefaults__", {"snapshot": tree.snapshot, "record": tree.record})
    published.answers = [answer(404, body=b""), answer()]
    assert [pull.main([published.url]) for _ in range(3)] == [1, 0, 0]
    said = capsys.readouterr()
    assert said.err == f"pull: {published.url}: HTTP 404; the snapshot is as it was\n"
    assert said.out == "pull: a new snapshot\npull: the snapshot is the published artifact already\n"
