"""The severity table: what a difference between two lists of facts means to the callers of this client.

*Sent* is what a caller gives (parameters and request bodies). *Received* is what ChartHero gives (response bodies, and
the headers and bodies of webhooks). The same change has opposite meanings in the two directions: one more value of an
enumeration is freedom if callers send it and a surprise if they receive it.

Each row is a direction, if it matters, and a kind of fact. Its cells say what may happen to such facts:

* ``added``, ``removed``: facts came or went, as a whole or from a list; ``changed``: both at once
* ``opened``, ``closed``: a list of facts went, so that everything is allowed, or came
* ``tightened``, ``loosened``: a bound moved, or the scopes that a key needs
"""

from __future__ import annotations

from enum import IntEnum

from attrs import frozen

__all__ = ["RULES", "TABLE", "Release", "Rule", "Severity", "rule_for"]


class Severity(IntEnum):
    """How much a caller has to care."""

    #: Nothing that works stops working.
    INFO = 1
    #: Works, but a caller may meet something new, or should look at it.
    WARNING = 2
    #: Code that was right may fail now.
    BREAKING = 3

    def __str__(self) -> str:
        return self.name.lower()


class Release(IntEnum):
    """The release that a difference asks for."""

    PATCH = 1
    MINOR = 2
    MAJOR = 3


@frozen
class Rule:
    """What one kind of difference means, and the release it asks for."""

    severity: Severity
    says: str
    release: Release

    @property
    def matters(self) -> bool:
        """Whether a user of this client has to read about it."""
        return self.severity > Severity.INFO or self.release > Release.PATCH


def info(says: str) -> Rule:
    return Rule(Severity.INFO, says, Release.PATCH)


def minor(says: str) -> Rule:
    return Rule(Severity.INFO, says, Release.MINOR)


def warning(says: str, release: Release = Release.PATCH) -> Rule:
    return Rule(Severity.WARNING, says, release)


def breaking(says: str) -> Rule:
    return Rule(Severity.BREAKING, says, Release.MAJOR)


TABLE: dict[str, dict[str, Rule]] = {
    # The document, routes and webhooks
    "surface": {"lost": breaking("a promised name cannot be placed any more; `make update` stops here")},
    "spelling": {"changed": info("names, words, order or layout changed; no fact did")},
    "unknown": {"changed": warning("changed in a way that the severity table does not know; look at it")},
    "route": {"added": minor("the route is new"), "removed": breaking("the route is gone")},
    "webhook": {"added": minor("the webhook is new"), "removed": warning("the webhook is gone")},
    "event": {"changed": warning("the same payload comes under another event name")},
    "deprecated": {"added": warning("is deprecated now"), "removed": info("is not deprecated any more")},
    "discriminator": {
        "changed": info("the field that tells alternatives apart is named differently, or no longer named")
    },
    # Requests: parameters, bodies and their fields
    "sent needs": {
        "tightened": breaking("a key needs more scopes, or another way of authenticating"),
        "loosened": info("a key needs less"),
    },
    "sent field": {"added": minor("it may be sent now"), "removed": warning("it is not described any more")},
    "sent required-field": {"added": breaking("it is new and required")},
    "sent promised-field": {"removed": breaking("this client sends it, and it is gone")},
    "sent required": {"added": breaking("it is required now"), "removed": info("it is optional now")},
    "sent style": {"changed": breaking("it is written differently in a request")},
    "sent default": {"changed": warning("leaving it out means something else")},
    "sent type": {"added": info("more types are accepted"), "removed": breaking("fewer types are accepted")},
    "sent null": {"added": info("null is accepted now"), "removed": breaking("null is not accepted any more")},
    "sent value": {
        "added": minor("more values are accepted"),
        "removed": breaking("fewer values are accepted"),
        "opened": info("any value is accepted now"),
        "closed": breaking("only listed values are accepted now"),
    },
    "sent format": {"added": info("more formats are accepted"), "removed": breaking("another format is asked for")},
    "sent bound": {"tightened": breaking("fewer values are accepted"), "loosened": info("more values are accepted")},
    "sent constraint": {"added": breaking("a constraint is new or different"), "removed": info("a constraint is gone")},
    "sent alternative": {
        "added": info("one alternative more is accepted"),
        "removed": breaking("one alternative is not accepted any more"),
    },
    "sent media-type": {
        "added": info("one media type more is accepted"),
        "removed": breaking("a media type is refused"),
    },
    # Responses and webhooks
    "received field": {"added": minor("a field is new"), "removed": warning("an optional field is gone")},
    "received required-field": {"removed": breaking("a field that was always there is gone")},
    "received promised-field": {"removed": breaking("a field this client promises is gone")},
    "received required": {"added": info("it is always there now"), "removed": breaking("it may be missing now")},
    "received type": {"added": breaking("values of other types may come"), "removed": info("fewer types come")},
    "received null": {"added": breaking("the value may be null now"), "removed": info("the value is never null now")},
    "received value": {
        "added": warning("a value is new; it is read as it comes"),
        "removed": info("a value does not come any more"),
        "opened": warning("values are no longer limited to a list; they are read as they come"),
        "closed": info("only listed values come now"),
    },
    "received constant": {"changed": breaking("the one value it has is another now")},
    "received format": {
        "added": breaking("values come in another format"),
        "removed": info("fewer formats come"),
        "opened": warning("the format is not named any more"),
        "closed": info("the format is named now"),
    },
    "received bound": {
        "tightened": info("values have a narrower range"),
        "loosened": info("values have a wider range"),
    },
    "received constraint": {"changed": info("what is said about values changed")},
    "received alternative": {
        "added": warning("one alternative more may come", Release.MINOR),
        "removed": info("one alternative does not come any more"),
    },
    "received envelope": {"changed": info("the same data is wrapped differently; the client looks through it")},
    "received body": {
        "added": minor("success has a JSON body"),
        "removed": breaking("success has no JSON body any more"),
    },
    "received media-type": {
        "added": info("one media type more is offered"),
        "removed": warning("a media type that this client does not read is not offered any more"),
    },
    "received success": {
        "added": warning("success may have another status"),
        "removed": breaking("success has another status"),
        "closed": info("success has fewer statuses"),
    },
    "received error": {"changed": info("the described errors changed; every status is handled")},
    "received header": {"changed": info("the described response headers changed")},
}

RULES = {f"{row.replace(' ', '-')}-{change}": rule for row, cells in TABLE.items() for change, rule in cells.items()}

#: The cells that a change looks for, the first one first. What came and went at once is as bad as the worse of the two.
CELLS = {
    "added": ("added", "changed"),
    "removed": ("removed", "changed"),
    "opened": ("opened", "added", "changed"),
    "closed": ("closed", "removed", "changed"),
    "changed": ("changed", "removed", "added"),
}


def rule_for(way: str, kind: str, change: str) -> str | None:
    """Return the name of the rule for a change of one kind of fact, or None if the table does not know it."""
    for row in (f"{way} {kind}", kind):
        cells = TABLE.get(row, {})
        found = [name for name in CELLS.get(change, (change,)) if name in cells]
        if change == "changed" and "changed" not in found:
            found.sort(key=lambda name: -cells[name].severity)
        if found:
            return f"{row.replace(' ', '-')}-{found[0]}"
    return None
