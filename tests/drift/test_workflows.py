"""Workflows run only make targets and scripts, with the fewest permissions that they need."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.artifact import ROOT
from scripts.check_tag import main as check_tag

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
each = pytest.mark.parametrize("workflow", WORKFLOWS, ids=[path.stem for path in WORKFLOWS])


@each
def test_every_step_on_one_line_is_a_make_target_or_a_script(workflow: Path) -> None:
    steps = re.findall(r"\brun: ([^|\s].*)", workflow.read_text())
    targets = {*re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)}
    for step in steps:
        program, *arguments = step.split()
        if program == "make":
            assert {argument for argument in arguments if "=" not in argument} <= targets
        else:
            assert re.fullmatch(r"python3 -m scripts\.(\w+) \"\$[\w/-]+\"", step), step
            assert (ROOT / "scripts" / f"{arguments[1].partition('.')[2]}.py").exists()


@each
def test_every_action_is_pinned_by_commit_with_its_release_in_a_comment(workflow: Path) -> None:
    uses = re.findall(r"uses: (.*)", workflow.read_text())
    assert uses
    assert [use for use in uses if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use)] == []


@each
def test_jobs_have_no_permissions_by_default_and_keep_no_credentials(workflow: Path) -> None:
    text = workflow.read_text()
    assert "\npermissions: {}\n" in text
    assert text.count("actions/checkout@") == text.count("persist-credentials: false")


@each
def test_no_expression_is_expanded_in_a_shell_command(workflow: Path) -> None:
    assert not re.search(r"run:.*\${{", workflow.read_text())


@pytest.mark.parametrize("lock", [ROOT / "requirements.lock", *sorted((ROOT / ".ci").glob("*.lock"))], ids=str)
def test_every_locked_version_has_hashes_and_no_address(lock: Path) -> None:
    text = lock.read_text()
    entries = re.split(r"\n(?=\S)", text.strip())
    assert [
        entry
        for entry in entries
        if not re.match(r"[\w.-]+(\[[\w, ]+\])?==\S+.*--hash=sha256:[0-9a-f]{64}", entry, re.S)
    ] == []
    assert "://" not in text


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n\n## 1.2.0 - 2026-05-01\n")
    monkeypatch.setattr("scripts.check_tag.ROOT", tmp_path)
    return tmp_path


@pytest.mark.parametrize(("tag", "code"), [("v1.2.0", 0), ("1.2.0", 1), ("v1.2.1", 1), ("v1.2.0-rc1", 1)])
def test_a_tag_must_be_the_version_of_the_package(tag: str, code: int, repository: Path) -> None:
    assert check_tag([tag]) == code


def test_a_version_without_a_section_in_the_changelog_is_not_released(repository: Path) -> None:
    (repository / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n\n## 1.2.0rc1\n")
    assert check_tag(["v1.2.0"]) == 1
