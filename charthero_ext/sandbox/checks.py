"""The checks before a record is read: the key (401), enablement and scopes (403), the query (400).

The contract does not cover these assumptions. The 403 codes ``route_not_enabled``, ``missing_scope`` and
``organization_not_allowed``, the 404 code ``not_found``, and every ``error`` except ``api_key_validation_failed`` are
ours. Enablement is checked before scopes. An unsupported query key is reported before an invalid value. An invalid
query is 400, never 422. A repeated parameter is refused with the parameter's own code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from attrs import frozen
from charthero_client import contract
from charthero_client.contract import MAX_LIMIT, MAX_OFFSET
from starlette.datastructures import QueryParams

from charthero_ext.sandbox.data import microseconds

__all__ = [
    "SCOPES",
    "Key",
    "Refusal",
    "authenticate",
    "authorize",
    "parse_list_query",
    "refuse_query",
    "sandbox_keys",
]

PRIMARY = "org_sandbox_primary"
OTHER = "org_sandbox_other"
SCOPES = frozenset[str]().union(*contract.SCOPES.values())


class Refusal(Exception):  # noqa: N818 - an answer, not an error of the sandbox
    """The request is refused with an error body of the contract."""

    def __init__(self, status: int, error: str, reason_code: str, message: str, *, field: str | None = None) -> None:
        super().__init__(reason_code)
        self.status = status
        self.body = {"error": error, "reason_code": reason_code, "message": message, "field": field}


_AWARE_DATETIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)", re.ASCII | re.IGNORECASE)


@frozen
class Key:
    """What an API key may do."""

    scopes: frozenset[str] = SCOPES
    refused_with: str | None = None
    """The 401 reason code that the key is refused with, or None."""
    organization_id: str = PRIMARY
    enabled: bool = True
    """Whether the key's partner organization is enabled for any route."""


def sandbox_keys() -> dict[str, Key]:
    """Return a key for every outcome. Any other key, such as ``ch_sk_sandbox_unknown``, is an ``invalid_key``."""
    keys = {
        "ch_sk_sandbox_full": Key(),
        "ch_sk_test_sandbox_full": Key(),
        "ch_sk_sandbox_not_enabled": Key(enabled=False),
        "ch_sk_sandbox_other_organization": Key(organization_id=OTHER),
    }
    for refused_with in ("disabled_key", "revoked_key", "expired_key", "api_keys_disabled"):
        keys[f"ch_sk_sandbox_{refused_with}"] = Key(refused_with=refused_with)
    for scope in SCOPES:
        keys[f"ch_sk_sandbox_without_{scope.replace(':', '_')}"] = Key(scopes=SCOPES - {scope})
    return keys


def authenticate(authorization: list[str], keys: Mapping[str, Key], *, production: bool) -> Key:
    """Return the key of a request. Raises Refusal (401) if its ``Authorization`` headers hold no valid key."""
    scheme, _, token = authorization[0].partition(" ") if authorization else ("", "", "")
    if scheme.lower() != "bearer" or not token:
        raise _refused_key("missing_bearer", "Send the API key as a bearer token.")
    if len(authorization) > 1 or not re.fullmatch(r"ch_sk_[A-Za-z0-9_]+", token):
        raise _refused_key("malformed_token", "The bearer token does not look like an API key.")
    if production and token.startswith("ch_sk_test_"):
        raise _refused_key("test_prefix_not_allowed", "A test key cannot be used in production.")
    key = keys.get(token)
    if key is None:
        raise _refused_key("invalid_key", "The API key is not known.")
    if key.refused_with is not None:
        raise _refused_key(key.refused_with, "The API key cannot be used.")
    return key


def _refused_key(reason_code: str, message: str) -> Refusal:
    return Refusal(401, "api_key_validation_failed", reason_code, message)


def authorize(key: Key, operation: str, not_enabled: Container[str]) -> None:
    """Raise Refusal (403) if the organization is not enabled for the route, or the key lacks a scope."""
    if not key.enabled or operation in not_enabled:
        raise Refusal(403, "access_denied", "route_not_enabled", "The route is not enabled for your organization.")
    if not contract.SCOPES[operation] <= key.scopes:
        raise Refusal(403, "access_denied", "missing_scope", "The API key lacks a scope of this route.")


def _integer(text: str, *, low: int, high: int) -> int:
    # Canonical: no sign, no leading zero, ASCII digits only. Every allowed value has at most five digits.
    if not re.fullmatch(r"0|[1-9][0-9]{0,4}", text) or not low <= int(text) <= high:
        raise ValueError
    return int(text)


def _instant(text: str) -> int:
    # fromisoformat also accepts dates without a time, weeks and any separator.
    if not _AWARE_DATETIME.fullmatch(text):
        raise ValueError
    return microseconds(datetime.fromisoformat(text.upper()))


#: The parameters of the list route: the reason code of an invalid value, the argument of a page, and how to read it.
_LIST_PARAMETERS: dict[str, tuple[str, str, Callable[[str], Any]]] = {
    "limit": ("invalid_limit", "limit", partial(_integer, low=1, high=MAX_LIMIT)),
    "offset": ("invalid_offset", "offset", partial(_integer, low=0, high=MAX_OFFSET)),
    "sort_order": ("invalid_sort", "descending", {"asc": False, "desc": True}.__getitem__),
    "start_at": ("invalid_query", "start", _instant),
    "end_at": ("invalid_query", "end", _instant),
}


def parse_list_query(query: QueryParams) -> dict[str, Any]:
    """Return the parameters of the list route as arguments of a page. Raises Refusal (400) for an invalid one."""
    refuse_query(query, allowed=_LIST_PARAMETERS)
    page: dict[str, Any] = {"limit": min(50, MAX_LIMIT), "offset": 0, "descending": True, "start": None, "end": None}
    for name, (reason_code, argument, read) in _LIST_PARAMETERS.items():
        try:
            for text in query.getlist(name):
                page[argument] = read(text)
            if len(query.getlist(name)) > 1:
                raise ValueError
        except (KeyError, ValueError):
            raise _refused_query(reason_code, name) from None
    if None not in (page["start"], page["end"]) and page["start"] >= page["end"]:
        raise _refused_query("invalid_query", None)
    return page


def refuse_query(query: QueryParams, *, allowed: Container[str] = ()) -> None:
    """Raise Refusal (400) for a query key that is not allowed."""
    for key in query:
        if key not in allowed:
            raise _refused_query("unsupported_filter", key)


def _refused_query(reason_code: str, field: str | None) -> Refusal:
    return Refusal(400, "request_validation_failed", reason_code, "The query is not valid for this route.", field=field)
