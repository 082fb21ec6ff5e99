"""Routes and fields without a promise are generated under their own names, or left out with a note."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.canonicalize import Canonical, canonicalize
from scripts.surface import load_surface

from . import shapes_of_names, shapes_of_schemas  # noqa: F401
from .shapes import LIST, SHAPES, Document, Shape, operations, reference, schemas, unchanged
from .trees import Tree, Workshop, environment

CALLER = """
import json, sys
import httpx
from charthero_client.api.default import (
    get_encounter_2, get_external_v1_odd_0_undeclared, get_external_v1_odd_places, put_external_v1_odd_unions,
)
from charthero_client.api.patients import create_patient, get_external_v1_patients_patient_id, list_patients
from charthero_client.client import Client
from charthero_client.models.patient import Patient

PATIENT = {"patient_id": "p1", "unknown": [1]}
asked = []

def answer(request):
    asked.append([request.method, str(request.url), request.headers.get("x-trace"), request.content.decode()])
    if request.method == "POST":
        return httpx.Response(201, json=json.loads(request.content))
    return httpx.Response(200, json=[PATIENT] if request.url.path.endswith("/patients") else PATIENT)

client = Client(base_url="https://api.example.test", httpx_args={"transport": httpx.MockTransport(answer)})
made = create_patient.sync(client=client, body=Patient.from_dict(PATIENT))
listed = list_patients.sync(client=client, q=["a", "b"], x_trace="t")
either = get_external_v1_patients_patient_id.sync("p/1", client=client)
get_external_v1_odd_0_undeclared.sync_detailed("a b", "c", client=client)
get_encounter_2.sync_detailed("e", client=client)
put_external_v1_odd_unions.sync(client=client, body=either)
print(json.dumps([asked, made.to_dict(), [one.to_dict() for one in listed], either.to_dict()]))
"""


def canonical(change: Any) -> Canonical:
    document = unchanged()
    change(document)
    return canonicalize(document, load_surface())


def named(name: str) -> Shape:
    return next(shape for shape in SHAPES if shape.name == name)


@pytest.fixture(scope="module")
def routes(workshop: Workshop) -> Tree:
    return workshop.tree(named("extra_routes"))


def test_calls_to_other_routes_send_and_read_what_the_artifact_describes(routes: Tree, tmp_path: Path) -> None:
    assert routes.error == ""
    env = environment(tmp_path, routes.package.parent)
    done = subprocess.run([sys.executable, "-c", CALLER], env=env, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    asked, made, listed, either = json.loads(done.stdout)
    patient = {"patient_id": "p1", "unknown": [1]}
    assert (made, listed, either) == (patient, [patient], patient)
    sent = json.dumps(patient, separators=(",", ":"))
    host = "https://api.example.test/external/v1"
    assert [(method, url) for method, url, *_ in asked] == [
        ("POST", f"{host}/patients"),
        ("GET", f"{host}/patients?q=a&q=b"),
        ("GET", f"{host}/patients/p%2F1"),
        ("GET", f"{host}/odd/a%20b/c"),
        ("DELETE", f"{host}/encounters/e"),
        ("PUT", f"{host}/odd/unions"),
    ]
    assert json.loads(asked[0][3]) == json.loads(sent)
    assert asked[1][2] == "t"


def test_every_omitted_route_and_parameter_has_a_note_of_one_line(routes: Tree) -> None:
    assert "POST `/external/v1/odd/upload`: left out, its request body is not JSON" in routes.notes
    left_out = "left out, the path has characters that cannot be generated"
    assert f"GET `relative`: {left_out}" in routes.notes
    assert [note for note in routes.notes if "\n" in note] == []
    by_name = [note for note in routes.notes if "its name cannot be generated" in note]
    assert "get_external_v1_odd_names_id: the parameter `body` is left out, its name cannot be generated" in by_name


def test_an_operation_with_a_required_parameter_that_cannot_be_sent_is_omitted() -> None:
    needed = {"name": "quote", "in": "query", "required": True, "schema": {"type": "string"}}
    found = canonical(lambda document: document["paths"].update({"/x": {"get": {"parameters": [needed]}}}))
    assert found.notes == ["GET `/x`: left out, its parameter `quote` cannot be generated"]
    assert "/x" not in found.document["paths"]


def test_other_routes_get_the_prefix_of_the_server_url() -> None:
    def change(document: Document) -> None:
        document["servers"] = [{"url": "https://api.example.test/external/v1"}]
        document["paths"] = {path.removeprefix("/external/v1"): item for path, item in document["paths"].items()}
        document["paths"]["/patients/{id}"] = {"get": {"responses": {}}}

    assert "/external/v1/patients/{id}" in canonical(change).document["paths"]


def test_other_routes_keep_their_path_and_get_another_id_than_a_promised_one() -> None:
    route = {"get": {"operationId": "listEncounters", "responses": {}}}
    paths = canonical(lambda document: document["paths"].update({"/health": route})).document["paths"]
    assert paths[LIST]["get"]["operationId"] == "list_encounters"
    assert paths["/health"]["get"]["operationId"] == "listEncounters_2"


def test_objects_of_one_name_become_different_models(workshop: Workshop) -> None:
    tree = workshop.tree(named("extra_fields"))
    encounter = tree.source("models/encounter.py")
    assert "    page: EncounterPage2 | Unset" in encounter
    assert "    not_a_page: str | Unset" in tree.source("models/encounter_page_2.py")
    assert "    component_plan: EncounterPlan | Unset" in encounter
    assert "    of_the_component: str | Unset" in tree.source("models/encounter_plan.py")
    assert "    plan: EncounterPlan2 | Unset" in encounter
    assert "    of_the_field: EncounterPlan2OfTheField | Unset" in tree.source("models/encounter_plan_2.py")


def test_a_schema_that_two_promised_models_share_keeps_its_own_name(workshop: Workshop) -> None:
    tree = workshop.tree(named("one_schema_for_a_document_wherever_it_is"))
    names = {path.stem for path in (tree.package / "models").iterdir()}
    assert {"document", "document_summary", "public_document"} <= names


def test_another_name_of_a_schema_does_not_name_its_model() -> None:
    def change(document: Document) -> None:
        document["components"]["schemas"] = {
            "AnotherName": reference("Ward"),
            "Ward": {"type": "object", "properties": {"floor": {"type": "integer"}}},
            **schemas(document),
        }
        schemas(document)["PublicEncounter"]["properties"]["ward"] = reference("AnotherName")

    found = canonical(change).document["components"]["schemas"]
    assert found["Encounter"]["properties"]["ward"] == reference("Ward")
    assert "AnotherName" not in found


def test_other_fields_are_references_or_null_or_left_out_with_a_note() -> None:
    def change(document: Document) -> None:
        referrer = {"anyOf": [reference("PublicPatient"), {"type": "null"}]}
        schemas(document)["PublicEncounter"]["properties"] |= {"referrer": referrer, "to_dict": {"type": "string"}}

    found = canonical(change)
    assert found.document["components"]["schemas"]["Encounter"]["properties"]["referrer"] == {
        "anyOf": [{"$ref": "#/components/schemas/Patient"}, {"type": "null"}],
        "description": "The patient of an encounter.",
    }
    assert found.notes == ["Encounter: `to_dict` cannot be an attribute and is read as an additional property"]


# Descriptions


def described(change: Any, model: str, field: str) -> str:
    return str(canonical(change).document["components"]["schemas"][model]["properties"][field].get("description"))


def test_a_merged_document_has_the_descriptions_and_values_of_all_its_kinds() -> None:
    document = named("a_document_union_with_discriminator").document
    schemas(document)["PublicTextDocument"]["description"] = "A note with its text."
    schemas(document)["PublicAmbientTranscript"]["description"] = "The metadata of a transcript."
    found = canonicalize(document, load_surface()).document["components"]["schemas"]["Document"]
    assert found["description"] == "A note with its text. The metadata of a transcript."
    assert found["x-charthero"]["known"]["schema_type"] == ["ambient_transcript", "document"]
    assert "content" not in found["required"]


def test_a_deprecated_field_says_so_in_its_docstring() -> None:
    def change(document: Document) -> None:
        properties = schemas(document)["PublicEncounter"]["properties"]
        properties["status"] |= {"deprecated": True, "description": "State."}
        properties["patient"] = {"allOf": [properties["patient"]], "deprecated": True}
        properties["added"] = {"type": "string", "deprecated": True}

    assert described(change, "Encounter", "status") == "Deprecated. State."
    assert described(change, "Encounter", "patient").startswith("Deprecated. ")
    assert described(change, "Encounter", "added") == "Deprecated."
    assert described(lambda document: None, "Encounter", "status").startswith("State")


# Enumerations and scopes


def known(change: Any, model: str) -> Any:
    return canonical(change).document["components"]["schemas"][model]["x-charthero"]["known"]


def test_listed_values_are_known_in_every_spelling() -> None:
    for name in ("enumerations_inline", "enumerations_wrapped_and_nullable"):
        found = canonicalize(named(name).document, load_surface()).document["components"]["schemas"]
        assert found["Encounter"]["x-charthero"]["known"]["status"] == ["completed", "draft"]


def test_listed_values_are_added_to_those_seen_so_far() -> None:
    def change(document: Document) -> None:
        kind = {"anyOf": [{"enum": ["letter"]}, {"type": "string"}]}
        schemas(document)["PublicDocument"]["properties"]["schema_type"] = kind

    assert known(change, "Document")["schema_type"] == ["ambient_transcript", "document", "letter"]


def secured(*alternatives: dict[str, list[str]]) -> Any:
    return lambda document: [operation.update(security=list(alternatives)) for operation in operations(document)]


def test_the_scopes_of_the_artifact_win_and_a_difference_has_a_note() -> None:
    # Of several alternatives, the one with the fewest scopes counts.
    found = canonical(secured({"a": ["x", "y", "z"]}, {"a": ["documents:read"], "b": ["all:read"]}))
    assert found.scopes["documents.audio"] == ["all:read", "documents:read"]
    assert (
        "documents.audio: the artifact asks for the scopes `all:read`, `documents:read`;"
        " the developer pages for `documents:read`, `encounters:read`, `recordings:read`"
    ) in found.notes


@pytest.mark.parametrize("security", [(), ({},), ({"bearer": []},), ({"bearer": "x"},), ("bearer",)])
def test_an_artifact_without_scopes_leaves_the_documented_ones(security: Any) -> None:
    found = canonical(secured(*security))
    assert (found.scopes, found.notes) == ({}, [])


def test_scopes_of_the_document_apply_to_operations_without_their_own() -> None:
    def change(document: Document) -> None:
        for operation in operations(document):
            del operation["security"]
        document["security"] = [{"bearer": ["everything:read"]}]

    assert set(map(tuple, canonical(change).scopes.values())) == {("everything:read",)}
