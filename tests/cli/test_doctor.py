"""What the doctor finds, and that its report is safe in a support ticket."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from charthero_ext import ChartHero
from charthero_ext.client import RawResponse
from charthero_ext.errors import TransportError
from charthero_ext.sandbox import Sandbox

from .conftest import Done, Record, Run

CANARY = "ch_sk_canary_1"

Examine = Callable[..., Done]


@pytest.fixture
def examined(run: Run, sandbox: Sandbox) -> Examine:
    """Run the doctor without leaving this machine."""

    def examined(*arguments: object) -> Done:
        return run("doctor", "--spec-url", f"{sandbox.base_url}/openapi/v1/openapi.json", *arguments)

    return examined


def finding(done: Done, check: str) -> Record:
    return next(each for each in done.lines if each["check"] == check)


def assert_no_connection(done: Done, reason: str | None) -> None:
    """Check that the doctor fails, gives the reason, and claims nothing about the key or the clock."""
    assert done.code == 1
    assert (finding(done, "connection")["outcome"], finding(done, "connection")["reason"]) == ("failed", reason)
    assert not {"key", "access", "clock"} & {each["check"] for each in done.lines}


def test_every_check_of_a_healthy_setup_is_ok(examined: Examine, sandbox: Sandbox) -> None:
    done = examined("--json")
    assert (done.code, done.err) == (0, "")
    assert [each["check"] for each in done.lines] == [
        *("versions", "settings", "proxy", "connection", "key", *["access"] * 5, "clock", "artifact")
    ]
    assert {each["outcome"] for each in done.lines} == {"ok"}
    assert finding(done, "settings")["base_url"] == sandbox.base_url
    assert finding(done, "connection")["status_code"] == 200
    assert abs(finding(done, "clock")["seconds_ahead"]) <= 2
    assert {"charthero-ext", "httpx", "Python"} <= finding(done, "versions").keys()
    lines = examined().out.splitlines()
    assert len(lines) == 12
    assert all(line.startswith("ok      ") for line in lines)
    assert f"{sandbox.base_url} from CHARTHERO_BASE_URL; the key from CHARTHERO_API_KEY" in lines[1]


def test_the_origin_of_the_settings_is_named_and_the_key_is_not_shown(
    examined: Examine, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sandbox.set_key(CANARY)
    host, profile = (
        ("CHARTHERO_BASE_URL", sandbox.base_url),
        tmp_path / "home" / ".config" / "charthero" / "config.toml",
    )
    profile.parent.mkdir(parents=True)
    profile.write_text(f'[clinic]\nbase_url = "{sandbox.base_url}"\napi_key_file = "key"\n')
    for key in (Path("key"), profile.with_name("key")):
        key.write_text(CANARY)
        key.chmod(0o600)
    monkeypatch.delenv("CHARTHERO_BASE_URL")
    monkeypatch.delenv("CHARTHERO_API_KEY")
    for variables, host_from, key_from in (
        ([host, ("CHARTHERO_API_KEY", CANARY)], "CHARTHERO_BASE_URL", "CHARTHERO_API_KEY"),
        ([host, ("CHARTHERO_API_KEY_FILE", "key")], "CHARTHERO_BASE_URL", "CHARTHERO_API_KEY_FILE"),
        ([("CHARTHERO_PROFILE", "clinic")], "the profile 'clinic'", "the profile 'clinic'"),
    ):
        with monkeypatch.context() as patch:
            for name, value in variables:
                patch.setenv(name, value)
            done = examined("--json")
        assert (done.code, finding(done, "settings")["host_from"]) == (0, host_from)
        assert key_from in finding(done, "settings")["key_from"]
        assert "canary" not in done.out + done.err


@pytest.mark.skipif(os.name != "posix", reason="file modes of POSIX")
@pytest.mark.parametrize(("mode", "is_noted"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True)])
def test_a_key_file_that_others_can_read_is_noted(
    mode: int, is_noted: bool, examined: Examine, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = Path("key")
    key.write_text(sandbox.api_key)
    key.chmod(mode)
    monkeypatch.delenv("CHARTHERO_API_KEY")
    monkeypatch.setenv("CHARTHERO_API_KEY_FILE", str(key))
    done = examined()
    assert done.code == 0
    assert (f"note    key file    other users may read it (mode {mode:04o}); chmod 600 key" in done.out) == is_noted
    assert ("key file  " in done.out) == is_noted


def test_without_settings_only_versions_and_what_to_set_are_printed(
    examined: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CHARTHERO_API_KEY")
    done = examined("--json")
    assert done.code == 1
    assert [each["check"] for each in done.lines] == ["versions", "settings"]
    assert "set CHARTHERO_API_KEY" in finding(done, "settings")["detail"]


@pytest.mark.parametrize(
    ("key", "code", "said"),
    [(CANARY, 3, "not accepted by the server; it came from CHARTHERO_API_KEY"), ("two canary", 1, "white space")],
)
def test_a_wrong_key_is_reported_and_not_shown(
    key: str, code: int, said: str, examined: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHARTHERO_API_KEY", key)
    done = examined()
    assert done.code == code
    assert said in done.out
    assert "canary" not in done.out


def test_a_denied_route_is_noted_with_the_missing_scope(examined: Examine, sandbox: Sandbox) -> None:
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
def test_the_clock_is_compared_with_the_server_and_the_tolerance_of_webhooks(
    seconds_off: int, outcome: str, code: int, examined: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    date = formatdate(time.time() + seconds_off, usegmt=True)
    monkeypatch.setattr(ChartHero, "get", lambda *_, **__: RawResponse(200, {"date": date}, b""))
    done = examined("--json")
    clock = finding(done, "clock")
    assert (clock["outcome"], done.code) == (outcome, code)
    assert abs(clock["seconds_ahead"] + seconds_off) <= 3
    assert clock["tolerance"] == 300
    # This machine is behind a server that is ahead.
    assert ("behind" in clock["detail"]) == (seconds_off > 0)


@pytest.mark.parametrize("date", ["yesterday", "", "Thu, 01 Jan 1970 00:00:00 -0000"])
def test_an_invalid_date_header_gives_no_verdict_about_the_clock(
    date: str, examined: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ChartHero, "get", lambda *_, **__: RawResponse(200, {"date": date}, b""))
    assert finding(examined("--json"), "clock")["outcome"] == ("failed" if "1970" in date else "note")


def test_without_a_connection_only_the_reason_is_reported(examined: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARTHERO_BASE_URL", "http://127.0.0.1:1")
    done = examined("--json")
    assert_no_connection(done, "refused")
    assert "127.0.0.1: the connection was refused" in finding(done, "connection")["detail"]


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [("dns", "check the host"), ("certificate", "set SSL_CERT_FILE"), ("proxy", "add the host to NO_PROXY")],
)
def test_a_failed_connection_is_reported_with_what_to_set(
    reason: Any, remedy: str, examined: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise TransportError("get: no complete response", reason=reason)

    monkeypatch.setattr(ChartHero, "get", failing)
    done = examined("--json")
    assert_no_connection(done, reason)
    assert remedy in finding(done, "connection")["detail"]


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_proxy_is_named_by_its_variable_without_its_password(
    variable: str, examined: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHARTHERO_BASE_URL", "https://api.example.test")
    monkeypatch.setenv(variable, "http://someone:canary@127.0.0.1:1/canary?canary")
    done = examined("--json")
    assert_no_connection(done, "proxy")
    assert finding(done, "proxy")["detail"] == f"127.0.0.1:1, from {variable}"
    assert "canary" not in done.out


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HTTPS_PROXY", "http://someone:canary@127.0.0.1:port"),
        ("ALL_PROXY", "http://someone:canary@["),
        ("SSL_CERT_FILE", "/nowhere/canary.pem"),
    ],
)
def test_a_broken_variable_is_named_and_nothing_is_said_about_the_key(
    variable: str, value: str, examined: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHARTHERO_BASE_URL", "https://api.example.test")
    monkeypatch.setenv(variable, value)
    done = examined("--json")
    assert_no_connection(done, finding(done, "connection")["reason"])
    assert any(variable in each["detail"] for each in done.lines if each["check"] in ("proxy", "connection"))
    assert "canary" not in done.out


def test_a_proxy_for_other_hosts_is_not_reported_as_used(examined: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    done = examined("--json")
    assert done.code == 0
    assert finding(done, "proxy")["proxy"] is None
    assert finding(done, "proxy")["detail"].startswith("none for this host")


def test_a_missing_artifact_is_noted(run: Run, sandbox: Sandbox) -> None:
    for url, reason in ((f"{sandbox.base_url}/nowhere", "HTTP 404"), ("ftp://x.example.test", "the URL is not https")):
        done = run("doctor", "--json", "--spec-url", url)
        assert (done.code, finding(done, "artifact")["outcome"]) == (0, "note")
        assert f"could not tell ({reason})" in finding(done, "artifact")["detail"]


def test_the_report_contains_nothing_about_a_patient(examined: Examine, sandbox: Sandbox) -> None:
    sandbox.append(patient={"patient_id": "pat_canary", "last_name": "Canary"})
    for done in (examined(), examined("--json")):
        assert "canary" not in done.out.lower()
        assert "enc_" not in done.out


@pytest.mark.parametrize("fault", [{"kind": "html", "status": 502}, {"kind": "reset"}, {"kind": "status"}])
def test_a_failing_server_gives_no_verdict_about_the_key(fault: Any, examined: Examine, sandbox: Sandbox) -> None:
    sandbox.fail(**{"status": 500} | fault, times=None)
    done = examined("--json")
    assert {each["outcome"] for each in done.lines if each["check"] in ("key", "access")} <= {"note"}


def test_an_odd_environment_variable_stays_on_one_line(examined: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARTHERO_PROFILE", "a\x1b[2J\nb")
    monkeypatch.delenv("CHARTHERO_BASE_URL")
    done = examined()
    assert len(done.out.splitlines()) == 2
    assert "\x1b" not in done.out
