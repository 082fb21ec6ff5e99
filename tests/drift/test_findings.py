"""How findings are shown: what the artifact says stays text."""

from __future__ import annotations

import json

from scripts.findings import Finding, as_annotations, as_json, as_markdown, as_text, counted, merged, shown

HOSTILE = "x`](javascript:1) <img src=x> @everyone %0A::error::y\n::stop-commands::z"


def test_what_the_artifact_says_is_one_printable_line_of_bounded_length() -> None:
    text = shown(HOSTILE + "\u202e\x1b[31m" + "y" * 500)
    assert text.isprintable()
    assert len(text) == 80


def test_markdown_shows_names_and_values_in_code_spans_they_cannot_leave() -> None:
    finding = Finding("route-added", shown(HOSTILE), shown(HOSTILE), shown(HOSTILE), "", shown(HOSTILE))
    outside = "".join(as_markdown([finding]).split("`")[::2])
    assert all(sign not in outside for sign in ("<", "@", "javascript", "::"))


def test_a_workflow_command_cannot_be_ended_from_within() -> None:
    finding = Finding("received-value-added", "r", "p", "a,b::c\nd", "e\r\n::error::f", "%0A")
    (line,) = as_annotations([finding]).splitlines()
    assert line.startswith("::warning file=openapi/openapi.json,title=received-value-added a%2Cb%3A%3Ac%0Ad::")
    assert line.endswith("p e%0D%0A::error::f → %250A")


def test_the_worst_comes_first_and_is_counted_first() -> None:
    findings = merged([Finding("spelling-changed"), Finding("received-value-added"), Finding("route-removed")])
    assert [finding.rule for finding in findings] == ["route-removed", "received-value-added", "spelling-changed"]
    assert counted(findings) == "1 breaking, 1 warning, 1 info"


def test_only_what_breaks_is_marked() -> None:
    lines = as_markdown([Finding("route-removed", "GET /x"), Finding("route-added", "GET /y")]).splitlines()
    assert [line for line in lines if "⚠" in line] == ["* ⚠ the route is gone (`GET /x`)"]


def test_every_fact_is_in_the_json() -> None:
    finding = Finding("received-value-added", "GET /x", "$.a", "A.a", "1", "2", ("GET /y",))
    (fact,) = json.loads(json.dumps(as_json([finding])))
    assert fact == {
        "severity": "warning",
        "rule": "received-value-added",
        "says": "a value is new; it is read as it comes",
        "route": "GET /x",
        "path": "$.a",
        "before": "1",
        "after": "2",
        "public": "A.a",
        "also": ["GET /y"],
    }


def test_text_names_the_severity_the_rule_the_name_the_place_and_the_change() -> None:
    text = as_text([Finding("received-value-added", "GET /x", "$.a", "A.a", "", "2", ("GET /y",))])
    assert text.splitlines() == [
        "warning   received-value-added: A.a",
        "          GET /x $.a (and 1 more): a value is new; it is read as it comes",
        "          2",
    ]
