"""What an export holds, and when it is refused, incomplete or damaged."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from charthero_ext.cli.export import Export
from charthero_ext.sandbox import Sandbox

from .conftest import COMMAND, Done, Run, exported, newest, read_lines, truth
from .test_failures import assert_fails

GO_ON = "what was exported is safe; run the same command again to continue"


def manifest_of(directory: Path) -> Any:
    return json.loads((directory / "manifest.json").read_text())


def test_an_export_holds_everything_as_it_was_sent(run: Run, sandbox: Sandbox, tmp_path: Path) -> None:
    done = run("export", tmp_path / "e")
    wanted = truth(sandbox)
    assert (done.code, done.err) == (0, "")
    assert exported(tmp_path / "e") == wanted
    counts = f"120 encounters, {len(wanted['documents'])} documents, {len(wanted['transcripts'])} transcripts"
    assert done.out == f"{counts}, {len(wanted['missing'])} missing: {tmp_path / 'e' / 'manifest.json'}\n"


def test_the_manifest_has_range_counts_receipt_and_a_sum_per_file(run: Run, sandbox: Sandbox, tmp_path: Path) -> None:
    run("export", tmp_path / "e", "--since", "2025-09-01", "--until", "2026-03-01T02:00:00+02:00")
    manifest, files = manifest_of(tmp_path / "e"), exported(tmp_path / "e")
    assert manifest["options"] == {
        "base_url": sandbox.base_url,
        "start_at": "2025-09-01T00:00:00+00:00",
        "end_at": "2026-03-01T00:00:00+00:00",
        "parts": ["documents", "transcripts"],
    }
    assert manifest["counts"] == {name: len(rows) for name, rows in files.items() if name != "missing"}
    assert manifest["receipt"]["complete"] is True
    assert manifest["receipt"]["rows"] == manifest["counts"]["encounters"] > 0
    for name, file in manifest["files"].items():
        content = (tmp_path / "e" / name).read_bytes()
        assert file == {
            "lines": content.count(b"\n"),
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    created = [encounter["created_at"] for encounter in files["encounters"]]
    assert created == sorted(at for at in created if "2025-09-01" <= at < "2026-03-01")


def test_only_its_owner_may_read_it_also_while_it_is_written(run: Run, sandbox: Sandbox, tmp_path: Path) -> None:
    since = newest(sandbox, "ambient_transcript")["created_at"].isoformat()
    before = os.umask(0)
    try:
        sandbox.fail("status", status=503, retry_after="3600", operation="documents.audio", times=None)
        assert run("export", tmp_path / "e", "--since", since, "--with", "documents,transcripts,audio").code == 4
        meanwhile = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "e").rglob("*")}
        sandbox.faults.clear()
        assert run("export", tmp_path / "e", "--since", since, "--with", "documents,transcripts,audio").code == 0
    finally:
        os.umask(before)
    assert "encounters.jsonl.part" in meanwhile
    assert {mode for name, mode in meanwhile.items() if name != "audio"} == {0o600}
    assert stat.S_IMODE((tmp_path / "e").stat().st_mode) == 0o700
    for path in (tmp_path / "e").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_recordings_are_there_and_no_signed_url_is(run: Run, sandbox: Sandbox, tmp_path: Path) -> None:
    since = newest(sandbox, "ambient_transcript")["created_at"].isoformat()
    done = run("export", tmp_path / "e", "--since", since, "--with", "audio")
    lines = read_lines(tmp_path / "e" / "audio.jsonl")
    assert done.code == 0
    assert lines
    for line in lines:
        recording = (tmp_path / "e" / line["file"]).read_bytes()
        assert recording.startswith(b"RIFF")
        assert (line["bytes"], line["sha256"]) == (len(recording), hashlib.sha256(recording).hexdigest())
        assert line.keys() == {"encounter_id", "document_id", "file", "bytes", "sha256"}
    texts = [path.read_text() for path in (tmp_path / "e").glob("*") if path.is_file()] + [done.out, done.err]
    assert sandbox.audio_url not in "".join(texts)
    assert "expires" not in "".join(texts)


@pytest.mark.parametrize("asked", ["encounters", "", "encounters,documents", " transcripts , documents "])
def test_with_says_which_parts(asked: str, run: Run, sandbox: Sandbox, tmp_path: Path) -> None:
    assert run("export", tmp_path / "e", "--with", asked, "--since", "2026-04-01").code == 0
    parts = {part.strip() for part in asked.split(",")} - {""} | {"encounters"}
    assert {path.name for path in (tmp_path / "e").iterdir()} == {f"{part}.jsonl" for part in parts} | {"manifest.json"}


def test_a_range_without_encounters_is_an_export_too(run: Run, tmp_path: Path) -> None:
    done = run("export", tmp_path / "e", "--until", "1990-01-01")
    assert (done.code, done.out.startswith("0 encounters")) == (0, True)
    assert (tmp_path / "e" / "encounters.jsonl").read_bytes() == b""


@pytest.mark.parametrize("concurrency", [1, 16])
def test_concurrency_and_faults_that_pass_do_not_change_what_it_holds(
    concurrency: int, run: Run, sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.faults.strike_at_random(0.03, ["status; status=503; retry_after=0", "html", "reset", "truncate", "clamp"])
    done = run("export", tmp_path / "e", "--concurrency", concurrency)
    assert (done.code, done.err) == (0, "")
    assert exported(tmp_path / "e") == truth(sandbox)


def test_one_unreadable_record_is_listed_and_ends_it_with_4(run: Run, sandbox: Sandbox, tmp_path: Path) -> None:
    # As often as a call is tried, so that one call fails for good.
    sandbox.fail("status", status=500, operation="documents.transcript", times=4)
    done = run("export", tmp_path / "e", "--concurrency", 1)
    manifest = manifest_of(tmp_path / "e")
    assert done.code == 4
    assert done.err == "charthero: manifest.json lists what could not be read\n"
    [unreadable] = manifest["unreadable"]
    assert unreadable["part"] == "transcripts"
    assert unreadable["encounter_id"].startswith("enc_")
    assert len(read_lines(tmp_path / "e" / "encounters.jsonl")) == 120
    # Asked again, it says the same.
    again = run("export", tmp_path / "e")
    assert again.code == 4
    assert "finished" in again.err


def test_many_unreadable_records_in_a_row_are_an_outage_and_nothing_is_taken_for_read(
    run: Run, sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.fail("status", status=500, operation="documents.get", times=None)
    done = run("export", tmp_path / "e")
    assert (done.code, done.out) == (4, "")
    assert GO_ON in done.err
    sandbox.faults.clear()
    assert run("export", tmp_path / "e").code == 0
    assert exported(tmp_path / "e") == truth(sandbox)


def test_a_key_refused_in_the_middle_ends_with_3_and_another_key_goes_on(
    run: Run, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charthero_ext.cli.export.BATCH", 20)
    sandbox.fail("status", status=401, operation="documents.get", after=100, times=None)
    done = run("export", tmp_path / "e")
    assert_fails(done, 3, GO_ON)
    sandbox.faults.clear()
    sandbox.set_key("ch_sk_another_1")
    monkeypatch.setenv("CHARTHERO_API_KEY", "ch_sk_another_1")
    assert run("export", tmp_path / "e").code == 0
    assert exported(tmp_path / "e") == truth(sandbox)


@pytest.fixture
def begun(run: Run, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of an export that broke off in the middle."""
    monkeypatch.setattr("charthero_ext.cli.export.BATCH", 5)
    sandbox.fail("status", status=503, retry_after="3600", operation="documents.get", after=25, times=None)
    assert run("export", tmp_path / "begun", "--since", "2026-03-01").code == 4
    sandbox.faults.clear()
    return tmp_path / "begun"


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        (["--since", "2026-03-02"], "--since"),
        ([], "--since"),
        (["--since", "2026-03-01", "--until", "2026-04-20"], "--until"),
        (["--since", "2026-03-01", "--with", "documents"], "--with"),
        (["--since", "2026-03-02", "--with", "documents"], "--since and --with"),
    ],
)
def test_with_other_options_it_is_refused_and_stays_as_it_is(
    changed: list[str], word: str, run: Run, begun: Path
) -> None:
    before = contents(begun)
    assert_fails(run("export", begun, *changed), 1, f"a different {word};", "choose another directory")
    assert contents(begun) == before
    assert run("export", begun, "--since", "2026-03-01T02:00:00+02:00").code == 0
    before = contents(begun)
    assert_fails(run("export", begun, *changed), 1, f"a different {word};")
    assert contents(begun) == before


