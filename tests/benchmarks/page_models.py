"""The models of a page as a user would write them by hand, for msgspec and for pydantic."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

__all__ = ["msgspec_decoder", "pydantic_decoder"]

#: Builds a class from its name, and from the type and perhaps the default of each field.
Build = Callable[[str, dict[str, tuple[Any, ...]]], Any]


def _page(build: Build) -> Any:
    patient = build(
        "Patient",
        {
            "patient_id": (str,),
            "first_name": (str | None, None),
            "last_name": (str | None, None),
            "date_of_birth": (str | None, None),
        },
    )
    document = build(
        "DocumentSummary",
        {
            "document_id": (str,),
            "schema_type": (str,),
            "status": (str | None,),
            "title": (str | None,),
            "workflow_variant": (str | None,),
            "audio_duration_seconds": (float | None, None),
        },
    )
    encounter = build(
        "Encounter",
        {
            "encounter_id": (str,),
            "organization_id": (str,),
            "created_at": (datetime,),
            "updated_at": (datetime,),
            "date_of_service": (str | None,),
            "encounter_type": (str,),
            "status": (str,),
            "patient": (patient,),
            "documents": (list[document],),
        },
    )
    return build("EncounterPage", {"items": (list[encounter],), "limit": (int,), "offset": (int,), "total": (int,)})


def msgspec_decoder() -> Callable[[bytes], Any]:
    """Return what decodes a page into structs, which drop unknown fields."""
    import msgspec

    page = _page(lambda name, fields: msgspec.defstruct(name, [(field, *kind) for field, kind in fields.items()]))
    return msgspec.json.Decoder(page).decode


def pydantic_decoder() -> Callable[[bytes], Any]:
    """Return what decodes a page into models, which keep unknown fields, as those of githubkit do."""
    from pydantic import ConfigDict, create_model

    def build(name: str, fields: dict[str, tuple[Any, ...]]) -> Any:
        kinds: dict[str, Any] = {field: kind if len(kind) == 2 else (*kind, ...) for field, kind in fields.items()}
        return create_model(name, __config__=ConfigDict(extra="allow"), **kinds)

    decode: Callable[[bytes], Any] = _page(build).model_validate_json
    return decode
