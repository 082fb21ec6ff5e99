"""What an export contains after each run, and when it is refused, incomplete or damaged."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charthero_ext.changes import Ledger, Upsert
from charthero_ext.cli.records import Reader
from charthero_ext.models import Encounter
from charthero_ext.sandbox import Sandbox

from .conftest import COMMAND, Done, Run, exported, manifest_of, merged, newest, read_lines, truth
from .test_failures import assert_fails

CONTINUE = "what was exported is safe; run the same command again to continue"


def as_merged(sandbox: Sandbox) -> dict[str, Any]:
    return {row["encounter_id"]: row for row in truth(sandbox)["encounters"]}


@pytest.mark.parametrize("since", ["", "2025-09-01"])
def test_the_first_run_exports_everything_as_the_server_sent_it(since: str, run: Run, sandbox: Sandbox) -> None:
    done = run("export", "e", *(["--since", since] if since else []))
    wanted, manifest = truth(sandbox, since), manifest_of(Path("e"))
    assert (done.code, done.err) == (0, "")
    assert exported(Path("e")) == wanted
    numbers = {kind: len(rows) for kind, rows in wanted.items()}
    assert done.out == f"e/0001: {', '.join(f'{number} {kind}' for kind, number in numbers.items())}\n"
    assert manifest["base_url"] == sandbox.base_url
    assert manifest["start_at"] == (f"{since}T00:00:00+00:00" if since else None)
    assert manifest["parts"] == ["documents", "transcripts"]
    assert manifest["counts"] == {"deleted": 0, "unreadable": 0} | numbers
    for name, file in manifest["files"].items():
        content = (Path("e/0001") / name).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        assert file == {"lines": content.count(b"\n"), "bytes": len(content), "sha256": digest}


def test_each_later_run_adds_a_set_of_what_is_new_changed_or_deleted(run: Run, sandbox: Sandbox) -> None:
    assert run("export", "e").code == 0
    ids = list(sandbox.encounter_ids())
    added = sandbox.append()
    sandbox.change(ids[-1], status="canceled")
    sandbox.delete(ids[-2])
    done = run("export", "e")
    assert done.out.startswith("e/0002: 2 encounters,")
    assert ", 1 deleted" in done.out
    second = exported(Path("e"), 2)
    assert [row["encounter_id"] for row in second["encounters"]] == [ids[-1], added["encounter_id"]]
    assert second["deleted"] == [{"encounter_id": ids[-2]}]
    assert {row["encounter_id"] for row in second["documents"]} == {ids[-1], added["encounter_id"]}
    assert merged(Path("e")) == as_merged(sandbox)
    assert run("export", "e").out == "e/0003: 0 encounters, 0 documents, 0 transcripts\n"
    assert [path.name for path in Path("e/0003").iterdir()] == ["manifest.json"]
    assert merged(Path("e")) == as_merged(sandbox)


@pytest.mark.slow
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.sampled_from(["append", "change", "delete", "run", "fail"]), max_size=12), random=st.randoms())
def test_after_any_history_the_sets_add_up_to_the_truth(
    steps: list[str], random: Random, run: Run, sandbox: Sandbox
) -> None:
    sandbox.reset()
    directory = f"history-{len(list(Path().iterdir()))}"
    command = ("export", directory, "--with", "encounters", "--look-back", 1000)
    # A run that continues another does not read the beginning again. The last one does.
    for step in (*steps, "run", "run"):
        ids = list(sandbox.encounter_ids())
        if step == "append":
            sandbox.append()
        elif step == "change":
            sandbox.change(random.choice(ids), status=random.choice(["canceled", "in_progress"]))
        elif step == "delete":
            sandbox.delete(random.choice(ids))
        else:
            sandbox.fail("clamp", limit=10, times=None, operation="encounters.list")
            if step == "fail":
                after = random.randrange(14)
                sandbox.fail("status", status=501, after=after, times=None, operation="encounters.list")
            # A run that continues may be done before the fault.
            assert run(*command).code in ((0,) if step == "run" else (0, 4))
            sandbox.faults.clear()
    assert merged(Path(directory)) == as_merged(sandbox)


def test_duckdb_reads_all_sets_and_an_empty_kind_has_no_file(run: Run, sandbox: Sandbox) -> None:
    run("export", "e", "--with", "encounters")
    run("export", "e")
    assert manifest_of(Path("e"), 2)["counts"]["encounters"] == 0
    assert manifest_of(Path("e"), 2)["files"] == {}
    rows = duckdb.sql("SELECT encounter_id, patient.patient_id FROM read_json('e/*/encounters.jsonl')").fetchall()
    assert [row[0] for row in rows] == list(sandbox.encounter_ids())


@pytest.mark.skipif(os.name != "posix", reason="file modes of POSIX")
def test_only_the_owner_can_read_an_export_even_while_it_is_written(run: Run, sandbox: Sandbox) -> None:
    command = ("export", "e", "--since", newest(sandbox, "ambient_transcript")["created_at"].isoformat())
    before = os.umask(0)
    try:
        sandbox.fail("status", status=503, retry_after="3600", operation="documents.audio", times=None)
        assert run(*command, "--with", "documents,transcripts,audio").code == 4
        meanwhile = list(Path("e").rglob("*"))
        assert Path("e/.0001/encounters.jsonl") in meanwhile
        modes = {path: path.stat().st_mode for path in (Path("e"), *meanwhile)}
        sandbox.faults.clear()
        # Others could read it before this run.
        Path("e").chmod(0o755)
        Path("e/export.ledger").chmod(0o644)
        assert run(*command).code == 0
        modes |= {path: path.stat().st_mode for path in (Path("e"), *Path("e").rglob("*"))}
    finally:
        os.umask(before)
    for mode in modes.values():
        assert stat.S_IMODE(mode) == (0o700 if stat.S_ISDIR(mode) else 0o600)


def test_recordings_are_files_and_no_signed_url_is_written(run: Run, sandbox: Sandbox) -> None:
    since = newest(sandbox, "ambient_transcript")["created_at"].isoformat()
    done = run("export", "e", "--since", since, "--with", "audio")
    lines = read_lines(Path("e/0001/audio.jsonl"))
    assert done.code == 0
    assert lines
    for line in lines:
        recording = (Path("e/0001") / line["file"]).read_bytes()
        assert recording.startswith(b"RIFF")
        assert (line["bytes"], line["sha256"]) == (len(recording), hashlib.sha256(recording).hexdigest())
        assert line.keys() == {"encounter_id", "document_id", "file", "bytes", "sha256"}
    texts = [path.read_bytes() for path in Path("e").rglob("*") if path.is_file() and path.suffix != ".audio"]
    assert sandbox.audio_url.encode() not in b"".join(texts)
    assert b"expires" not in b"".join(texts)


@pytest.mark.parametrize("given", ["encounters", "", "encounters,documents", " transcripts , documents "])
def test_with_selects_the_parts(given: str, run: Run) -> None:
    assert run("export", "e", "--with", given, "--since", "2026-04-01").code == 0
    parts = {part.strip() for part in given.split(",")} - {""} | {"encounters"}
    assert {path.name for path in Path("e/0001").iterdir()} == {f"{part}.jsonl" for part in parts} | {"manifest.json"}


@pytest.mark.parametrize("concurrency", [1, 16])
def test_transient_faults_and_concurrency_do_not_change_an_export(concurrency: int, run: Run, sandbox: Sandbox) -> None:
    sandbox.faults.strike_at_random(0.03, ["status; status=503; retry_after=0", "html", "reset", "truncate", "clamp"])
    done = run("export", "e", "--concurrency", concurrency)
    assert (done.code, done.err) == (0, "")
    assert exported(Path("e")) == truth(sandbox)


@pytest.mark.parametrize("fault", [{"kind": "html", "status": 404}, {"kind": "truncate"}])
def test_a_missing_record_has_the_same_reason_without_an_error_body(
    fault: dict[str, Any], run: Run, sandbox: Sandbox
) -> None:
    sandbox.append(ready=False)
    sandbox.fail(**fault, operation="documents.transcript", times=None)
    assert run("export", "e", "--since", "2026-05-01", "--concurrency", 1).code == 0
    [missing] = exported(Path("e"))["missing"]
    assert missing["reason"] == "not_found"


def test_an_unreadable_record_is_listed_and_read_in_the_next_run(run: Run, sandbox: Sandbox) -> None:
    # A call has four attempts, so exactly one call fails.
    sandbox.fail("status", status=502, operation="documents.transcript", times=4)
    done = run("export", "e", "--concurrency", 1)
    assert (done.code, done.out.endswith(" 1 unreadable\n")) == (4, True)
    assert done.err == "charthero: unreadable.jsonl lists what could not be read; the next run tries it again\n"
    [unreadable] = exported(Path("e"))["unreadable"]
    assert unreadable["part"] == "transcripts"
    sandbox.fail("status", status=502, operation="documents.transcript", times=4)
    assert run("export", "e").code == 4
    assert exported(Path("e"), 2)["unreadable"] == [unreadable]
    assert run("export", "e").code == 0
    [transcript] = exported(Path("e"), 3)["transcripts"]
    assert transcript["document_id"] == unreadable["document_id"]
    assert run("export", "e").out == "e/0004: 0 encounters, 0 documents, 0 transcripts\n"


def test_a_complete_set_can_be_moved_away_and_the_next_run_adds_another(run: Run, sandbox: Sandbox) -> None:
    sandbox.fail("status", status=502, operation="documents.get", times=4)
    assert run("export", "e", "--concurrency", 1).code == 4
    Path("e/0001").rename("archive")
    assert run("export", "e").out == "e/0002: 0 encounters, 1 documents, 0 transcripts\n"
    Path("e/0002").rename("another")
    assert run("export", "e").out == "e/0003: 0 encounters, 0 documents, 0 transcripts\n"


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 503, "retry_after": "3600"}])
def test_an_outage_ends_a_run_and_the_next_one_completes_its_set(fault: Any, run: Run, sandbox: Sandbox) -> None:
    sandbox.fail("status", **fault, operation="documents.get", times=None)
    done = run("export", "e")
    assert_fails(done, 4, CONTINUE)
    assert not Path("e/0001").exists()
    sandbox.faults.clear()
    assert run("export", "e").code == 0
    assert exported(Path("e")) == truth(sandbox)


@pytest.fixture
def begun(run: Run, sandbox: Sandbox) -> Path:
    """Return the directory of an export that ended in the middle of its second run."""
    assert run("export", "e", "--since", "2026-03-01", "--with", "documents").code == 0
    for encounter_id in list(sandbox.encounter_ids())[-10:]:
        sandbox.change(encounter_id, status="canceled")
    sandbox.fail("clamp", limit=3, times=None, operation="encounters.list")
    sandbox.fail("status", status=401, operation="documents.get", after=8, times=None)
    assert_fails(run("export", "e"), 3, CONTINUE)
    sandbox.faults.clear()
    return Path("e")


def test_a_run_with_another_key_continues(
    begun: Path, run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_lines(begun / ".0002" / "encounters.jsonl")
    sandbox.set_key("ch_sk_another_1")
    monkeypatch.setenv("CHARTHERO_API_KEY", "ch_sk_another_1")
    assert run("export", begun).code == 0
    assert len(exported(begun, 2)["encounters"]) == 10
    assert merged(begun) == {row["encounter_id"]: row for row in truth(sandbox, since="2026-03-01")["encounters"]}


@pytest.mark.parametrize(
    ("option", "value"), [("--since", "2026-03-02"), ("--with", "encounters"), ("--with", "documents,audio")]
)
def test_options_that_differ_from_the_first_run_are_refused(option: str, value: str, begun: Path, run: Run) -> None:
    before = {path: path.read_bytes() for path in begun.rglob("*.json*")}
    assert_fails(run("export", begun, option, value), 1, f"a different {option};", "choose another directory")
    assert {path: path.read_bytes() for path in begun.rglob("*.json*")} == before
    assert run("export", begun, "--since", "2026-03-01T02:00:00+02:00", "--with", "documents").code == 0


def test_many_deletions_at_once_need_permission_and_nothing_is_delivered_twice(run: Run, sandbox: Sandbox) -> None:
    commands = [("export", "e", "--with", "encounters", "--look-back", 1000), ("changes", "l", "--look-back", 1000)]
    for command in commands:
        assert run(*command).code == 0
    changed, *others = list(sandbox.encounter_ids())[19:]
    for encounter_id in others:
        sandbox.delete(encounter_id)
    sandbox.change(changed, status="canceled")
    for command in commands:
        done = run(*command)
        assert done.code == 1
        assert "no longer lists 100 of 120" in done.err
        assert "use --allow-mass-delete" in done.err
    sandbox.change(changed, status="in_progress")
    for command in commands:
        assert run(*command, "--allow-mass-delete").code == 0
        assert run(*command).code == 0
    assert merged(Path("e")) == as_merged(sandbox)


def test_another_host_and_a_second_run_at_the_same_time_are_refused(
    begun: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger(begun / "export.ledger"):
        assert_fails(run("export", begun), 1, "export.ledger is in use")
    monkeypatch.setenv("CHARTHERO_BASE_URL", "https://api.example.test")
    done = run("export", begun)
    assert_fails(done, 1, "https://api.example.test")
    assert CONTINUE not in done.err


def test_a_directory_with_other_files_is_refused_and_unchanged(run: Run, tmp_path: Path) -> None:
    Path("e").mkdir(mode=0o755)
    Path("e/notes").write_text("mine")
    assert_fails(run("export", "e"), 1, "e is not empty and contains no export", "choose another directory")
    assert [path.name for path in Path("e").iterdir()] == ["notes"]
    assert stat.S_IMODE(Path("e").stat().st_mode) == 0o755


def test_links_are_not_followed(begun: Path, run: Run) -> None:
    Path("victim").write_text("mine")
    Path("elsewhere").mkdir()
    directory = begun / ".0002"
    for name in ("missing.jsonl", "manifest.json", "audio"):
        (directory / name).unlink(missing_ok=True)
        (directory / name).symlink_to(Path("elsewhere" if name == "audio" else "victim").absolute())
        assert_fails(run("export", begun), 1, name, "another directory")
        (directory / name).unlink()
    directory.rename("moved")
    directory.symlink_to(Path("elsewhere").absolute())
    assert_fails(run("export", begun), 1, ".0002", "another directory")
    assert Path("victim").read_text() == "mine"
    assert list(Path("elsewhere").iterdir()) == []


@pytest.mark.parametrize("name", [".0002/documents.jsonl", ".0002"])
def test_lines_that_disappeared_are_reported(name: str, begun: Path, run: Run) -> None:
    path = begun / name
    if path.is_dir():
        path.rename("moved")
    else:
        path.write_bytes(b"")
    assert_fails(run("export", begun), 1, name, "another directory")


FLIPPED = ["encounters.jsonl", "documents.jsonl", "transcripts.jsonl", "audio.jsonl", "manifest.json", "*.audio"]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage", [flip, Path.unlink, lambda path: path.with_name("more.jsonl").touch()], ids=["flip", "remove", "add"]
)
@pytest.mark.parametrize("name", FLIPPED)
def test_verify_and_every_later_run_find_a_damaged_file(
    name: str, damage: Callable[[Path], object], run: Run, sandbox: Sandbox
) -> None:
    since = newest(sandbox, "document", "ambient_transcript")["created_at"].isoformat()
    assert run("export", "e", "--since", since, "--with", "documents,transcripts,audio").code == 0
    verified = run("export", "e", "--verify")
    assert (verified.code, verified.out) == (0, "sets compared with their manifests: 1\n")
    path = next(Path("e/0001").rglob(name))
    damage(path)
    for options in ((), ("--verify",)):
        assert_fails(run("export", "e", *options), 1, "e/0001/", "is not as it was exported")
    assert not Path("e/0002").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"parts": 7}'])
def test_a_ledger_with_another_state_is_reported(text: str, run: Run) -> None:
    assert run("export", "e", "--since", "2026-04-20", "--with", "encounters").code == 0
    with Ledger("e/export.ledger") as ledger:
        ledger.save(text)
    assert_fails(run("export", "e"), 1, "export.ledger", "another directory")


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
@pytest.mark.usefixtures("_configured")
def test_after_a_full_disk_the_next_run_continues(run: Run, sandbox: Sandbox) -> None:
    # The shell limits the size of every file, also of a coverage file.
    line = f"unset COVERAGE_PROCESS_CONFIG; ulimit -f 128; exec {' '.join(COMMAND)} export e"
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=False, timeout=60)
    assert_fails(Done(done.returncode, done.stdout, done.stderr), 4, CONTINUE)
    assert not Path("e/0001").exists()
    assert run("export", "e").code == 0
    assert exported(Path("e")) == truth(sandbox)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.usefixtures("_configured")
def test_a_full_standard_output_ends_with_1_and_one_line() -> None:
    for arguments in (["encounters", "--json"], ["changes", "l"], ["doctor", "--spec-url", "x"]):
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run([*COMMAND, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        assert_fails(Done(done.returncode, "", done.stderr), 1, "No space left on device")


def test_ids_that_are_paths_stay_in_the_directory(tmp_path: Path) -> None:
    def change(document_id: str) -> Upsert:
        documents = [{"document_id": document_id, "schema_type": "ambient_transcript"}]
        encounter = Encounter.from_dict({"encounter_id": "enc_1", "documents": documents})
        return Upsert(kind="added", encounter_id="enc_1", encounter=encounter, transcripts_ready=[])

    class Recordings:
        def download_audio(self, encounter_id: str, document_id: str, path: Path) -> Path:
            path.write_bytes(b"RIFF")
            return path

    reader = Reader(Recordings(), ("audio",), tmp_path / "audio")  # type: ignore[arg-type]
    names = set()
    for odd in ("../../x", "/etc/x", "a" * 500, "a\x00b", "A", "a", "", "ünï", ".."):
        _, (_, row) = reader.read(change(odd))
        names.add(row["file"])
    assert len(names) == 9
    assert all((tmp_path / name).parent == tmp_path / "audio" and (tmp_path / name).is_file() for name in names)


def test_a_document_of_an_unknown_shape_is_listed(run: Run, sandbox: Sandbox) -> None:
    sandbox.append(documents=[{"document_id": None, "schema_type": "ambient_transcript"}, {}])
    assert run("export", "e", "--since", "2026-04-20").code == 4
    assert {row["document_id"] for row in exported(Path("e"))["unreadable"]} == {None}
    assert run("export", "e").code == 0
