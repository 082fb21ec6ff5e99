"""The scopes that a key needs, and a check of what a key may do. The check reads no patient data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal

from attrs import asdict, frozen
from charthero_client.contract import ROUTES, SCOPES

from charthero_ext._call import Operation, Session
from charthero_ext._steps import Steps
from charthero_ext.errors import ApiStatusError, AuthenticationError, ChartHeroError, RateLimitedError, TransportError

__all__ = ["AccessReport", "RouteAccess", "required_scopes"]

#: No route supports this parameter, so a route that the key may use answers 400 before it reads a record.
UNSUPPORTED: Final = {"charthero_access_check": "1"}
#: Should a server ignore that parameter, the list is still empty: no encounter was created before 1970.
EMPTY: Final = {"limit": "1", "end_at": "1970-01-01T00:00:00Z"}
PLACEHOLDERS: Final = {"encounter_id": "access-check-no-encounter", "document_id": "access-check-no-document"}

QUERY_REASONS: Final = ("unsupported_filter", "invalid_query", "invalid_limit", "invalid_offset", "invalid_sort")

NOT_CHECKED: Final = ChartHeroError("not checked, because the route above failed")

Outcome = Literal["granted", "denied", "unknown"]


def required_scopes(*operations: str) -> frozenset[str]:
    """Return the least scopes that a key needs for all of *operations*, such as ``"documents.audio"``.

    The partner organization must also be enabled for each route.

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
        asked: Whether it is one of the operations that you need.
        outcome: ``unknown`` after a temporary failure or an undocumented response.
        why: The reason for the outcome, for people.
        status_code: The status of the response; None without a response.
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

    def table(self) -> str:
        """Return the report as text: a line for each route, then what to do."""
        lines = [
            f"{route.operation:20}  {'needed' if route.asked else 'other':6}  {route.outcome:7}  {route.why}"
            for route in self.routes
        ]
        lines.append(f"needed: {', '.join(sorted(self.required_scopes))}")
        if self.excess_scopes:
            lines.append(f"warning: the key also has {', '.join(sorted(self.excess_scopes))}; use a key without them")
        return "\n".join(lines)

    __str__ = table


def check_access(session: Session, operations: Iterable[str]) -> Steps[AccessReport]:
    """Send each route a query that it refuses. The refusal shows whether the key may use the route."""
    asked = frozenset(operations) or frozenset(ROUTES)
    required_scopes(*asked)
    failures: dict[str, ChartHeroError | None] = dict.fromkeys(ROUTES, NOT_CHECKED)
    for name, (_, path) in ROUTES.items():
        operation = Operation[None](
            name=name,
            path=path.format(**PLACEHOLDERS),
            query=UNSUPPORTED | (EMPTY if name == "encounters.list" else {}),
            decode=lambda response: None,
            wants_body=False,
        )
        failures[name] = yield from session.probe(operation)
        if isinstance(failures[name], (AuthenticationError, RateLimitedError, TransportError)):
            break
    outcomes = {name: _conclusion(failure)[0] for name, failure in failures.items()}
    shown_scopes = required_scopes(*(name for name, outcome in outcomes.items() if outcome == "granted"))
    is_accepted = True if set(outcomes.values()) - {"unknown"} else None
    is_refused = any(isinstance(failure, AuthenticationError) for failure in failures.values())
    return AccessReport(
        routes=tuple(_route(name, failure, shown_scopes, asked=name in asked) for name, failure in failures.items()),
        key_accepted=False if is_refused else is_accepted,
    )


def _route(name: str, failure: ChartHeroError | None, shown_scopes: frozenset[str], *, asked: bool) -> RouteAccess:
    outcome, why = _conclusion(failure)
    if outcome == "denied":
        missing = ", ".join(sorted(SCOPES[name] - shown_scopes))
        lack = f"the key lacks {missing}, or" if missing else "the key has the scopes, as other routes show:"
        why += f": {lack} the route is not enabled for your organization"
    return RouteAccess(
        operation=name,
        asked=asked,
        outcome=outcome,
        why=why,
        required_scopes=SCOPES[name],
        status_code=getattr(failure, "status_code", None),
        reason_code=getattr(failure, "reason_code", None),
    )


def _conclusion(failure: ChartHeroError | None) -> tuple[Outcome, str]:
    if failure is None:
        return "granted", "the server accepted a query that it should refuse (undocumented); the body was not read"
    if not isinstance(failure, ApiStatusError):
        return "unknown", str(failure)
    status, code = failure.status_code, failure.reason_code
    answer = f"HTTP {status} {code or 'without a reason code'}"
    if status == 401:
        return "unknown", f"{answer}: the key itself was refused"
    if status == 403:
        return "denied", answer
    # The documented order of checks is key, enablement and scopes, query, record. A failed check proves those before.
    if code in QUERY_REASONS:
        return "granted", f"{answer}: the query was refused, so the key was accepted"
    if code == "unsupported_document_type" or (code and status == 404):
        return "granted", f"{answer}: the record was checked before the query, which is undocumented"
    return "unknown", f"{answer}: undocumented, perhaps the response of a gateway"