def test_with_another_host_it_is_refused(run: Run, begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARTHERO_BASE_URL", "https://api.example.test")
    assert_fails(run("export", begun, "--since", "2026-03-01"), 1, "a different host;")


def test_a_finished_export_is_not_done_again(run: Run, sandbox: Sandbox, tmp_path: Path) -> None:
    first = run("export", tmp_path / "e")
    before = contents(tmp_path / "e")
    sandbox.append()
    again = run("export", tmp_path / "e")
    assert (again.code, again.out) == (0, first.out)
    assert "was finished at" in again.err
    assert contents(tmp_path / "e") == before


def test_a_directory_that_holds_something_else_is_left_alone(run: Run, tmp_path: Path) -> None:
    (tmp_path / "e").mkdir(mode=0o700)
    (tmp_path / "e" / "documents.jsonl").write_text("mine")
    assert_fails(run("export", tmp_path / "e"), 1, "documents.jsonl", "choose another directory")
    assert contents(tmp_path / "e") == {"documents.jsonl": b"mine"}


def test_no_link_is_followed_to_a_file_elsewhere(run: Run, tmp_path: Path) -> None:
    (tmp_path / "e").mkdir(mode=0o700)
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "e" / "encounters.jsonl.part").symlink_to(tmp_path / "victim")
    assert_fails(run("export", tmp_path / "e"), 1, "encounters.jsonl.part")
    (tmp_path / "f").mkdir(mode=0o700)
    (tmp_path / "f" / "gaps.jsonl.part").symlink_to(tmp_path / "new")
    assert_fails(run("export", tmp_path / "f"), 1, "gaps.jsonl.part", "choose another directory")
    assert (tmp_path / "victim").read_text() == "mine"
    assert not (tmp_path / "new").exists()


