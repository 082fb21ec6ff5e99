"""The severity table, rule by rule, forwards and backwards."""

from __future__ import annotations

import copy

import pytest

from scripts.artifact import ArtifactError
from scripts.compare import compare
from scripts.findings import Finding
from scripts.severity import RULES, Release, Severity

from .changes import CHANGES, Change
from .published import SURFACE, artifact, raw

BY_TITLE = pytest.mark.parametrize("change", CHANGES, ids=[change.title for change in CHANGES])

#: Findings that always come together: a lost promise with the fact that it needs, and JSON with CSV.
ALONG = {
    "surface-lost": {"received-promised-field-removed", "route-removed"},
    "route-removed": {"route-added"},
    "route-added": {"route-removed"},
    "received-body-removed": {"received-media-type-removed"},
    "received-body-added": {"received-media-type-added"},
}


def changed(change: Change) -> tuple[bytes, bytes]:
    before = artifact()
    after = copy.deepcopy(before)
    change.do(after)
    return raw(before), raw(after)


def expect(findings: list[Finding], rule: str, public: str) -> None:
    found = [finding for finding in findings if finding.rule == rule]
    assert found, findings
    assert {finding.rule for finding in findings} - {rule, "surface-lost"} <= ALONG.get(rule, set())
    assert findings[0].severity == max(finding.severity for finding in findings)
    if public:
        assert public in {finding.public for finding in found}


@BY_TITLE
def test_a_change_falls_under_its_rule(change: Change) -> None:
    before, after = changed(change)
    expect(compare(before, after, SURFACE), change.rule, change.public)


@BY_TITLE
def test_the_reverse_of_a_change_falls_under_its_own_rule(change: Change) -> None:
    before, after = changed(change)
    if change.back is None:
        with pytest.raises(ArtifactError, match="this client cannot be built from the snapshot"):
            compare(after, before, SURFACE)
    else:
        # Only the envelope has another name on the way back.
        public = "encounters.get.encounter" if change.rule == "received-envelope-changed" else change.public
        expect(compare(after, before, SURFACE), change.back, public)


def test_every_rule_has_a_case() -> None:
    assert RULES.keys() == {rule for change in CHANGES for rule in (change.rule, change.back) if rule}


#: Jobs that fail on breaking drift, or on warnings, rely on these. Every other rule is info.
BREAKING = """
surface-lost route-removed sent-needs-tightened
sent-promised-field-removed sent-required-field-added sent-required-added sent-style-changed sent-bound-tightened
sent-type-removed sent-null-removed sent-value-removed sent-value-closed sent-format-removed sent-constraint-added
sent-alternative-removed sent-media-type-removed
received-promised-field-removed received-required-field-removed received-required-removed received-null-added
received-type-added received-constant-changed received-format-added received-body-removed received-success-removed
"""
WARNING = """
unknown-changed webhook-removed event-changed deprecated-added sent-default-changed sent-field-removed
received-field-removed received-value-added received-value-opened received-format-opened received-alternative-added
received-media-type-removed received-success-added
"""
MINOR = """
route-added webhook-added sent-field-added sent-value-added received-field-added received-alternative-added
received-body-added
"""


def test_severities_are_a_promise() -> None:
    by_severity = {severity: {rule for rule in RULES if RULES[rule].severity == severity} for severity in Severity}
    assert by_severity[Severity.BREAKING] == {*BREAKING.split()}
    assert by_severity[Severity.WARNING] == {*WARNING.split()}


def test_what_breaks_asks_for_a_major_release_and_what_adds_for_a_minor_one() -> None:
    by_release = {release: {rule for rule in RULES if RULES[rule].release == release} for release in Release}
    assert by_release[Release.MAJOR] == {*BREAKING.split()}
    assert by_release[Release.MINOR] == {*MINOR.split()}
