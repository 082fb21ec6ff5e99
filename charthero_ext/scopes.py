"""Scopes that a key needs, and a check of what a key may do, which reads no patient data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal

from attrs import asdict, evolve, frozen
from charthero_client.contract import ROUTES, SCOPES

from charthero_ext._call import Operation, Session
from charthero_ext._steps import Steps
from charthero_ext.errors import ApiStatusError, AuthenticationError, ChartHeroError, RateLimitedError, TransportError

__all__ = ["AccessReport", "RouteAccess", "required_scopes"]

#: No route takes it, so a route the key may use answers 400 before it looks anything up.
UNSUPPORTED: Final = {"charthero_access_check": "1"}
#: A server that ignored it would still find no encounter: none was created before 1970.
EMPTY: Final = {"limit": "1", "end_at": "1970-01-01T00:00:00Z"}
PLACEHOLDERS: Final = {"encounter_id": "access-check-no-encounter", "document_id": "access-check-no-document"}

#: The reason codes documented for the check that comes after the key's own.
QUERY_REASONS: Final = frozenset(
    {"unsupported_filter", "invalid_query", "invalid_limit", "invalid_offset", "invalid_sort"}
)

#: The one documented for the record itself.
RECORD_REASONS: Final = frozenset({"unsupported_document_type"})

Outcome = Literal["granted", "denied", "unknown"]


def required_scopes(*operations: str) -> frozenset[str]:
    """Return the least scopes a key needs for all of *operations*, such as ``"documents.audio"``.

    Besides its scopes, the partner organization has to be enabled for each route.

    Raises:
        ValueError: There is no such operation.
    """
    if unknown := [name for name in operations if name not in SCOPES]:
        raise ValueError(f"no operation {unknown[0]!r}; there are: {', '.join(SCOPES)}")
    return frozenset().union(*(SCOPES[name] for name in operations))


@frozen(kw_only=True)
class RouteAccess:
    """Whether the key may use one route, and how that is known.

    Attributes:
        operation: Its name, such as ``encounters.list``.
        asked: Whether it is one of those that were asked for.
        outcome: ``unknown`` where the answer tells neither: a failure that may pass, or something undocumented.
        why: A sentence for people.
        required_scopes: The scopes a key needs for it.
        status_code: What the server answered; None where it did not, or was not asked.
        reason_code: The code that came with it, or None.
    """

    operation: str
    asked: bool
    outcome: Outcome
    why: str
    required_scopes: frozenset[str]
    status_code: int | None = None
    reason_code: str | None = None


@frozen(kw_only=True)
class AccessReport:
    """What a key may do. Nothing in it is a secret or about a patient.

    Attributes:
        routes: Every route of the API, those that were not asked for too.
        key_accepted: False where the server refused the key itself (401); None where it did not say.
    """

    routes: tuple[RouteAccess, ...]
    key_accepted: bool | None

    @property
    def required_scopes(self) -> frozenset[str]:
        """The least scopes for what was asked."""
        return required_scopes(*(route.operation for route in self.routes if route.asked))

    @property
    def excess_scopes(self) -> frozenset[str]:
        """Scopes the key has beyond those it needs, as far as routes show it: worth a key that has less."""
        return self.shown_scopes - self.required_scopes

    @property
    def exit_code(self) -> int:
        """0 if everything asked for is granted; 3 if something is denied, or the key refused; else 1."""
        outcomes = {route.outcome for route in self.routes if route.asked}
        if "denied" in outcomes or self.key_accepted is False:
            return 3
        return 1 if "unknown" in outcomes else 0

    @property
    def shown_scopes(self) -> frozenset[str]:
        """The scopes the key has, as far as routes show it."""
        return required_scopes(*(route.operation for route in self.routes if route.outcome == "granted"))

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for ``json.dumps``."""
        return {
            "key_accepted": self.key_accepted,
            "exit_code": self.exit_code,
            "required_scopes": sorted(self.required_scopes),
            "excess_scopes": sorted(self.excess_scopes),
            "routes": [{**asdict(route), "required_scopes": sorted(route.required_scopes)} for route in self.routes],
        }

    def __str__(self) -> str:
        return self.table()

    def table(self) -> str:
        """Return it as text: a line for each route, then what to do."""
        width = max(len(route.operation) for route in self.routes)
        lines = [
            f"{route.operation:{width}}  {'needed' if route.asked else 'other':6}  {route.outcome:7}  {route.why}"
            for route in self.routes
        ]
        lines.append(f"needed: {', '.join(sorted(self.required_scopes))}")
        if self.excess_scopes:
            lines.append(f"warning: the key also has {', '.join(sorted(self.excess_scopes))}; use one that has less")
        return "\n".join(lines)


