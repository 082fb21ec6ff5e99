"""The changelog has a dated section for each artifact, which people may edit, with the version that it asks for."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from scripts.changelog import WORDS, proposal, record
from scripts.findings import Finding

TODAY, TOMORROW = date(2026, 5, 1), date(2026, 5, 2)
BREAKING = Finding("received-null-added", "GET /x", "$.a", "A.a")
ADDED = Finding("received-field-added", "GET /x", "$.b", "A.b")
WARNING = Finding("received-value-added", "GET /x", "$.c", "A.c", "", 'value "z"')
SPELLING = Finding("spelling-changed", after="title")
CHANGELOG = """# Changelog

Words.

## Unreleased

### Added

* A thing.

## 0.1.0 - 2026-04-01

* The first.
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "0.3.7"\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    return tmp_path


def changelog(repository: Path) -> str:
    return (repository / "CHANGELOG.md").read_text()


@pytest.mark.parametrize(
    ("findings", "version"),
    [([ADDED, BREAKING], "1.0.0"), ([SPELLING, WARNING, ADDED], "0.4.0"), ([WARNING], "0.3.8"), ([SPELLING], "0.3.8")],
)
def test_the_greatest_release_that_a_finding_asks_for_is_proposed(findings: list[Finding], version: str) -> None:
    assert proposal("0.3.7", findings) == version


def test_the_section_comes_first_under_unreleased_and_changes_nothing_else(repository: Path) -> None:
    record(repository, b"1", [BREAKING, ADDED, WARNING, SPELLING], TODAY, "Reconstructed.")
    before, _, after = changelog(repository).partition("### ChartHero's API on 2026-05-01\n")
    section, heading, rest = after.partition("### Added")
    assert before + heading + rest == CHANGELOG
    assert WORDS in section
    assert "\n\nReconstructed.\n\nProposed version: 1.0.0\n\n* ⚠" in section
    assert [line for line in section.splitlines() if line.startswith("* ")] == [
        "* ⚠ `A.a`: the value may be null now (`GET /x $.a`)",
        "* `A.b`: a field is new (`GET /x $.b`)",
        '* `A.c`: a value is new; it is read as it comes: `value "z"` (`GET /x $.c`)',
        "* differences that change nothing for callers: 1",
    ]


def test_an_artifact_is_recorded_once_and_edits_stay(repository: Path) -> None:
    record(repository, b"1", [BREAKING], TODAY)
    edited = (
        changelog(repository).replace(WORDS, "Null means unsigned.").replace("the value may be null now", "Mind it")
    )
    (repository / "CHANGELOG.md").write_text(edited)
    assert record(repository, b"1", [BREAKING], TOMORROW) == "1.0.0"
    assert changelog(repository) == edited


def test_two_releases_of_the_api_ask_for_the_higher_version(repository: Path) -> None:
    assert record(repository, b"1", [BREAKING], TODAY) == "1.0.0"
    assert record(repository, b"2", [SPELLING], TOMORROW) == "1.0.0"
    text = changelog(repository)
    assert text.index("2026-05-02") < text.index("2026-05-01")
    assert text.count("Proposed version: 1.0.0") == 2


def test_a_version_proposed_before_the_last_release_does_not_count(repository: Path) -> None:
    record(repository, b"1", [BREAKING], TODAY)
    released = changelog(repository).replace("## Unreleased", "## Unreleased\n\n## 1.0.0 - 2026-05-01")
    (repository / "CHANGELOG.md").write_text(released)
    (repository / "pyproject.toml").write_text('[project]\nversion = "1.0.0"\n')
    assert record(repository, b"2", [SPELLING], TOMORROW) == "1.0.1"
    assert changelog(repository).count("## Unreleased") == 1


@pytest.mark.parametrize("text", [None, "# Changelog\n", "# Changelog\n\n## 0.1.0\n\n* The first.\n"])
def test_a_changelog_without_unreleased_gets_one(text: str | None, repository: Path) -> None:
    path = repository / "CHANGELOG.md"
    path.unlink() if text is None else path.write_text(text)
    record(repository, b"1", [ADDED], TODAY)
    written = changelog(repository)
    assert written.startswith("# Changelog\n\n## Unreleased\n\n### ChartHero's API on 2026-05-01\n")
    assert text is None or written.endswith(text.removeprefix("# Changelog\n\n").removeprefix("# Changelog\n"))
    record(repository, b"1", [ADDED], TODAY)
    assert changelog(repository) == written
