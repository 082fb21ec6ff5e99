"""The severity table: what a difference between two lists of facts means to the callers of this client.

*Sent* means parameters and request bodies. *Received* means response bodies, and the headers and bodies of webhooks.
The same change has opposite meanings in the two directions: a new value of an enumeration is harmless if callers send
it, and unexpected if they receive it.
"""

from __future__ import annotations

import re
from enum import IntEnum

from attrs import frozen

__all__ = ["RULES", "Release", "Rule", "Severity", "rule_for"]


class Severity(IntEnum):
    """How much a difference matters to a caller."""

    #: Working code keeps working.
    INFO = 1
    #: Working code keeps working, but may receive something new; a person should look at it.
    WARNING = 2
    #: Correct code may fail now.
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
    """What one change of one kind of fact means."""

    severity: Severity
    release: Release
    says: str


#: The columns: a kind of fact, after a direction if that matters; a change; its severity; the release that it asks for;
#: what it means.
#:
#: The changes: facts were *added* or *removed*, as a whole or from a list, or *changed*, which is both at once. A list
#: was *opened*, so that everything is allowed, or *closed*. A bound or a need for scopes was *tightened* or *loosened*.
TABLE = """
surface                   lost        breaking  major  a promised name cannot be placed; `make update` stops here
spelling                  changed     info      patch  other names, words, order or layout; nothing that callers meet
unknown                   changed     warning   patch  the severity table does not know this change; look at it
route                     added       info      minor  the route is new
route                     removed     breaking  major  the route is gone
webhook                   added       info      minor  the webhook is new
webhook                   removed     warning   patch  the webhook is gone
event                     changed     warning   patch  the same payload comes under another event name
deprecated                added       warning   patch  is deprecated now
deprecated                removed     info      patch  is not deprecated any more
discriminator             changed     info      patch  the field that tells alternatives apart is another

sent needs                tightened   breaking  major  a key needs more scopes, or another way of authenticating
sent needs                loosened    info      patch  a key needs less
sent field                added       info      minor  it may be sent now
sent field                removed     warning   patch  it is not described any more
sent required-field       added       breaking  major  it is new and required
sent promised-field       removed     breaking  major  this client sends it, and it is gone
sent required             added       breaking  major  it is required now
sent required             removed     info      patch  it is optional now
sent style                changed     breaking  major  it is written differently in a request
sent default              changed     warning   patch  leaving it out means something else
sent type                 added       info      patch  more types are accepted
sent type                 removed     breaking  major  fewer types are accepted
sent null                 added       info      patch  null is accepted now
sent null                 removed     breaking  major  null is not accepted any more
sent value                added       info      minor  more values are accepted
sent value                removed     breaking  major  fewer values are accepted
sent value                opened      info      patch  any value is accepted now
sent value                closed      breaking  major  only listed values are accepted now
sent format               added       info      patch  more formats are accepted
sent format               removed     breaking  major  another format is asked for
sent bound                tightened   breaking  major  fewer values are accepted
sent bound                loosened    info      patch  more values are accepted
sent constraint           added       breaking  major  a constraint is new or different
sent constraint           removed     info      patch  a constraint is gone
sent alternative          added       info      patch  one alternative more is accepted
sent alternative          removed     breaking  major  one alternative is not accepted any more
sent media-type           added       info      patch  one media type more is accepted
sent media-type           removed     breaking  major  a media type is refused

received field            added       info      minor  a field is new
received field            removed     warning   patch  an optional field is gone
received required-field   removed     breaking  major  a field that was always there is gone
received promised-field   removed     breaking  major  a field this client promises is gone
received required         added       info      patch  it is always there now
received required         removed     breaking  major  it may be missing now
received type             added       breaking  major  values of other types may come
received type             removed     info      patch  fewer types come
received null             added       breaking  major  the value may be null now
received null             removed     info      patch  the value is never null now
received value            added       warning   patch  a value is new; it is read as it comes
received value            removed     info      patch  a value does not come any more
received value            opened      warning   patch  values are not limited to a list any more; all are read
received value            closed      info      patch  only listed values come now
received constant         changed     breaking  major  the one value it has is another now
received format           added       breaking  major  values come in another format
received format           removed     info      patch  fewer formats come
received format           opened      warning   patch  the format is not named any more
received format           closed      info      patch  the format is named now
received bound            tightened   info      patch  values have a narrower range
received bound            loosened    info      patch  values have a wider range
received constraint       changed     info      patch  what is said about values changed
received alternative      added       warning   minor  one alternative more may come
received alternative      removed     info      patch  one alternative does not come any more
received envelope         changed     info      patch  the data is wrapped differently; the client reads both
received body             added       info      minor  success has a JSON body
received body             removed     breaking  major  success has no JSON body any more
received media-type       added       info      patch  one media type more is offered
received media-type       removed     warning   patch  a media type that this client does not use is gone
received success          added       warning   patch  success may have another status
received success          removed     breaking  major  success has another status
received success          closed      info      patch  success has fewer statuses
received error            changed     info      patch  the described errors changed; every status is handled
received header           changed     info      patch  the described response headers changed
"""


def _rules() -> dict[str, Rule]:
    found = {}
    for line in filter(None, TABLE.splitlines()):
        kind, change, severity, release, says = re.split(r" {2,}", line, maxsplit=4)
        found[f"{kind.replace(' ', '-')}-{change}"] = Rule(Severity[severity.upper()], Release[release.upper()], says)
    return found


RULES = _rules()

#: The changes under which a rule is searched, the best match first.
MATCHES = {
    "added": ("added", "changed"),
    "removed": ("removed", "changed"),
    "opened": ("opened", "added", "changed"),
    "closed": ("closed", "removed", "changed"),
    "changed": ("changed", "removed", "added"),
}


def rule_for(way: str, kind: str, change: str) -> str | None:
    """Return the name of the rule for a change of one kind of fact, or None if the table does not know it.

    Facts that were added and removed at once, without a rule for that, get the more severe of the two rules.
    """
    for row in (f"{way}-{kind}", kind):
        found = [name for one in MATCHES.get(change, (change,)) if (name := f"{row}-{one}") in RULES]
        if change == "changed" and f"{row}-changed" not in found:
            found.sort(key=lambda name: -RULES[name].severity)
        if found:
            return found[0]
    return None
