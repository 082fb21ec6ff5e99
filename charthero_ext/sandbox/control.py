"""Control routes under ``/_sandbox``, for programs outside the sandbox's process.

They are not part of ChartHero's API. They refuse other machines and web pages. Each route calls the method of
:class:`~charthero_ext.sandbox.state.State` that does the same; a JSON body holds the method's arguments. The docstring
of :mod:`charthero_ext.sandbox` has a ``curl`` line for each, and ``GET /_sandbox`` returns these lines.
"""

from __future__ import annotations

import json
import re
import sys
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

_Control = Callable[..., Any]
_TABLE: list[tuple[str, str, _Control]] = [
    ("GET", "", lambda state: _describe(state)),
    ("POST", "/encounters", State.append),
    ("PATCH", "/encounters/{encounter_id}", State.change),
    ("DELETE", "/encounters/{encounter_id}", State.delete),
    ("POST", "/encounters/{encounter_id}/transcript", State.finish_transcript),
    ("POST", "/encounters/{encounter_id}/documents", State.add_document),
    ("PUT", "/clock", lambda state, **body: state.clock.set(**body)),
    ("POST", "/faults", State.fail),
    ("DELETE", "/faults", lambda state: state.faults.clear()),
    ("PUT", "/faults/random", lambda state, **body: state.faults.strike_at_random(**body)),
    ("PUT", "/keys/{token}", State.set_key),
    ("PUT", "/routes/{operation}", State.enable_route),
    ("PUT", "/webhooks", State.set_receiver),
    ("POST", "/webhooks/{encounter_id}", State.deliver),
    ("POST", "/reset", State.reset),
]


def control_routes(state: State) -> list[Route]:
    """Return the control routes of a sandbox."""
    return [Route(f"/_sandbox{path}", _endpoint(state, control), methods=[method]) for method, path, control in _TABLE]


def _endpoint(state: State, control: _Control) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        client = request.client.host if request.client else ""
        if not is_loopback(client) or not is_loopback(request.url.hostname or "") or "origin" in request.headers:
            return JSONResponse({"error": "control routes refuse other machines and web pages"}, 403)
        try:
            body = json.loads(await request.body() or b"{}")
            if not isinstance(body, dict):
                raise ValueError("the body must be a JSON object")
            for name in ("created_at", "instant", "now"):
                if body.get(name) is not None:
                    body[name] = datetime.fromisoformat(body[name])
            # In a thread, because a webhook receiver may call the API while the control route waits for it.
            result = await run_in_threadpool(control, state, **request.path_params, **body)
        except KeyError as error:
            return JSONResponse({"error": f"{error} does not exist"}, 404)
        except (TypeError, ValueError) as error:
            return JSONResponse({"error": str(error)}, 400)
        if result is None:
            return Response(None, 204)
        return Response(json.dumps(result, default=state.timestamp), media_type="application/json")

    return endpoint


def _describe(state: State) -> dict[str, Any]:
    usage = sys.modules["charthero_ext.sandbox"].__doc__ or ""
    return {
        "base_url": state.base_url,
        "now": state.clock.now(),
        "control_routes": re.findall(r"curl .+", usage.replace("$SANDBOX", f"{state.base_url}/_sandbox")),
        "encounters": len(state.store),
        "other_organization_encounter_id": state.other_organization_encounter_id,
        "keys": {token: asdict(key) | {"scopes": sorted(key.scopes)} for token, key in state.keys.items()},
        "not_enabled": sorted(state.not_enabled),
        "faults": [asdict(fault) for fault in state.faults.waiting()],
        "fault_kinds": KINDS,
        "webhook_url": state.webhooks.url,
        "webhook_secret": state.webhooks.secret,
        "webhook_attempts": [asdict(attempt) for attempt in state.webhooks.attempts],
    }
