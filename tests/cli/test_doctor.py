"""What the doctor finds, and that its report can be pasted into a ticket."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from charthero_ext.sandbox import Sandbox

from .conftest import Done, Record, Run

CANARY = "ch_sk_canary_1"

StartPeer = Callable[..., str]


@pytest.fixture
def start_peer() -> Iterator[StartPeer]:
    """Start a host that accepts every key, with a clock that may be off, over TLS where there is a certificate."""
    servers: list[ThreadingHTTPServer] = []

    def start(*, seconds_off: float = 0, date: str | None = None, certificate: Path | None = None) -> str:
        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                is_refused = "charthero_access_check" in self.path
                self.send_response_only(400 if is_refused else 200)
                self.send_header("Date", formatdate(time.time() + seconds_off, usegmt=True) if date is None else date)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                refusal = b'{"error": "x", "reason_code": "unsupported_filter", "message": "x", "field": null}'
                self.wfile.write(refusal if is_refused else b'{"items": [], "limit": 1, "offset": 0, "total": 0}')

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        servers.append(server)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return f"http{'s' * (certificate is not None)}://localhost:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def examined(run: Run, sandbox: Sandbox) -> Callable[..., Done]:
    """Run the doctor without leaving this machine."""

    def examined(*arguments: object) -> Done:
        return run("doctor", "--spec-url", f"{sandbox.base_url}/openapi/v1/openapi.json", *arguments)

    return examined


def finding(done: Done, check: str) -> Record:
    return next(each for each in done.lines if each["check"] == check)


def test_a_healthy_setup_is_ok_in_every_respect(examined: Callable[..., Done], sandbox: Sandbox) -> None:
    done = examined("--json")
    assert (done.code, done.err) == (0, "")
    assert [each["check"] for each in done.lines] == [
        *("versions", "settings", "proxy", "connection", "key", *["access"] * 5, "clock", "artifact")
    ]
    assert {each["outcome"] for each in done.lines} == {"ok"}
    assert finding(done, "settings")["base_url"] == sandbox.base_url
    assert finding(done, "connection")["addresses"] == ["127.0.0.1"]
    assert abs(finding(done, "clock")["seconds_ahead"]) <= 2
    assert {"charthero-ext", "httpx", "Python"} <= finding(done, "versions").keys()


def test_people_get_a_line_for_each_finding(examined: Callable[..., Done], sandbox: Sandbox) -> None:
    lines = examined().out.splitlines()
    assert len(lines) == 12
    assert all(line.startswith("ok      ") for line in lines)
    assert f"{sandbox.base_url} from CHARTHERO_BASE_URL; the key from CHARTHERO_API_KEY" in lines[1]


def test_it_says_where_the_settings_are_from_and_never_shows_the_key(
    examined: Callable[..., Done], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sandbox.set_key(CANARY)
    outputs = []
    monkeypatch.setenv("CHARTHERO_API_KEY", CANARY)
    outputs.append(examined("--json"))
    assert finding(outputs[-1], "settings")["key_from"] == "CHARTHERO_API_KEY"
    monkeypatch.delenv("CHARTHERO_API_KEY")
    (tmp_path / "key").write_text(CANARY)
    monkeypatch.setenv("CHARTHERO_API_KEY_FILE", str(tmp_path / "key"))
    outputs.append(examined("--json"))
    assert "CHARTHERO_API_KEY_FILE" in finding(outputs[-1], "settings")["key_from"]
    for name in ("CHARTHERO_API_KEY_FILE", "CHARTHERO_BASE_URL"):
        monkeypatch.delenv(name)
    profile = tmp_path / "home" / ".config" / "charthero" / "config.toml"
    profile.parent.mkdir(parents=True)
    profile.write_text(f'[clinic]\nbase_url = "{sandbox.base_url}"\napi_key_file = "{tmp_path / "key"}"\n')
    monkeypatch.setenv("CHARTHERO_PROFILE", "clinic")
    outputs.append(examined("--json"))
    assert finding(outputs[-1], "settings")["host_from"] == "the profile 'clinic'"
    assert "the profile 'clinic'" in finding(outputs[-1], "settings")["key_from"]
    outputs.append(examined())
    assert all(done.code == 0 for done in outputs)
    assert "canary" not in "".join(done.out + done.err for done in outputs)


def test_without_settings_it_says_what_to_set_and_still_gives_versions(
    examined: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CHARTHERO_API_KEY")
    done = examined("--json")
    assert done.code == 1
    assert [each["check"] for each in done.lines] == ["versions", "settings"]
    assert "set CHARTHERO_API_KEY" in finding(done, "settings")["detail"]


def test_a_refused_key_ends_with_3(examined: Callable[..., Done], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARTHERO_API_KEY", CANARY)
    done = examined("--json")
    assert done.code == 3
    assert finding(done, "key")["outcome"] == "refused"
    assert "canary" not in done.out


def test_a_key_that_no_header_can_carry_ends_with_1_and_is_not_shown(
    examined: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHARTHERO_API_KEY", "two words")
    done = examined("--json")
    assert done.code == 1
    assert "white space" in done.lines[-1]["detail"]
    assert "two words" not in done.out


def test_a_route_the_key_may_not_use_is_noted_with_what_it_lacks(
    examined: Callable[..., Done], sandbox: Sandbox
) -> None:
    sandbox.set_key(sandbox.api_key, scopes=["encounters:read", "documents:read", "patients:read"])
    done = examined("--json")
    denied = [each for each in done.lines if each["check"] == "access" and each["outcome"] != "ok"]
    assert done.code == 0
    assert [each["operation"] for each in denied] == ["documents.audio"]
    assert "recordings:read" in denied[0]["detail"]


@pytest.mark.parametrize(
    ("seconds_off", "outcome", "code"),
    [(0, "ok", 0), (120, "note", 0), (-120, "note", 0), (320, "failed", 1), (-320, "failed", 1)],
)
def test_a_clock_is_held_against_the_servers_with_the_tolerance_of_webhooks(
    seconds_off: int,
    outcome: str,
    code: int,
    examined: Callable[..., Done],
    start_peer: StartPeer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CHARTHERO_BASE_URL", start_peer(seconds_off=seconds_off))
    done = examined("--json")
    clock = finding(done, "clock")
    assert (clock["outcome"], done.code) == (outcome, code)
    assert abs(clock["seconds_ahead"] + seconds_off) <= 3
    assert clock["tolerance"] == 300
    # Said from this machine's point of view: it is behind a server that is ahead.
    assert ("behind" in clock["detail"]) == (seconds_off > 0)


@pytest.mark.parametrize("date", ["yesterday", "", "Thu, 01 Jan 1970 00:00:00 -0000"])
def test_a_date_is_read_as_utc_and_one_that_is_none_gives_no_verdict(
    date: str, examined: Callable[..., Done], start_peer: StartPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHARTHERO_BASE_URL", start_peer(date=date))
    done = examined("--json")
    assert finding(done, "clock")["outcome"] == ("failed" if "1970" in date else "note")


def test_a_host_that_does_not_answer_is_told(examined: Callable[..., Done], monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("CHARTHERO_BASE_URL", f"http://127.0.0.1:{port}")
    done = examined("--json")
    assert done.code == 1
    assert finding(done, "connection")["outcome"] == "failed"
    assert "cannot be reached" in finding(done, "connection")["detail"]
    assert finding(done, "key")["accepted"] is None
    assert finding(done, "clock")["outcome"] == "note"


def test_a_name_without_an_address_is_told(examined: Callable[..., Done], monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setenv("CHARTHERO_BASE_URL", "https://api.example.test")
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    done = examined("--json")
    assert done.code == 1
    assert (
        finding(done, "connection")["detail"] == "the host api.example.test has no address: Name or service not known"
    )


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_tls_is_tried_with_the_certificates_that_calls_trust(
    examined: Callable[..., Done], start_peer: StartPeer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    certificate = tmp_path / "localhost.pem"
    line = f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout {certificate} -out {tmp_path / 'c'}"
    subprocess.run(
        ["openssl", *line.split(), "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True
    )
    certificate.write_text(certificate.read_text() + (tmp_path / "c").read_text())
    monkeypatch.setenv("CHARTHERO_BASE_URL", start_peer(certificate=certificate))
    refused = examined("--json")
    assert refused.code == 1
    assert "self-signed certificate" in finding(refused, "connection")["detail"]
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "c"))
    trusted = examined("--json")
    assert trusted.code == 0
    assert finding(trusted, "connection")["tls"] == "TLSv1.3"
    assert "certificate until" in finding(trusted, "connection")["detail"]


def test_a_proxy_is_named_without_its_password(examined: Callable[..., Done], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARTHERO_BASE_URL", "https://api.example.test")
    monkeypatch.setenv("HTTPS_PROXY", "http://someone:canary@127.0.0.1:1/canary?canary")
    done = examined("--json")
    assert done.code == 1
    assert finding(done, "proxy")["proxy"] == "http://127.0.0.1:1"
    assert finding(done, "connection")["detail"].startswith("the proxy 127.0.0.1:1 cannot be reached")
    assert "canary" not in done.out
    monkeypatch.setenv("HTTPS_PROXY", "http://someone:canary@127.0.0.1:port")
    done = examined("--json")
    assert finding(done, "proxy")["outcome"] == "failed"
    assert "canary" not in done.out


def test_a_proxy_that_calls_do_not_use_is_not_said_to_be_used(
    examined: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    done = examined("--json")
    assert done.code == 0
    assert "proxy" not in finding(done, "proxy")
    assert finding(done, "proxy")["detail"].startswith("none for this host")


def test_another_artifact_and_one_that_cannot_be_had_are_noted(
    run: Run, sandbox: Sandbox, start_peer: StartPeer
) -> None:
    for url, said in (
        (start_peer(), "could not tell"),
        ("ftp://x.example.test", "could not tell: the URL is not https"),
    ):
        done = run("doctor", "--json", "--spec-url", url)
        assert done.code == 0
        assert finding(done, "artifact")["outcome"] == "note"
        assert said in finding(done, "artifact")["detail"].replace(" (", ": ")


def test_nothing_about_a_patient_is_asked_for_or_told(examined: Callable[..., Done], sandbox: Sandbox) -> None:
    sandbox.append(patient={"patient_id": "pat_canary", "last_name": "Canary"})
    for done in (examined(), examined("--json")):
        assert "canary" not in done.out.lower()
        assert "enc_" not in done.out


def test_a_server_in_trouble_is_told_and_no_verdict_about_the_key(
    examined: Callable[..., Done], sandbox: Sandbox
) -> None:
    for fault in ({"kind": "html", "status": 502}, {"kind": "reset"}, {"kind": "status", "status": 500}):
        sandbox.fail(**fault, times=None)  # type: ignore[arg-type]
        done = examined("--json")
        assert finding(done, "key")["outcome"] != "refused"
        assert all(each["outcome"] == "note" for each in done.lines if each["check"] == "access")
        assert json.loads(json.dumps(done.lines)) == done.lines
        sandbox.faults.clear()


def test_what_it_prints_is_one_line_whatever_an_environment_holds(
    examined: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHARTHERO_PROFILE", "a\x1b[2J\nb")
    monkeypatch.delenv("CHARTHERO_BASE_URL")
    done: Any = examined()
    assert len(done.out.splitlines()) == 2
    assert "\x1b" not in done.out
