"""The scopes that a key needs, and a check of what a key may do. The check reads no patient data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal

from attrs import asdict, evolve, frozen
from charthero_client.contract import ROUTES, SCOPES

from charthero_ext._call import Operation, Session
from charthero_ext._steps import Steps
from charthero_ext.errors import ApiStatusError, AuthenticationError, ChartHeroError, RateLimitedError, TransportError

__all__ = ["AccessReport", "RouteAccess", "required_scopes"]

#: No route supports this parameter, so a route that the key may use answers 400 before it reads a record.
UNSUPPORTED: Final = {"charthero_access_check": "1"}
#: If the server ignores that parameter, the list is still empty: no encounter was created before 1970.
EMPTY: Final = {"limit": "1", "end_at": "1970-01-01T00:00:00Z"}
PLACEHOLDERS: Final = {"encounter_id": "access-check-no-encounter", "document_id": "access-check-no-document"}

#: The documented reason codes of the query check.
QUERY_REASONS: Final = frozenset(
    {"unsupported_filter", "invalid_query", "invalid_limit", "invalid_offset", "invalid_sort"}
)
#: The documented reason code of the record check.
RECORD_REASONS: Final = frozenset({"unsupported_document_type"})

Outcome = Literal["granted", "denied", "unknown"]


def required_scopes(*operations: str) -> frozenset[str]:
    """Return the least scopes that a key needs for all of *operations*, such as ``"documents.audio"``.

    The partner organization also has to be enabled for each route.

    Raises:
        ValueError: There is no such operation.
    """
    if unknown := [name for name in operations if name not in SCOPES]:
        raise ValueError(f"unknown operation {unknown[0]!r}; the operations are {', '.join(SCOPES)}")
    return frozenset().union(*(SCOPES[name] for name in operations))


@frozen(kw_only=True)
class RouteAccess:
    """Whether the key may use one route, and how that is known.

    Attributes:
        operation: The name, such as ``encounters.list``.
        asked: Whether it is one of the operations that you need.
        outcome: ``unknown`` after a temporary failure or an undocumented response.
        why: The reason for the outcome, for people.
        required_scopes: The scopes that a key needs for the route.
        status_code: The status of the response; None if there was no response or no request.
        reason_code: The reason code of the response, or None.
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
    """What a key may do. It contains no secret and no patient data.

    Attributes:
        routes: Every route of the API.
        key_accepted: False if the server refused the key itself (401); None if that is unknown.
    """

    routes: tuple[RouteAccess, ...]
    key_accepted: bool | None

    @property
    def required_scopes(self) -> frozenset[str]:
        """The least scopes for the operations that you need."""
        return required_scopes(*(route.operation for route in self.routes if route.asked))

    @property
    def excess_scopes(self) -> frozenset[str]:
        """Scopes that the key has but does not need, as far as the granted routes show. Use a key without them."""
        return self.shown_scopes - self.required_scopes

    @property
    def exit_code(self) -> int:
        """0 if all operations that you need are granted; 3 if one is denied or the key is refused; else 1."""
        outcomes = {route.outcome for route in self.routes if route.asked}
        if "denied" in outcomes or self.key_accepted is False:
            return 3
        return 1 if "unknown" in outcomes else 0

    @property
    def shown_scopes(self) -> frozenset[str]:
        """The scopes that the key has, as far as the granted routes show."""
        return required_scopes(*(route.operation for route in self.routes if route.outcome == "granted"))

    def to_dict(self) -> dict[str, Any]:
        """Return the report for ``json.dumps``."""
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
        """Return the report as text: a line for each route, then what to do."""
        width = max(len(route.operation) for route in self.routes)
        lines = [
            f"{route.operation:{width}}  {'needed' if route.asked else 'other':6}  {route.outcome:7}  {route.why}"
            for route in self.routes
        ]
        lines.append(f"needed: {', '.join(sorted(self.required_scopes))}")
        if self.excess_scopes:
            lines.append(f"warning: the key also has {', '.join(sorted(self.excess_scopes))}; use a key without them")
        return "\n".join(lines)


def check_access(session: Session, operations: Iterable[str]) -> Steps[AccessReport]:
    """Send each route a query that it refuses. The refusal shows whether the key may use the route."""
    asked = frozenset(operations) or frozenset(ROUTES)
    required_scopes(*asked)
    routes: dict[str, RouteAccess] = {}
    key_accepted: bool | None = None
    stop_reason = ""
    for operation, (_, path) in ROUTES.items():
        if stop_reason:
            routes[operation] = _route(operation, asked, "unknown", f"not checked, because {stop_reason}")
            continue
        failure = yield from session.probe(_probe(operation, path))
        outcome, why = _conclusion(failure)
        routes[operation] = _route(operation, asked, outcome, why, failure)
        if isinstance(failure, AuthenticationError):
            key_accepted, stop_reason = False, "the key was refused"
        elif isinstance(failure, RateLimitedError):
            stop_reason = "there were too many requests"
        elif isinstance(failure, TransportError):
            stop_reason = f"{operation} got no response"
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
        return "granted", "the server accepted a query that it should refuse (undocumented); the body was not read"
    if not isinstance(failure, ApiStatusError):
        return "unknown", str(failure)
    answer = f"HTTP {failure.status_code} {failure.reason_code or 'without a reason code'}"
    if failure.status_code == 401:
        return "unknown", f"{answer}: the key itself was refused"
    if failure.status_code == 403:
        return "denied", answer
    if failure.reason_code is None:
        return "unknown", f"{answer}: perhaps the response of a gateway"
    # The documented order of checks is key, enablement and scopes, query, record. A failed check proves that the checks
    # before it succeeded.
    if failure.reason_code in QUERY_REASONS:
        return "granted", f"{answer}: the query was refused, so the key was accepted"
    if failure.status_code == 404 or failure.reason_code in RECORD_REASONS:
        return "granted", f"{answer}: the record was checked before the query, which is undocumented"
    return "unknown", f"{answer}: undocumented"


def _explained(route: RouteAccess, shown_scopes: frozenset[str]) -> RouteAccess:
    """Add the reason for a denial, as far as the other routes show it."""
    if route.outcome != "denied":
        return route
    missing = ", ".join(sorted(route.required_scopes - shown_scopes))
    reason = f"the key lacks {missing}, or the route is not enabled for your organization"
    if not missing:
        reason = "the key has the scopes, as other routes show: the route is not enabled for your organization"
    return evolve(route, why=f"{route.why}: {reason}")
