"""Other names and spellings in the artifact give the same client."""

from __future__ import annotations

from typing import Any

import pytest

from . import published_style, shapes_of_names, shapes_of_schemas  # noqa: F401
from .shapes import ALL, BODIES, EVENT, SHAPES, Shape
from .trees import Tree, Workshop

FILES = {
    "ApiError": "api_error",
    "AudioUrl": "audio_url",
    "Document": "document",
    "DocumentContent": "document_content",
    "DocumentSummary": "document_summary",
    "Encounter": "encounter",
    "EncounterPage": "encounter_page",
    "EventResources": "event_resources",
    "Patient": "patient",
    "Transcript": "transcript",
    "TranscriptContent": "transcript_content",
    "TranscriptReadyEvent": "transcript_ready_event",
    "TranscriptTurn": "transcript_turn",
}
#: One shape of each kind. ``make test-all`` tests every shape.
REPRESENTATIVES = {
    "as_it_is",
    "names_no_identifier_can_have",
    "published_with_the_prefix_in_the_server_url_and_trailing_slashes",
    "everything_by_reference",
    "published_with_nothing_required",
    "detail_bodies_bare",
    "a_document_union_with_discriminator",
    "composed_with_all_of",
    "extra_fields",
    "published_union_in_an_envelope_with_discriminator",
}
#: Those whose code differs most. The type checker takes seconds for each.
TYPE_CHECKED = {"as_it_is", "extra_fields", "published_union_in_an_envelope_with_discriminator"}


def shapes(fast: set[str]) -> pytest.MarkDecorator:
    """Return a parametrization over all shapes; ``make test`` runs the fast ones."""
    each = [pytest.param(shape, marks=[] if shape.name in fast else pytest.mark.slow) for shape in SHAPES]
    return pytest.mark.parametrize("shape", each, ids=lambda shape: shape.name)


every_shape = shapes(REPRESENTATIVES)


@pytest.fixture
def tree(shape: Shape, workshop: Workshop) -> Tree:
    return workshop.tree(shape)


@pytest.fixture
def plain(workshop: Workshop) -> Tree:
    """What the others are compared with."""
    return workshop.tree(SHAPES[0])


def test_this_module_names_every_promised_model_and_existing_shapes() -> None:
    assert FILES.keys() == ALL
    assert {each.name for each in SHAPES} >= REPRESENTATIVES


@shapes(TYPE_CHECKED)
def test_every_shape_generates_imports_and_passes_the_type_checker(
    shape: Shape, tree: Tree, workshop: Workshop
) -> None:
    assert tree.error == ""
    assert workshop.type_errors(shape) == ""


@every_shape
def test_a_program_on_charthero_ext_reads_what_a_server_of_the_shape_sends(shape: Shape, tree: Tree) -> None:
    assert tree.error == ""
    sent = shape.bodies()
    unwrapped = [_unwrapped(body, plain) for body, plain in zip(sent.values(), BODIES.values(), strict=True)]
    assert tree.read["bodies"] == [*unwrapped, EVENT]
    assert tree.read["kinds"] == ["Encounter", "Patient", "DocumentSummary"]
    assert tree.read["read"] == [
        1,
        "2026-05-01T15:00:00+00:00",
        "Synthetic",
        61.5,
        "completed",
        "# Synthetic note\n\nNo real patient.",
        "markdown",
        "clinician",
        2026,
        "recording.transcript_ready",
        "doc_synthetic_0002",
    ]
    assert tree.read["missing"] == "not_found"
    assert tree.read["surprises"] == {} or shape.sends


@every_shape
def test_requests_go_to_the_documented_routes(tree: Tree) -> None:
    assert tree.error == ""
    encounter = "https://api.example.test/external/v1/encounters"
    document = f"{encounter}/enc_synthetic_0001/documents/doc_synthetic_0001"
    page, *others = tree.read["asked"]
    assert page.startswith(f"{encounter}?limit=2&offset=0&sort_order=asc&start_at=2026-01-01T00%3A00%3A00")
    assert others == [
        f"{encounter}/enc_synthetic_0001",
        document,
        f"{document}/transcript",
        f"{document}/audio",
        f"{encounter}/..%2Felsewhere%3Fx%3D1",
    ]


@every_shape
def test_other_names_and_spellings_give_the_same_models_byte_for_byte(shape: Shape, tree: Tree, plain: Tree) -> None:
    assert tree.error == ""
    changed = {
        model for model, file in FILES.items() if tree.source(f"models/{file}.py") != plain.source(f"models/{file}.py")
    }
    assert changed == ALL - shape.same


@every_shape
def test_the_operations_keep_their_places_and_their_signatures(tree: Tree, plain: Tree) -> None:
    assert tree.error == ""
    for path in plain.package.glob("api/*/*.py"):
        assert tree.source(str(path.relative_to(plain.package))) == path.read_text(encoding="utf-8")


def _unwrapped(sent: Any, plain: dict[str, Any]) -> Any:
    """Return the body itself, out of the envelope it was sent in."""
    first = next(iter(plain))
    return (
        sent if first in sent else next(value for value in sent.values() if isinstance(value, dict) and first in value)
    )