def test_a_directory_that_others_can_read_becomes_private_or_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir(mode=0o755)
    assert run("export", tmp_path / "empty", "--since", "2026-04-01").code == 0
    assert stat.S_IMODE((tmp_path / "empty").stat().st_mode) == 0o700
    (tmp_path / "empty").chmod(0o755)
    assert run("export", tmp_path / "empty", "--since", "2026-04-01").code == 0
    assert stat.S_IMODE((tmp_path / "empty").stat().st_mode) == 0o700
    (tmp_path / "full").mkdir(mode=0o755)
    (tmp_path / "full" / "notes").touch()
    assert_fails(run("export", tmp_path / "full"), 1, "other users can read", "choose another directory")
    assert stat.S_IMODE((tmp_path / "full").stat().st_mode) == 0o755


ODD: list[Any] = [None, 7, -1, "text", [], {}, [None], {"a": None}, True]


@pytest.mark.parametrize("name", ["options", "checkpoint", "sizes", "receipt", "added"])
def test_a_state_edited_by_hand_is_told_or_does_no_harm(name: str, run: Run, sandbox: Sandbox, begun: Path) -> None:
    state, before = json.loads((begun / "export-state.json").read_text()), contents(begun)
    for odd in [*ODD, dict.fromkeys(state["sizes"], -1), dict.fromkeys(state["sizes"], 10**9)]:
        for file, content in before.items():
            (begun / file).write_bytes(content)
        (begun / "export-state.json").write_text(json.dumps({**state, name: odd}))
        done = run("export", begun, "--since", "2026-03-01")
        assert_damage_is_told(done, begun)
        assert done.code != 0 or exported(begun) == truth(sandbox, since="2026-03-01")


@pytest.mark.parametrize("name", ["options", "counts", "receipt", "files", "missing", "unreadable", "finished_at"])
def test_a_manifest_edited_by_hand_is_told_or_does_no_harm(name: str, run: Run, tmp_path: Path) -> None:
    run("export", tmp_path / "e", "--since", "2026-04-01")
    manifest = manifest_of(tmp_path / "e")
    for odd in [*ODD, {"encounters.jsonl": None}, {"../x": {"bytes": 1}}]:
        (tmp_path / "e" / "manifest.json").write_text(json.dumps({**manifest, name: odd}))
        assert_damage_is_told(run("export", tmp_path / "e", "--since", "2026-04-01"), tmp_path / "e")
    del manifest[name]
    (tmp_path / "e" / "manifest.json").write_text(json.dumps(manifest))
    done = run("export", tmp_path / "e", "--since", "2026-04-01")
    assert_damage_is_told(done, tmp_path / "e")


def assert_damage_is_told(done: Done, directory: Path) -> None:
    """It is refused in a line about the directory, unless what was changed is nothing it goes by."""
    if done.code != 0:
        assert_fails(done, 1, str(directory), "another directory")
        assert "report" not in done.err


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff\xfe", b"null", b'{"options": {}}'])
@pytest.mark.parametrize("name", ["export-state.json", "manifest.json"])
def test_a_state_or_manifest_that_is_none_is_told(name: str, damage: bytes, run: Run, begun: Path) -> None:
    (begun / name).write_bytes(damage)
    assert_fails(run("export", begun, "--since", "2026-03-01"), 1, name, "another directory")


