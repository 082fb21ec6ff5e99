"""What each command prints: tables for people, one JSON object per line for programs."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from charthero_ext.sandbox import Sandbox

from .conftest import COMMAND, Run, document_id, newest, truth
from .test_failures import assert_fails


def test_encounters_lists_the_newest_first_and_says_how_many_exist(run: Run, sandbox: Sandbox) -> None:
    done = run("encounters")
    ids = [encounter["encounter_id"] for encounter in reversed(truth(sandbox)["encounters"])]
    assert done.code == 0
    assert re.findall(r"enc_\w+", done.out) == ids[:50]
    assert "50 of 120 encounters; --max-items shows more" in done.err


def test_max_items_is_a_total_and_not_a_page_size(run: Run) -> None:
    assert len(run("encounters", "--json", "--max-items", 105).lines) == 105
    assert len(re.findall("enc_", run("encounters", "--max-items", 105).out)) == 105


def test_json_contains_every_encounter_as_the_server_sent_it(run: Run, sandbox: Sandbox) -> None:
    done = run("encounters", "--json")
    assert done.lines == truth(sandbox)["encounters"][::-1]
    assert (done.code, done.err) == (0, "")


def test_since_and_until_take_instants_and_dates(run: Run, sandbox: Sandbox) -> None:
    created = [encounter["created_at"] for encounter in truth(sandbox)["encounters"]]
    expected = [at for at in reversed(created) if "2026-01-01" <= at < "2026-03-01"]
    for until in ("2026-03-01", "2026-03-01T00:00:00Z", "2026-03-01T02:00:00+02:00", "20260301"):
        done = run("encounters", "--json", "--since", "2026-01-01", "--until", until)
        assert [encounter["created_at"] for encounter in done.lines] == expected


def test_status_and_type_select_encounters(run: Run, sandbox: Sandbox) -> None:
    statuses = {each["status"] for each in truth(sandbox)["encounters"]}
    assert len(statuses) > 1
    for status in statuses:
        wanted = [each for each in reversed(truth(sandbox)["encounters"]) if each["status"] == status]
        options = ("encounters", "--status", status, "--type", "ambient")
        assert run(*options, "--json").lines == wanted
        assert run(*options, "--json", "--max-items", 2).lines == wanted[:2]
        shown = run(*options, "--max-items", 200).out
        assert re.findall(r"enc_\w+", shown) == [each["encounter_id"] for each in wanted]
    assert run("encounters", "--type", "nope").out == ""
    assert "filter them here" in " ".join(run("encounters", "--help").out.split())


@pytest.mark.parametrize("options", [("--status", "nope"), ("--until", "1990-01-01")])
def test_an_empty_list_says_so_in_one_line(options: tuple[str, ...], run: Run) -> None:
    for arguments in (options, (*options, "--json")):
        done = run("encounters", *arguments)
        assert (done.code, done.out, done.err) == (0, "", "No encounters found.\n")


def test_one_record_is_json_as_the_server_sent_it(run: Run, sandbox: Sandbox) -> None:
    encounter = newest(sandbox, "document", "ambient_transcript")
    encounter_id = encounter["encounter_id"]
    note, talk = document_id(encounter, "document"), document_id(encounter, "ambient_transcript")
    expected = truth(sandbox)
    for command, ids, name in (
        ("encounter", (encounter_id,), "encounters"),
        ("document", (encounter_id, note), "documents"),
        ("transcript", (encounter_id, talk), "transcripts"),
    ):
        found = [each for each in expected[name] if {*ids} <= {each["encounter_id"], each.get("document_id")}]
        assert run(command, *ids, "--json").lines == found


def test_a_card_lists_the_documents_of_an_encounter(run: Run, sandbox: Sandbox) -> None:
    encounter = newest(sandbox, "document", "ambient_transcript")
    out = run("encounter", encounter["encounter_id"]).out
    for document in encounter["documents"]:
        assert re.search(rf"document_id +{document['document_id']}\n", out)
        assert re.search(rf"schema_type +{document['schema_type']}\n", out)


def test_a_transcript_is_shown_as_a_conversation_with_show_phi(run: Run, sandbox: Sandbox) -> None:
    encounter = newest(sandbox, "ambient_transcript")
    talk = document_id(encounter, "ambient_transcript")
    turns = next(each for each in truth(sandbox)["transcripts"] if each["document_id"] == talk)["transcript"]["turns"]
    shown = run("transcript", encounter["encounter_id"], talk, "--show-phi").out.splitlines()
    assert shown[-len(turns) :] == [f"{turn['start']:8.2f} {turn['speaker']}: {turn['text']}" for turn in turns]


def test_audio_writes_a_private_file_and_replaces_only_a_file_with_force(run: Run, sandbox: Sandbox) -> None:
    encounter = newest(sandbox, "ambient_transcript")
    command = ("audio", encounter["encounter_id"], document_id(encounter, "ambient_transcript"), "-o")
    path = Path("recording")
    done = run(*command, path)
    assert (done.code, done.out, done.err) == (0, f"{path}\n", "")
    assert path.read_bytes().startswith(b"RIFF")
    path.write_text("mine")
    path.chmod(0o644)
    assert_fails(run(*command, path), 1, str(path), "--force replaces it")
    assert path.read_text() == "mine"
    Path("link").symlink_to(path)
    Path("directory").mkdir()
    os.mkfifo("pipe")
    for name in ("link", "directory", "pipe"):
        assert_fails(run(*command, name), 1, name)
        assert_fails(run(*command, name, "--force"), 1, name)
    assert Path("link").is_symlink()
    assert Path("pipe").is_fifo()
    assert path.read_text() == "mine"
    assert run(*command, path, "--force").code == 0
    assert path.read_bytes().startswith(b"RIFF")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_listing_resumes_at_a_checkpoint(run: Run, sandbox: Sandbox) -> None:
    from charthero_ext import ChartHero

    with ChartHero() as ch:
        walk = ch.encounters.iter(sort_order="desc")
        first = [next(walk).encounter_id for _ in range(70)]
        done = run("encounters", "--json", "--resume", walk.checkpoint())
    rest = [encounter["encounter_id"] for encounter in done.lines]
    assert first + rest == list(sandbox.encounter_ids())[::-1]


def test_sandbox_runs_a_sandbox_with_its_options() -> None:
    with subprocess.Popen([*COMMAND, "sandbox", "--port", "0", "--encounters", "3"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        found = re.search(r"CHARTHERO_BASE_URL=(\S+) CHARTHERO_API_KEY=(\S+)", process.stdout.readline().decode())
        assert found is not None
        environment = {**os.environ, "CHARTHERO_BASE_URL": found[1], "CHARTHERO_API_KEY": found[2]}
        listed = subprocess.run([*COMMAND, "encounters", "--json"], env=environment, capture_output=True, check=True)
        process.terminate()
    assert len(listed.stdout.splitlines()) == 3
    assert process.returncode == 0


@pytest.mark.parametrize("name", ["typer", "rich"])
def test_a_missing_extra_is_one_line_with_the_install_command(name: str) -> None:
    program = f"import sys; sys.modules[{name!r}] = None; from charthero_ext.cli import main; sys.exit(main([]))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == 'charthero: this command needs its extra: pip install "charthero-ext[cli]"\n'


def test_version_prints_the_version_of_the_package(run: Run) -> None:
    done = run("--version")
    assert (done.code, done.out, done.err) == (0, f"charthero {version('charthero-ext')}\n", "")


COMMANDS = ("encounters", "encounter", "document", "transcript", "audio", "changes", "export", "doctor", "sandbox")


def test_help_names_every_command_and_fits_60_columns(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    for command in ("", *COMMANDS[:-1]):
        done = run(*filter(None, [command]), "--help")
        assert done.code == 0
        assert max(map(len, done.out.splitlines())) <= 60
        assert "…" not in done.out
        if not command:
            assert all(re.search(rf"^  {name} ", done.out, re.MULTILINE) for name in COMMANDS)
            assert "..." not in done.out.replace("ARGS]...", "")


def test_json_is_ascii_for_every_terminal_and_encoding(run: Run, sandbox: Sandbox) -> None:
    odd = "\x1b[2J\x9b naïve \u202e"
    added = sandbox.append(documents=[], patient={"patient_id": "pat_1", "last_name": odd})
    line = run("encounters", "--json", "--max-items", 1).out
    assert line.isascii()
    assert "\x1b" not in line
    assert json.loads(line)["encounter_id"] == added["encounter_id"]