def check_access(session: Session, operations: Iterable[str]) -> Steps[AccessReport]:
    """Send every route a query that it refuses, and conclude whether the key may use it."""
    asked = frozenset(operations) or frozenset(ROUTES)
    required_scopes(*asked)
    routes: dict[str, RouteAccess] = {}
    key_accepted: bool | None = None
    ended = ""
    for operation, (_, path) in ROUTES.items():
        if ended:
            routes[operation] = _route(operation, asked, "unknown", f"not asked, since {ended}")
            continue
        failure = yield from session.probe(_probe(operation, path))
        outcome, why = _conclusion(failure)
        routes[operation] = _route(operation, asked, outcome, why, failure)
        if isinstance(failure, AuthenticationError):
            key_accepted, ended = False, "the key was refused"
        elif isinstance(failure, RateLimitedError):
            ended = "there were too many requests"
        elif isinstance(failure, TransportError):
            ended = f"{operation} got no answer"
        elif outcome != "unknown":
            key_accepted = True
    report = AccessReport(routes=tuple(routes.values()), key_accepted=key_accepted)
    return evolve(report, routes=tuple(_explained(route, report.shown_scopes) for route in report.routes))


def _probe(operation: str, path: str) -> Operation[None]:
    return Operation(
        name=operation,
        path=path.format(**PLACEHOLDERS),
        query=UNSUPPORTED | (EMPTY if operation == "encounters.list" else {}),
        decode=lambda response: None,
        wants_body=False,
    )


def _route(
    operation: str, asked: frozenset[str], outcome: Outcome, why: str, failure: ChartHeroError | None = None
) -> RouteAccess:
    status = failure if isinstance(failure, ApiStatusError) else None
    return RouteAccess(
        operation=operation,
        asked=operation in asked,
        outcome=outcome,
        why=why,
        required_scopes=SCOPES[operation],
        status_code=status.status_code if status else None,
        reason_code=status.reason_code if status else None,
    )


def _conclusion(failure: ChartHeroError | None) -> tuple[Outcome, str]:
    if failure is None:
        return "granted", "success, though the query is not allowed: not as documented; the body was dropped unread"
    if not isinstance(failure, ApiStatusError):
        return "unknown", str(failure)
    answer = f"HTTP {failure.status_code} {failure.reason_code or 'without a reason code'}"
    if failure.status_code == 401:
        return "unknown", f"{answer}: the key itself was refused"
    if failure.status_code == 403:
        return "denied", answer
    if failure.reason_code is None:
        return "unknown", f"{answer}: perhaps a gateway answered, and not the API"
    # The documented order is key, enablement and scopes, query, record: whoever got further passed what comes before.
    if failure.reason_code in QUERY_REASONS:
        return "granted", f"{answer}: the query was refused, so the key was not"
    if failure.status_code == 404 or failure.reason_code in RECORD_REASONS:
        return "granted", f"{answer}: a record was looked for before the query was checked, not as documented"
    return "unknown", f"{answer}: not a documented answer"


def _explained(route: RouteAccess, shown_scopes: frozenset[str]) -> RouteAccess:
    """Add to a denial what the other routes tell about it."""
    if route.outcome != "denied":
        return route
    missing = ", ".join(sorted(route.required_scopes - shown_scopes))
    reason = f"the key lacks {missing}, or the route is not enabled for your organization"
    if not missing:
        reason = "the key has the scopes, as other routes show: the route is not enabled for your organization"
    return evolve(route, why=f"{route.why}: {reason}")