def test_lines_that_went_missing_are_told(run: Run, begun: Path) -> None:
    (begun / "documents.jsonl.part").write_bytes(b"")
    assert_fails(run("export", begun, "--since", "2026-03-01"), 1, "documents.jsonl", "another directory")
    (begun / "documents.jsonl.part").unlink()
    assert_fails(run("export", begun, "--since", "2026-03-01"), 1, "documents.jsonl", "another directory")


@pytest.mark.parametrize("change", [lambda path: path.unlink(), lambda path: path.write_bytes(b"{}\n")])
def test_a_finished_export_that_was_changed_is_told(change: Callable[[Path], object], run: Run, tmp_path: Path) -> None:
    run("export", tmp_path / "e", "--since", "2026-04-01")
    change(tmp_path / "e" / "encounters.jsonl")
    assert_fails(run("export", tmp_path / "e", "--since", "2026-04-01"), 1, "encounters.jsonl", "another directory")


def test_a_second_export_into_the_same_directory_is_refused_and_the_first_is_unharmed(
    run: Run, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_at_it, may_go_on = threading.Event(), threading.Event()
    finish = Export._finish

    def waiting(self: Export, state: Any) -> dict[str, Any]:
        is_at_it.set()
        assert may_go_on.wait(20)
        return finish(self, state)

    monkeypatch.setattr(Export, "_finish", waiting)
    from charthero_ext import ChartHero

    with ChartHero() as ch:
        first = threading.Thread(target=Export(client=ch, directory=tmp_path / "e").run)
        first.start()
        assert is_at_it.wait(20)
        second = subprocess.run(
            [*COMMAND, "export", str(tmp_path / "e")], capture_output=True, text=True, check=False, timeout=20
        )
        may_go_on.set()
        first.join()
    assert_fails(Done(second.returncode, second.stdout, second.stderr), 1, "another export is writing to")
    assert exported(tmp_path / "e") == truth(sandbox)


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
@pytest.mark.usefixtures("_configured")
def test_a_full_disk_is_told_and_with_room_again_it_goes_on(run: Run, sandbox: Sandbox, tmp_path: Path) -> None:
    line = " ".join([*COMMAND, "export", str(tmp_path / "e")])
    # No file may grow beyond so many blocks of 512 or 1024 bytes; the shell decides which.
    done = subprocess.run(
        ["/bin/sh", "-c", f"ulimit -f 64; exec {line}"], capture_output=True, text=True, check=False, timeout=60
    )
    assert_fails(Done(done.returncode, done.stdout, done.stderr), 4, "File too large", GO_ON)
    assert not (tmp_path / "e" / "manifest.json").exists()
    assert run("export", tmp_path / "e").code == 0
    assert exported(tmp_path / "e") == truth(sandbox)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.usefixtures("_configured")
def test_an_output_that_is_full_ends_with_1_and_one_line() -> None:
    for arguments in (["encounters", "--json"], ["encounters"], ["doctor", "--spec-url", "x"]):
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run([*COMMAND, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        assert_fails(Done(done.returncode, "", done.stderr), 1, "No space left on device")


def test_ids_that_are_paths_stay_in_the_directory(run: Run, sandbox: Sandbox, tmp_path: Path) -> None:
    from charthero_ext.cli.export_parts import Parts
    from charthero_ext.models import DocumentSummary

    class Recordings:
        def download_audio(self, encounter_id: str, document_id: str, path: Path) -> Path:
            path.write_bytes(b"RIFF")
            return path

    parts = Parts(("audio",), Recordings(), tmp_path)  # type: ignore[arg-type]
    names = set()
    for odd in ("../../x", "/etc/x", "a" * 500, "a\x00b", "A", "a", "", "ünï", ".."):
        summary = DocumentSummary.from_dict({"document_id": odd, "schema_type": "ambient_transcript"})
        [(name, row, error)] = parts(("enc_1", summary))
        assert (name, error) == ("audio.jsonl", None)
        names.add(row["file"])
    assert len(names) == 9
    assert all((tmp_path / name).parent == tmp_path / "audio" and (tmp_path / name).is_file() for name in names)


def test_a_document_of_no_known_shape_is_listed_and_not_fatal(run: Run, sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.append(documents=[{"document_id": None, "schema_type": "ambient_transcript"}, {}])
    done = run("export", tmp_path / "e", "--since", "2026-04-20")
    assert done.code == 4
    assert {gap["document_id"] for gap in manifest_of(tmp_path / "e")["unreadable"]} == {None}
