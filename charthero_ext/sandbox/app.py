"""The five routes, the artifact and the recordings as one ASGI application.

The contract does not cover these assumptions. Encounters with the same ``created_at`` follow the sort order, so
``desc`` is the exact reverse of ``asc``. An unfinished transcript and its audio are 404. An encounter of another
organization is 403 on the routes that name it, and missing from the list. An unknown path or method is refused before
the key is checked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

from charthero_client.contract import ROUTES
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, request_response
from starlette.types import ASGIApp, Receive, Scope, Send

from charthero_ext.sandbox.checks import Key, Refusal, authenticate, authorize, parse_list_query, refuse_query
from charthero_ext.sandbox.control import control_routes
from charthero_ext.sandbox.data import Record, document_detail, seconds_of, transcript
from charthero_ext.sandbox.faults import FaultLayer
from charthero_ext.sandbox.state import State

__all__ = ["build_app"]

_ENUMERATIONS = frozenset(
    {"encounter_type", "format", "provider", "schema_type", "speaker", "status", "workflow_variant"}
)


def build_app(state: State) -> ASGIApp:
    """Return the API and the media host as one application; the port of a request tells them apart."""
    answers: dict[str, Callable[[State, Key, Request], Any]] = {
        "encounters.list": _list_encounters,
        "encounters.get": _get_encounter,
        "documents.get": _get_document,
        "documents.transcript": _get_transcript,
        "documents.audio": _get_audio,
    }

    def route(path: str, operation: str, endpoint: Callable[[Request], Awaitable[Response]]) -> Route:
        return Route(path, FaultLayer(request_response(endpoint), state.faults, operation), methods=["GET"])

    api = Starlette(
        routes=[
            *(route(path, name, _endpoint(state, name, answers[name])) for name, (_, path) in ROUTES.items()),
            route("/openapi/v1/openapi.json", "artifact", _artifact(state.artifact_bytes)),
            *control_routes(state),
        ],
        exception_handlers={Refusal: _refused, HTTPException: _no_such_route},
    )
    recordings = Starlette(
        routes=[route("/recordings/{document_id}/{samples:int}.wav", "audio_file", state.recordings.answer)]
    )
    for application in (api, recordings):
        application.router.redirect_slashes = False

    async def both(scope: Scope, receive: Receive, send: Send) -> None:
        # ASGI does not offer the connection, but uvicorn's ``send`` is a method of an object that has it.
        scope["transport"] = getattr(getattr(send, "__self__", None), "transport", None)
        _, port = scope["server"]
        await (recordings if state.audio_url.endswith(f":{port}") else api)(scope, receive, send)

    return both


def _endpoint(
    state: State, operation: str, answer: Callable[[State, Key, Request], Any]
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        with state.lock:
            key = authenticate(request.headers.getlist("authorization"), state.keys, production=state.production)
            authorize(key, operation, state.not_enabled)
            if operation != "encounters.list":
                refuse_query(request.query_params)
            body = answer(state, key, request)
        if "unknown" in request.scope["faults"]:
            body = _with_unknowns(body)
        text = json.dumps(body, default=state.timestamp, ensure_ascii=False, separators=(",", ":"))
        return Response(text.encode(errors="replace"), media_type="application/json")

    return endpoint


def _list_encounters(state: State, key: Key, request: Request) -> Any:
    query = parse_list_query(request.query_params)
    faults = request.scope["faults"]
    store = state.stores[key.organization_id]
    if "shift" in faults:
        state.shift(store)
    shown = query["limit"]
    if "clamp" in faults:
        query["limit"] = min(shown, faults["clamp"].limit)
    items, total = store.page(**query)
    return {"items": items, "limit": shown, "offset": query["offset"], "total": total}


def _get_encounter(state: State, key: Key, request: Request) -> Any:
    encounter = _encounter(state, key, request)
    return {"encounter": encounter} if state.encounter_envelope else encounter


def _get_document(state: State, key: Key, request: Request) -> Any:
    encounter = _encounter(state, key, request)
    return {"document": document_detail(encounter, _summary(encounter, request))}


def _get_transcript(state: State, key: Key, request: Request) -> Any:
    encounter = _encounter(state, key, request)
    return transcript(encounter, _finished_transcript(encounter, request))


def _get_audio(state: State, key: Key, request: Request) -> Any:
    summary = _finished_transcript(_encounter(state, key, request), request)
    audio_url, expires_at = state.recordings.sign(state.audio_url, summary["document_id"], seconds_of(summary))
    return {"audio_url": audio_url, "expires_at": expires_at}


def _encounter(state: State, key: Key, request: Request) -> Record:
    encounter_id = request.path_params["encounter_id"]
    for organization_id, store in state.stores.items():
        encounter = store.find(encounter_id)
        if encounter is not None:
            if organization_id != key.organization_id:
                message = "The encounter is outside your organization."
                raise Refusal(403, "access_denied", "organization_not_allowed", message)
            return encounter
    raise _not_found()


def _summary(encounter: Record, request: Request) -> Record:
    for summary in encounter["documents"] or ():
        if summary["document_id"] == request.path_params["document_id"]:
            found: Record = summary
            return found
    raise _not_found()


def _finished_transcript(encounter: Record, request: Request) -> Record:
    summary = _summary(encounter, request)
    if summary["schema_type"] != "ambient_transcript":
        message = "Only an ambient transcript has this."
        raise Refusal(400, "request_validation_failed", "unsupported_document_type", message, field="document_id")
    if summary["status"] != "completed":
        raise _not_found()
    return summary


def _not_found() -> Refusal:
    return Refusal(404, "not_found", "not_found", "Not found, or not available through the public API.")


def _with_unknowns(body: Any) -> Any:
    if isinstance(body, list):
        return [_with_unknowns(item) for item in body]
    if not isinstance(body, dict):
        return body
    known = {
        name: "sandbox_unseen" if name in _ENUMERATIONS and value is not None else _with_unknowns(value)
        for name, value in body.items()
    }
    return known | {"sandbox_unseen": {"since": "tomorrow"}}


def _artifact(content: bytes) -> Callable[[Request], Awaitable[Response]]:
    etag = f'"{hashlib.sha256(content).hexdigest()}"'

    async def artifact(request: Request) -> Response:
        known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
        if known & {etag, "*"}:
            return Response(None, 304, {"ETag": etag})
        return Response(content, 200, {"ETag": etag}, "application/json")

    return artifact


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)  # noqa: S101 - Starlette calls it only for this class
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
    return JSONResponse(error.body, error.status, headers)


async def _no_such_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - Starlette calls it only for this class
    reason_code = "method_not_allowed" if error.status_code == 405 else "not_found"
    body = {"error": reason_code, "reason_code": reason_code, "message": error.detail, "field": None}
    return JSONResponse(body, error.status_code, error.headers)
