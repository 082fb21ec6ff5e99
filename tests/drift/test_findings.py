"""How findings are shown. Text from the artifact stays text."""

from __future__ import annotations

import json

from scripts.findings import Finding, as_annotations, as_json, as_markdown, as_text, counted, merged, shown

HOSTILE = "x`](javascript:1) <img src=x> @everyone %0A::error::y\n::stop-commands::z"
FINDING = Finding("received-value-added", "GET /x", "$.a", "A.a", "", 'value "z"', ("GET /y",))


def test_text_of_the_artifact_becomes_one_printable_line_of_bounded_length() -> None:
    text = shown(HOSTILE + "\u202e\x1b[31m" + "y" * 500)
    assert text.isprintable()
    assert len(text) == 80


def test_markdown_shows_names_and_values_in_code_spans_they_cannot_leave() -> None:
    finding = Finding("route-added", shown(HOSTILE), shown(HOSTILE), shown(HOSTILE), "", shown(HOSTILE))
    outside = "".join(as_markdown([finding]).split("`")[::2])
    assert all(sign not in outside for sign in ("<", "@", "javascript", "::"))


def test_a_value_cannot_end_a_workflow_command() -> None:
    finding = Finding("received-value-added", "r", "p", "a,b::c\nd", "e\r\n::error::f", "%0A")
    (line,) = as_annotations([finding]).splitlines()
    assert line.startswith("::warning file=openapi/openapi.json,title=received-value-added a%2Cb%3A%3Ac%0Ad::")
    assert line.endswith("p e%0D%0A::error::f → %250A")


def test_the_worst_comes_first_and_is_counted_first() -> None:
    findings = merged([Finding("spelling-changed"), Finding("received-value-added"), Finding("route-removed")])
    assert [finding.rule for finding in findings] == ["route-removed", "received-value-added", "spelling-changed"]
    assert counted(findings) == "1 breaking, 1 warning, 1 info"


def test_json_has_every_part_of_a_finding() -> None:
    assert json.loads(json.dumps(as_json([FINDING]))) == [
        {
            "severity": "warning",
            "says": "a value is new; it is read as it comes",
            "rule": "received-value-added",
            "route": "GET /x",
            "path": "$.a",
            "public": "A.a",
            "before": "",
            "after": 'value "z"',
            "also": ["GET /y"],
        }
    ]


def test_text_has_the_severity_the_rule_the_public_name_the_place_and_the_change() -> None:
    assert as_text([FINDING]).splitlines() == [
        "warning   received-value-added: A.a",
        "          GET /x $.a (and 1 more): a value is new; it is read as it comes",
        '          value "z"',
    ]
