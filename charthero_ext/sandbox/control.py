"""Routes under ``/_sandbox`` that change the sandbox while it runs, for programs that are not in its process.

They are no part of ChartHero's API. They answer this machine only, and no web page. Bodies are JSON objects whose
members are the arguments of the method of the same purpose in :class:`~charthero_ext.sandbox.state.State`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from attrs import asdict
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from charthero_ext.sandbox.faults import KINDS
from charthero_ext.sandbox.state import State
from charthero_ext.sandbox.webhooks import is_loopback

__all__ = ["control_routes"]

_Change = Callable[[State, dict[str, str], dict[str, Any]], Any]


def control_routes(state: State) -> list[Route]:
    """The routes, each with what it does."""
    table: list[tuple[str, str, _Change]] = [
        ("GET", "", lambda state, path, body: _describe(state)),
        ("POST", "/reset", lambda state, path, body: state.reset()),
        ("POST", "/encounters", lambda state, path, body: state.append(**_with_datetime(body, "created_at"))),
        ("PATCH", "/encounters/{encounter_id}", lambda state, path, body: state.change(path["encounter_id"], **body)),
        ("DELETE", "/encounters/{encounter_id}", lambda state, path, body: state.delete(path["encounter_id"])),
        ("POST", "/encounters/{encounter_id}/transcript", lambda state, path, body: state.finish_transcript(**path)),
        ("PUT", "/clock", lambda state, path, body: state.clock.set(**_with_datetime(body, "instant"))),
        ("POST", "/faults", lambda state, path, body: state.fail(**body)),
        ("DELETE", "/faults", lambda state, path, body: state.faults.clear()),
        ("PUT", "/faults/random", lambda state, path, body: state.faults.strike_at_random(**body)),
        ("PUT", "/keys/{token}", lambda state, path, body: state.set_key(path["token"], **body)),
        ("PUT", "/routes/{operation}", lambda state, path, body: state.enable_route(path["operation"], **body)),
        ("PUT", "/webhooks", lambda state, path, body: _set_receiver(state, **body)),
        ("POST", "/webhooks/{encounter_id}", lambda state, path, body: state.deliver(path["encounter_id"], **body)),
    ]
    # One route per path: a path of its own for every method would answer the others with 405.
    paths = dict.fromkeys(path for _, path, _ in table)
    return [
        Route(
            f"/_sandbox{path}",
            _endpoint(state, {method: change for method, at, change in table if at == path}),
            methods=[method for method, at, _ in table if at == path],
        )
        for path in paths
    ]


def _endpoint(state: State, changes: dict[str, _Change]) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        client = request.client.host if request.client else ""
        if not is_loopback(client) or not is_loopback(request.url.hostname or "") or "origin" in request.headers:
            return JSONResponse({"error": "control routes answer this machine only, and no web page"}, 403)
        try:
            body = json.loads(await request.body() or b"{}")
            if not isinstance(body, dict):
                raise ValueError("the body has to be a JSON object")
            change = changes["GET" if request.method == "HEAD" else request.method]
            # In a thread, because some wait for a webhook receiver, which may be waiting for the API.
            result = await run_in_threadpool(change, state, request.path_params, body)
        except KeyError as error:
            return JSONResponse({"error": f"there is no {error}"}, 404)
        except (TypeError, ValueError) as error:
            return JSONResponse({"error": str(error)}, 400)
        if result is None:
            return Response(None, 204)
        return Response(json.dumps(result, default=state.timestamp), media_type="application/json")

    return endpoint


def _describe(state: State) -> dict[str, Any]:
    return {
        "base_url": state.base_url,
        "now": state.clock.now(),
        "encounters": len(state.store),
        "other_organization_encounter_id": state.other_organization_encounter_id,
        "keys": {token: asdict(key) | {"scopes": sorted(key.scopes)} for token, key in state.keys.items()},
        "not_enabled": sorted(state.not_enabled),
        "faults": [asdict(fault) for fault in state.faults.waiting()],
        "fault_kinds": KINDS,
        "webhook_attempts": [asdict(attempt) for attempt in state.webhooks.attempts],
    }


def _with_datetime(body: dict[str, Any], name: str) -> dict[str, Any]:
    return body if body.get(name) is None else body | {name: datetime.fromisoformat(body[name])}


def _set_receiver(state: State, *, url: str | None, secret: str | None = None) -> None:
    state.webhooks.url = url
    if secret is not None:
        state.webhooks.secret = secret
