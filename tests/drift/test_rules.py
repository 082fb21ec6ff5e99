"""The severity table, row by row, in both directions."""

from __future__ import annotations

import copy

import pytest

from scripts.artifact import ArtifactError
from scripts.compare import compare
from scripts.findings import Finding
from scripts.severity import RULES, Severity

from .changes import CHANGES, Change
from .published import SURFACE, artifact, raw

BY_TITLE = pytest.mark.parametrize("change", CHANGES, ids=[change.title for change in CHANGES])

#: What cannot but come along: what the surface loses is also named as the route, field or parameter that went, and
#: words and unused schemas change where the rest does.
ALONG = {
    "surface-lost": {"promised-field-removed", "route-removed", "unused-schema-changed"},
    "promised-field-removed": {"surface-lost"},
    "parameter-removed": {"surface-lost"},
    "required-parameter-added": {"surface-lost"},
    "sent-bound-tightened": {"surface-lost"},
    "sent-format-tightened": {"surface-lost"},
    "received-format-changed": {"surface-lost"},
    "webhook-removed": {"unused-schema-changed"},
    "success-status-removed": {"success-status-added"},
    "envelope-changed": {"unused-schema-changed"},
    "route-removed": {"route-added", "unused-schema-changed"},
    "route-added": {"route-removed", "unused-schema-changed"},
    "received-body-removed": {"other-media-type-removed"},
    "received-body-added": {"media-type-added"},
}


def changed(change: Change) -> tuple[bytes, bytes]:
    before = artifact()
    after = copy.deepcopy(before)
    change.do(after)
    return raw(before), raw(after)


def expect(findings: list[Finding], rule: str, public: str) -> None:
    found = [finding for finding in findings if finding.rule == rule]
    assert found, findings
    assert {finding.rule for finding in findings} - {rule} <= ALONG.get(rule, set())
    if public:
        assert public in {finding.public for finding in found}
    assert findings[0].severity == max(finding.severity for finding in findings)


@BY_TITLE
def test_a_change_falls_under_its_rule(change: Change) -> None:
    before, after = changed(change)
    expect(compare(before, after, SURFACE), change.rule, change.public)


@BY_TITLE
def test_the_reverse_of_a_change_falls_under_its_own_rule(change: Change) -> None:
    before, after = changed(change)
    if change.back is None:
        with pytest.raises(ArtifactError, match="the snapshot is none this client can be built from"):
            compare(after, before, SURFACE)
    else:
        expect(compare(after, before, SURFACE), change.back, change.public)


def test_every_rule_is_met_by_a_change() -> None:
    assert RULES.keys() == {rule for change in CHANGES for rule in (change.rule, change.back) if rule}


def test_the_same_bytes_are_no_difference() -> None:
    assert compare(raw(artifact()), raw(artifact()), SURFACE) == []


#: What a job that fails on breaking drift, or on warnings, relies on. Every other rule is info.
BREAKING = """
surface-lost route-removed scopes-needed
parameter-removed required-parameter-added parameter-now-required parameter-style-changed pager-bound-tightened
sent-bound-tightened sent-type-narrowed sent-type-changed sent-null-refused sent-value-removed sent-values-closed
sent-format-tightened sent-constraint-tightened sent-branch-removed sent-required-field-added sent-field-now-required
body-now-required
promised-field-removed received-required-field-removed received-field-now-optional received-null-added
received-type-widened received-type-changed received-body-removed media-type-removed success-status-removed
"""
WARNING = """
unjudged webhook-removed webhook-renamed deprecated unsent-parameter-removed sent-default-changed sent-field-removed
received-field-removed received-value-added received-values-opened received-format-changed received-branch-added
other-media-type-removed success-status-added
"""


def test_what_breaks_and_what_warns_is_a_promise() -> None:
    by_severity = {severity: {rule for rule in RULES if RULES[rule].severity == severity} for severity in Severity}
    assert by_severity[Severity.BREAKING] == {*BREAKING.split()}
    assert by_severity[Severity.WARNING] == {*WARNING.split()}


def test_only_what_is_info_or_an_alternative_more_adds_to_the_surface() -> None:
    adding = {rule for rule in RULES if RULES[rule].adds}
    assert adding == {
        "route-added",
        "webhook-added",
        "parameter-added",
        "sent-value-added",
        "sent-field-added",
        "received-field-added",
        "received-branch-added",
        "received-body-added",
    }
