"""What each kind of difference between two artifacts means to the callers of this client: the severity table.

The words of a rule's id say which way data flows. *Sent* is what a caller gives us (parameters, request bodies);
*received* is what ChartHero gives us (response bodies, and webhook payloads and headers alike). One change has opposite
meanings in the two: a value more in an enumeration is freedom when sent and a surprise when received.
"""

from __future__ import annotations

from enum import IntEnum

from attrs import frozen

__all__ = ["PAGER_NEEDS", "RULES", "Rule", "Severity"]


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


@frozen
class Rule:
    """What a difference is called, how bad it is, and whether it adds to what callers can do (a minor release)."""

    severity: Severity
    says: str
    adds: bool = False


#: The largest values our pager sends: with a lower maximum it can no longer read every encounter.
PAGER_NEEDS = {"encounters.list(limit=)": 100, "encounters.list(offset=)": 10_000}

INFO, WARNING, BREAKING = Severity.INFO, Severity.WARNING, Severity.BREAKING

RULES: dict[str, Rule] = {
    # The document
    "surface-lost": Rule(BREAKING, "a promised name cannot be placed any more; `make update` stops here"),
    "openapi-changed": Rule(INFO, "the version of OpenAPI it is written in changed"),
    "about-changed": Rule(INFO, "what the artifact says about itself changed (version, contact, servers)"),
    "prose-changed": Rule(INFO, "only words changed (descriptions, examples, titles, extensions)"),
    "order-changed": Rule(INFO, "only the order of list entries changed"),
    "formatting-changed": Rule(INFO, "other bytes, the same content (white space, order of keys)"),
    "unused-schema-changed": Rule(INFO, "a schema that no route uses was added, removed or changed"),
    "schema-renamed": Rule(INFO, "a schema has another name; ours stays"),
    "unjudged": Rule(WARNING, "changed in a way that no rule judges; look at it"),
    # Routes and webhooks
    "route-removed": Rule(BREAKING, "the route is gone"),
    "route-added": Rule(INFO, "the route is new", adds=True),
    "route-respelled": Rule(INFO, "the same route is written differently (parameter names, prefix)"),
    "operation-renamed": Rule(INFO, "the operation has another id; ours stays"),
    "tags-changed": Rule(INFO, "the operation is grouped otherwise; our names stay"),
    "webhook-removed": Rule(WARNING, "the webhook is gone; the client keeps its event model"),
    "webhook-added": Rule(INFO, "the webhook is new", adds=True),
    "webhook-renamed": Rule(WARNING, "the same payload comes under another event name"),
    "deprecated": Rule(WARNING, "is deprecated now"),
    "deprecation-withdrawn": Rule(INFO, "is not deprecated any more"),
    # Security
    "scopes-needed": Rule(BREAKING, "a key needs more scopes, or another way of authenticating"),
    "scopes-released": Rule(INFO, "a key needs less"),
    "security-respelled": Rule(INFO, "what a key needs is written differently"),
    # Parameters and request bodies: sent
    "parameter-removed": Rule(BREAKING, "a parameter this client sends is gone"),
    "unsent-parameter-removed": Rule(WARNING, "a parameter this client does not send is gone"),
    "parameter-added": Rule(INFO, "an optional parameter is new", adds=True),
    "required-parameter-added": Rule(BREAKING, "a required parameter is new"),
    "parameter-now-required": Rule(BREAKING, "the parameter is required now"),
    "parameter-now-optional": Rule(INFO, "the parameter is optional now"),
    "parameter-style-changed": Rule(BREAKING, "the parameter is written differently in the request"),
    "pager-bound-tightened": Rule(BREAKING, "below what encounters.iter() and encounters.windows() send"),
    "sent-bound-tightened": Rule(BREAKING, "fewer values are accepted"),
    "sent-bound-loosened": Rule(INFO, "more values are accepted"),
    "sent-default-changed": Rule(WARNING, "leaving it out means something else"),
    "sent-type-narrowed": Rule(BREAKING, "fewer types are accepted"),
    "sent-type-widened": Rule(INFO, "more types are accepted"),
    "sent-type-changed": Rule(BREAKING, "another type is accepted"),
    "sent-null-refused": Rule(BREAKING, "null is not accepted any more"),
    "sent-null-accepted": Rule(INFO, "null is accepted now"),
    "sent-value-removed": Rule(BREAKING, "a value is not accepted any more"),
    "sent-value-added": Rule(INFO, "a value more is accepted", adds=True),
    "sent-values-closed": Rule(BREAKING, "only listed values are accepted now"),
    "sent-values-opened": Rule(INFO, "any value is accepted now"),
    "sent-format-tightened": Rule(BREAKING, "another format is asked for"),
    "sent-format-dropped": Rule(INFO, "no format is asked for any more"),
    "sent-constraint-tightened": Rule(BREAKING, "a constraint is new or another"),
    "sent-constraint-dropped": Rule(INFO, "a constraint is gone"),
    "sent-branch-removed": Rule(BREAKING, "one alternative is not accepted any more"),
    "sent-branch-added": Rule(INFO, "one alternative more is accepted"),
    "sent-field-added": Rule(INFO, "an optional field may be sent", adds=True),
    "sent-required-field-added": Rule(BREAKING, "a required field is new"),
    "sent-field-removed": Rule(WARNING, "a field is not described any more"),
    "sent-field-now-required": Rule(BREAKING, "the field is required now"),
    "sent-field-now-optional": Rule(INFO, "the field is optional now"),
    "body-now-required": Rule(BREAKING, "a request body is required now"),
    "body-now-optional": Rule(INFO, "a request body is not required any more"),
    # Responses and webhooks: received
    "promised-field-removed": Rule(BREAKING, "a field this client promises is gone"),
    "received-required-field-removed": Rule(BREAKING, "a field that was always there is gone"),
    "received-field-removed": Rule(WARNING, "a field that was not always there is gone"),
    "received-field-added": Rule(INFO, "a field is new", adds=True),
    "received-field-now-optional": Rule(BREAKING, "the field may be missing now"),
    "received-field-now-required": Rule(INFO, "the field is always there now"),
    "received-null-added": Rule(BREAKING, "the value may be null now"),
    "received-null-removed": Rule(INFO, "the value is never null now"),
    "received-type-widened": Rule(BREAKING, "values of more types may come"),
    "received-type-narrowed": Rule(INFO, "values of fewer types come"),
    "received-type-changed": Rule(BREAKING, "values of another type come"),
    "received-value-added": Rule(WARNING, "a value is new; it is read as it comes"),
    "received-value-removed": Rule(INFO, "a value does not come any more"),
    "received-values-opened": Rule(WARNING, "values are no longer limited to a list; they are read as they come"),
    "received-values-closed": Rule(INFO, "only listed values come now"),
    "received-format-changed": Rule(WARNING, "the format is another, or no longer said"),
    "received-format-added": Rule(INFO, "the format is said now"),
    "received-constraint-changed": Rule(INFO, "what is said about values changed (bounds, patterns, defaults)"),
    "received-branch-added": Rule(WARNING, "one alternative more may come", adds=True),
    "received-branch-removed": Rule(INFO, "one alternative does not come any more"),
    "envelope-changed": Rule(INFO, "the same data is wrapped otherwise; the client looks through it"),
    "received-body-removed": Rule(BREAKING, "success comes without the JSON body"),
    "received-body-added": Rule(INFO, "success comes with a JSON body", adds=True),
    "media-type-removed": Rule(BREAKING, "JSON is not offered any more"),
    "other-media-type-removed": Rule(WARNING, "a media type this client does not read is not offered any more"),
    "media-type-added": Rule(INFO, "the media type is offered too"),
    "success-status-removed": Rule(BREAKING, "success has another status"),
    "success-status-added": Rule(WARNING, "success may have another status"),
    "success-status-narrowed": Rule(INFO, "success has fewer statuses"),
    "error-status-changed": Rule(INFO, "an error status is described, or no longer; every status is handled"),
    "headers-changed": Rule(INFO, "the described response headers changed"),
}
