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

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from charthero_ext.sandbox.checks import (
    OPERATIONS,
    Key,
    Operation,
    Refusal,
    authenticate,
    authorize,
    operation_at,
    parse_list_query,
    refuse_query,
)
from charthero_ext.sandbox.control import control_routes
from charthero_ext.sandbox.data import Record, document_detail, seconds_of, transcript
from charthero_ext.sandbox.faults import FaultLayer
from charthero_ext.sandbox.state import State

__all__ = ["build_app"]

ARTIFACT_PATH = "/openapi/v1/openapi.json"
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
    api = Starlette(
        routes=[
            *(
                Route(operation.path, _endpoint(state, operation, answers[name]), methods=["GET"])
                for name, operation in OPERATIONS.items()
            ),
            Route(ARTIFACT_PATH, _artifact(state.artifact_bytes)),
            *control_routes(state),
        ],
        exception_handlers={Refusal: _refused, HTTPException: _no_such_route},
    )
    recordings = Starlette(routes=[Route("/recordings/{document_id}/{samples:int}.wav", state.recordings.answer)])
    for application in (api, recordings):
        application.router.redirect_slashes = False

    def for_recordings(scope: Scope) -> bool:
        _, port = scope.get("server") or ("", None)
        return state.audio_url.endswith(f":{port}")

    async def both(scope: Scope, receive: Receive, send: Send) -> None:
        await (recordings if for_recordings(scope) else api)(scope, receive, send)

    def operation_of(scope: Scope) -> str | None:
        if for_recordings(scope):
            return "audio_file"
        return "artifact" if scope["path"] == ARTIFACT_PATH else operation_at(scope["path"])

    return FaultLayer(both, state.faults, operation_of)


def _endpoint(
    state: State, operation: Operation, answer: Callable[[State, Key, Request], Any]
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        with state.lock:
            key = authenticate(request.headers.getlist("authorization"), state.keys, production=state.production)
            authorize(key, operation, state.not_enabled)
            if operation.name != "encounters.list":
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
    items, total = store.page(
        start=query.start,
        end=query.end,
        offset=query.offset,
        limit=min(query.limit, faults["clamp"].limit) if "clamp" in faults else query.limit,
        descending=query.descending,
    )
    return {"items": items, "limit": query.limit, "offset": query.offset, "total": total}


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
