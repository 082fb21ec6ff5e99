"""Compare two artifacts: the difference between their facts, and what it means to the callers of this client.

The raw artifacts are compared, because the canonicalizer leaves parts out. scripts/severity.py says what each
difference means.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal

from scripts.alternatives import BOUNDS, CONSTRAINTS, room
from scripts.artifact import ArtifactError, parse
from scripts.canonicalize import canonicalize
from scripts.facts import statements
from scripts.findings import Finding, merged, shown
from scripts.severity import rule_for
from scripts.subjects import Key, Subject, subjects
from scripts.surface import Surface, SurfaceError

__all__ = ["compare"]

Subjects = dict[Key, Subject]

#: Kinds of facts that are a list of what is allowed. Without any such fact, everything is.
LISTS = frozenset({"value", "format"})
#: Statuses that stand for every success.
EVERY_SUCCESS = frozenset({"2XX", "default"})
#: The kinds of facts that share a row of the severity table.
KINDS = {
    **dict.fromkeys(BOUNDS, "bound"),
    **dict.fromkeys(CONSTRAINTS | {"additionalProperties", "combination"}, "constraint"),
}

MAX_FINDINGS = 5_000


def compare(old: bytes, new: bytes, surface: Surface) -> list[Finding]:
    """Return what is different in the artifact *new*, the worst first; nothing only if the bytes are the same.

    Raises:
        ArtifactError: One of the artifacts cannot be read, or this client cannot be built from *old*.
    """
    if old == new:
        return []
    before, after = parse(old), parse(new)
    try:
        canonicalize(before, surface)
    except ArtifactError as error:
        raise ArtifactError(f"this client cannot be built from the snapshot: {error}") from None
    findings = []
    try:
        canonicalize(after, surface)
    except SurfaceError as error:
        findings.append(Finding("surface-lost", public=shown(error.public), after=shown(str(error), 400)))
    one = subjects(before, surface)
    other = _with_labels_of(one, subjects(after, surface))
    for finding in _differences(one, other):
        findings.append(finding)
        if len(findings) > MAX_FINDINGS:
            raise ArtifactError("the artifacts have too little in common to be compared")
    words = _words_changed(one, other)
    if words or not findings:
        findings.append(
            Finding("spelling-changed", after=words or ("layout" if before == after else "order or spelling"))
        )
    return merged(findings)


def _differences(old: Subjects, new: Subjects) -> Iterator[Finding]:
    objects = [{key[:-1] for key, subject in side.items() if subject.exists == "alternative"} for side in (old, new)]
    for key in dict.fromkeys([*old, *new]):
        if key in old and key in new:
            yield from _facts_changed(old[key], new[key])
            continue
        change, subject = ("removed", old[key]) if key in old else ("added", new[key])
        parent = key[:-1]
        if subject.exists == "alternative" and not all(parent in side for side in objects):
            continue  # the type of the value changed
        if not parent or (parent in old and parent in new):
            yield from _existence_changed(subject, change)


def _existence_changed(subject: Subject, change: str) -> Iterator[Finding]:
    kinds = [subject.exists]
    if subject.exists.endswith("field"):
        kinds = [subject.exists, *(["required-field"] if ("required", "") in subject.facts else []), "field"]
        kinds.sort(key="field".__eq__)
    if rule := next((rule for kind in kinds if (rule := rule_for(subject.way, kind, change))), None):
        words = subject.alternative if subject.exists == "alternative" else ""
        yield _finding(rule, subject, *((words, "") if change == "removed" else ("", words)))


def _facts_changed(old: Subject, new: Subject) -> Iterator[Finding]:
    for kind, type_name in sorted({*old.facts, *new.facts}):
        before, after = (side.facts.get((kind, type_name), frozenset[str]()) for side in (old, new))
        if before == after or not (old.has_type(type_name) and new.has_type(type_name)):
            continue
        change = _change(kind, before, after)
        rows = [KINDS.get(kind, kind)]
        if kind == "value" and len(before) == 1 and after and not before & after:
            rows.insert(0, "constant")
        rule = next((rule for row in rows if (rule := rule_for(new.way, row, change))), "unknown-changed")
        removed, added = (before, after) if kind == "type" else (before - after, after - before)
        yield _finding(rule, new, *(", ".join(statements(kind, texts)) for texts in (removed, added)))


def _change(kind: str, before: frozenset[str], after: frozenset[str]) -> str:
    """Return which change of the severity table has happened to the facts of one kind."""
    if kind in BOUNDS:
        rooms = [
            min((room(kind, text) for text in texts), default=(Decimal("Infinity"), 0)) for texts in (before, after)
        ]
        return "tightened" if rooms[1] < rooms[0] else "loosened"
    if kind == "needs":
        had, wanted = ([{*way.split(", ")} - {""} for way in ways] for ways in (before, after))
        return "loosened" if all(any(way <= mine for way in wanted) for mine in had) else "tightened"
    was_open, is_open = (not facts if kind in LISTS else bool(facts & EVERY_SUCCESS) for facts in (before, after))
    if was_open != is_open:
        return "opened" if is_open else "closed"
    return "added" if before < after else "removed" if after < before else "changed"


def _finding(rule: str, subject: Subject, before: str, after: str) -> Finding:
    public = subject.name if subject.public else ""
    return Finding(rule, shown(subject.route), shown(subject.path), shown(public), shown(before), shown(after))


def _words_changed(old: Subjects, new: Subjects) -> str:
    """Return what changed besides facts: descriptions, operation ids, schema names and the like."""
    changed = {kind for key in old.keys() & new.keys() for kind, _ in old[key].words ^ new[key].words}
    return shown(", ".join(sorted(changed)))


def _with_labels_of(old: Subjects, new: Subjects) -> Subjects:
    """Return *new* with its alternatives labelled like those of *old* that look most alike."""
    for depth in sorted({len(key) for side in (old, new) for key in side if side[key].exists == "alternative"}):
        sides = [_features(old, new, depth), _features(new, old, depth)]
        labels: dict[Key, Key] = {}
        for parent in sides[0].keys() & sides[1].keys():
            before, after = (side[parent] for side in sides)
            alike = sorted(
                ((_likeness(before[one], after[other]), one, other) for one in before for other in after), reverse=True
            )
            for likeness, one, other in alike:
                if one not in labels.values() and other not in labels and (likeness or len(before) == len(after) == 1):
                    labels[other] = one
        if labels:
            new = {labels.get(key[:depth], key[:depth]) + key[depth:]: subject for key, subject in new.items()}
    return new


def _features(side: Subjects, other: Subjects, depth: int) -> dict[Key, dict[Key, set[object]]]:
    """Return what is in each alternative at one depth that only this side has, by the key of the object."""
    found: dict[Key, dict[Key, set[object]]] = defaultdict(dict)
    for key, subject in side.items():
        here = key[:depth]
        if len(here) == depth and here not in other and side[here].exists == "alternative":
            features = found[here[:-1]].setdefault(here, set())
            features |= {key[depth:], *((key[depth:], fact) for fact in subject.facts.items())} - {()}
    return found


def _likeness(one: set[object], other: set[object]) -> float:
    return len(one & other) / len(one | other) if one or other else 1.0
