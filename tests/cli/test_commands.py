"""What each command prints: tables for people, one JSON object a line for programs."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from charthero_ext.sandbox import Sandbox

from .conftest import COMMAND, Run, document_id, newest, truth


def test_encounters_lists_the_newest_first_and_says_how_many_more_there_are(run: Run, sandbox: Sandbox) -> None:
    done = run("encounters")
    ids = [encounter["encounter_id"] for encounter in reversed(truth(sandbox)["encounters"])]
    assert done.code == 0
    assert re.findall(r"enc_\w+", done.out) == ids[:50]
    assert "50 of 120 encounters; --limit shows more" in done.err


def test_limit_is_the_total_and_not_a_page_size(run: Run) -> None:
    assert len(run("encounters", "--json", "--limit", 105).lines) == 105
    assert len(re.findall("enc_", run("encounters", "--limit", 105).out)) == 105


def test_json_gives_every_encounter_as_it_was_sent(run: Run, sandbox: Sandbox) -> None:
    done = run("encounters", "--json")
    assert done.lines == truth(sandbox)["encounters"][::-1]
    assert (done.code, done.err) == (0, "")


def test_since_and_until_bound_the_listing_and_take_a_date_for_its_beginning_in_utc(run: Run, sandbox: Sandbox) -> None:
    created = [encounter["created_at"] for encounter in truth(sandbox)["encounters"]]
    done = run("encounters", "--json", "--since", "2026-01-01", "--until", "2026-03-01T02:00:00+02:00")
    assert [encounter["created_at"] for encounter in done.lines] == [
        at for at in reversed(created) if "2026-01-01" <= at < "2026-03-01"
    ]


def test_encounter_document_and_transcript_give_json_as_it_was_sent(run: Run, sandbox: Sandbox) -> None:
    encounter = newest(sandbox, "document", "ambient_transcript")
    encounter_id = encounter["encounter_id"]
    note, talk = document_id(encounter, "document"), document_id(encounter, "ambient_transcript")
    expected = truth(sandbox)
    assert run("encounter", encounter_id, "--json").lines == [
        each for each in expected["encounters"] if each["encounter_id"] == encounter_id
    ]
    assert run("document", encounter_id, note, "--json").lines == [
        each for each in expected["documents"] if each["document_id"] == note
    ]
    assert run("transcript", encounter_id, talk, "--json").lines == [
        each for each in expected["transcripts"] if each["document_id"] == talk
    ]


def test_an_encounter_is_shown_with_the_documents_to_ask_for_next(run: Run, sandbox: Sandbox) -> None:
    encounter = newest(sandbox, "document", "ambient_transcript")
    out = run("encounter", encounter["encounter_id"]).out
    for document in encounter["documents"]:
        assert re.search(rf"document_id +{document['document_id']}\n", out)
        assert re.search(rf"schema_type +{document['schema_type']}\n", out)


def test_a_transcript_is_shown_as_a_conversation_when_asked_for(run: Run, sandbox: Sandbox) -> None:
    encounter = newest(sandbox, "ambient_transcript")
    talk = document_id(encounter, "ambient_transcript")
    turns = next(each for each in truth(sandbox)["transcripts"] if each["document_id"] == talk)["transcript"]["turns"]
    shown = run("transcript", encounter["encounter_id"], talk, "--show-phi").out.splitlines()
    assert shown[-len(turns) :] == [f"{turn['start']:8.2f} {turn['speaker']}: {turn['text']}" for turn in turns]


def test_audio_writes_the_recording_for_its_owner_only_and_prints_where(
    run: Run, sandbox: Sandbox, tmp_path: Path
) -> None:
    encounter = newest(sandbox, "ambient_transcript")
    path = tmp_path / "recording"
    done = run("audio", encounter["encounter_id"], document_id(encounter, "ambient_transcript"), "-o", path)
    assert (done.code, done.out, done.err) == (0, f"{path}\n", "")
    assert path.read_bytes().startswith(b"RIFF")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_resumed_listing_goes_on_where_the_checkpoint_says(run: Run, sandbox: Sandbox) -> None:
    from charthero_ext import ChartHero

    with ChartHero() as ch:
        walk = ch.encounters.iter(sort_order="desc")
        first = [next(walk).encounter_id for _ in range(70)]
        done = run("encounters", "--json", "--resume", walk.checkpoint())
    rest = [encounter["encounter_id"] for encounter in done.lines]
    assert first + rest == list(sandbox.encounter_ids())[::-1]


def test_sandbox_runs_a_sandbox_with_the_options_it_is_given() -> None:
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
def test_without_its_extra_the_command_says_in_one_line_what_to_install(name: str) -> None:
    program = f"import sys; sys.modules[{name!r}] = None; from charthero_ext.cli import main; sys.exit(main([]))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == 'charthero: this command needs its extra: pip install "charthero-ext[cli]"\n'


def test_help_names_every_command(run: Run) -> None:
    done = run("--help")
    assert done.code == 0
    for name in ("encounters", "encounter", "document", "transcript", "audio", "export", "doctor", "sandbox"):
        assert re.search(rf"\b{name}\b", done.out)


def test_json_is_ascii_so_that_it_is_safe_on_every_terminal_and_in_every_encoding(run: Run, sandbox: Sandbox) -> None:
    odd = "\x1b[2J\x9b naïve \u202e \ud800"
    added = sandbox.append(documents=[], patient={"patient_id": "pat_1", "last_name": odd.replace("\ud800", "")})
    line = run("encounters", "--json", "--limit", 1).out
    assert line.isascii()
    assert "\x1b" not in line
    assert json.loads(line)["encounter_id"] == added["encounter_id"]
