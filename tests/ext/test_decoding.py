"""Decoding is open and lossless, and counts what the artifact does not describe."""

from __future__ import annotations

import copy
import datetime
import json
import os
import pickle
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path
from typing import Any

import pytest
from charthero_client.decoding import SURPRISES, Model
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from charthero_ext import decoding_surprises, models
from charthero_ext.models import (
    UNSET,
    ApiError,
    AudioUrl,
    Document,
    Encounter,
    EncounterPage,
    Transcript,
    TranscriptReadyEvent,
    Unset,
)
from tests.examples import examples
from tests.payloads import EVENT

from .conftest import example

MODELS: list[tuple[type[Model], Any]] = [
    (EncounterPage, example("encounters.list")),
    (Encounter, example("encounters.get")["encounter"]),
    (Document, example("documents.get")["document"]),
    (Transcript, example("documents.transcript")),
    (AudioUrl, example("documents.audio")),
    (TranscriptReadyEvent, EVENT),
    (ApiError, {"error": "request_invalid", "reason_code": "invalid_limit", "message": "Refused.", "field": "limit"}),
]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
) | st.sampled_from(
    [
        "2026-05-01t15:00:00z",
        "2016-12-31T23:59:60Z",
        "2026-05-01T15:00:00.000Z",
        "2026-05-01T15:00:00.123456789Z",
        "2026-05-01T15:00:00+00:00",
        "2026-05-01T15:00:00-07:00",
        "2026-05-01T15:00:00",
        "2026-05-01",
        "not a time",
        "9999-12-31T23:59:59.999999+23:59",
    ]
)


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value inside *node*."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [found for key, value in items for found in ((*path, key), *places(value, (*path, key)))]


@st.composite
def mutated(draw: st.DrawFn) -> tuple[type[Model], Any]:
    """Return a model and a documented payload in which some values were changed, removed or added."""
    model, payload = draw(st.sampled_from(MODELS))
    payload = copy.deepcopy(payload)
    for _ in range(draw(st.integers(0, 4))):
        known = places(payload)
        if not known:
            break
        *parents, last = draw(st.sampled_from(known))
        holder = payload
        for key in parents:
            holder = holder[key]
        change = draw(st.sampled_from(["replace", "remove", "add", "null"]))
        if change == "remove":
            del holder[last]
        elif change == "add" and isinstance(holder, dict):
            holder[draw(st.text())] = draw(json_values)
        else:
            holder[last] = None if change == "null" else draw(json_values)
    return model, payload


@given(mutated())
@examples(400, suppress_health_check=[HealthCheck.too_slow])
def test_to_dict_returns_every_payload_as_it_was_received(sent: tuple[type[Model], Any]) -> None:
    model, payload = sent
    untouched = copy.deepcopy(payload)
    read = model.from_dict(payload)
    assert read.to_dict() == untouched
    assert payload == untouched
    assert model.from_dict(read.to_dict()) == read
    assert pickle.loads(pickle.dumps(read)) == read
    assert copy.deepcopy(read).to_dict() == untouched
    repr(read)


@given(mutated())
@examples(400, suppress_health_check=[HealthCheck.too_slow])
def test_a_body_and_its_object_decode_to_the_same_model_and_counts(sent: tuple[type[Model], Any]) -> None:
    model, payload = sent
    SURPRISES.clear()
    from_object, counted = model.from_dict(payload), decoding_surprises()
    SURPRISES.clear()
    try:
        from_text = model.from_body(json.dumps(payload).encode())
    except ValueError:
        return  # an essential field went with the mutation
    assert from_text.to_dict() == from_object.to_dict()
    assert repr(from_text) == repr(from_object)
    assert decoding_surprises() == counted


@pytest.mark.parametrize(("model", "payload"), MODELS)
def test_documented_examples_cause_no_decoding_surprises(model: type[Model], payload: Any) -> None:
    assert model.from_dict(payload).to_dict() == payload
    assert decoding_surprises() == {}


@pytest.mark.parametrize(
    ("change", "counted"),
    [
        ({"organization_id": None}, "Encounter.organization_id: null"),
        ({"status": 7}, "Encounter.status: other type"),
        ({"documents": None}, "Encounter.documents: null"),
        ({"patient": "pat_1"}, "Encounter.patient: other type"),
        ({"documents": {}}, "Encounter.documents: other type"),
        ({"documents": [None]}, "Encounter.documents[]: null"),
        ({"documents": ["doc_1"]}, "Encounter.documents[]: other type"),
        ({"created_at": {"at": 1}}, "Encounter.created_at: other type"),
        ({"created_at": ["2026-05-01T15:00:00Z"]}, "Encounter.created_at: other type"),
        ({"created_at": 1777647600}, "Encounter.created_at: other type"),
        ({"created_at": "yesterday"}, "Encounter.created_at: unreadable"),
        ({"created_at": "2026-05-01t15:00:00z"}, "Encounter.created_at: unusual time"),
        ({"created_at": "2016-12-31T23:59:60Z"}, "Encounter.created_at: unusual time"),
        ({"created_at": "2026-05-01T15:00:00"}, "Encounter.created_at: no time zone"),
        ({"status": "reopened"}, "Encounter.status: unknown value"),
        ({"encounter_type": ""}, "Encounter.encounter_type: unknown value"),
        ({"date_of_service": "last May"}, "Encounter.date_of_service: unreadable"),
        ({"added_later": 1}, "Encounter: unknown field"),
        ({"Synthetic Person": 1}, "Encounter: unknown field"),
    ],
)
def test_an_unexpected_value_is_kept_and_counted_by_field(change: dict[str, Any], counted: str) -> None:
    payload = {**example("encounters.get")["encounter"], **change}
    assert Encounter.from_dict(payload).to_dict() == payload
    assert decoding_surprises() == {counted: 1}


@pytest.mark.parametrize("field", ["patient", "status", "encounter_type", "date_of_service"])
def test_a_promised_null_is_not_counted(field: str) -> None:
    payload = {**example("encounters.get")["encounter"], field: None}
    encounter = Encounter.from_dict(payload)
    assert getattr(encounter, field) is None
    assert encounter.to_dict() == payload
    assert decoding_surprises() == {}


def test_a_missing_field_is_unset_and_counted_unless_it_is_optional() -> None:
    payload = example("encounters.get")["encounter"]
    del payload["status"], payload["patient"]["first_name"]
    encounter = Encounter.from_dict(payload)
    assert encounter.status is UNSET
    assert encounter.patient.first_name is UNSET
    assert decoding_surprises() == {"Encounter.status: missing": 1}


def test_a_bad_record_does_not_affect_the_others_of_its_page() -> None:
    page = example("encounters.list")
    page["items"] = [page["items"][0], None, {"encounter_id": 5}, page["items"][0]]
    read = EncounterPage.from_dict(page)
    assert [type(item).__name__ for item in read.items] == ["Encounter", "NoneType", "Encounter", "Encounter"]
    assert read.items[3].created_at == datetime.datetime(2026, 5, 1, 15, tzinfo=datetime.UTC)


def test_every_notation_of_a_timestamp_is_decoded_and_kept() -> None:
    wanted = datetime.datetime(2026, 5, 1, 15, tzinfo=datetime.UTC)
    for written in (
        "2026-05-01T15:00:00Z",
        "2026-05-01T15:00:00.000Z",
        "2026-05-01T15:00:00.000000Z",
        "2026-05-01T15:00:00,000000Z",
        "2026-05-01T150000.00000000Z",
        "2026-05-01T150000.0Z",
        "2026-W18-5T15:00:00Z",
        "2026-05-01T15:00:00+00:00",
        "2026-05-01T17:00:00+02:00",
    ):
        encounter = Encounter.from_dict({**example("encounters.get")["encounter"], "created_at": written})
        assert encounter.created_at == wanted
        assert encounter.to_dict()["created_at"] == written
    assert decoding_surprises() == {}


def test_to_dict_contains_the_new_value_of_a_changed_field() -> None:
    sent = {**example("encounters.get")["encounter"], "created_at": "2026-05-01T15:00:00.000Z"}
    encounter = Encounter.from_dict(sent)
    encounter.created_at = datetime.datetime(2026, 5, 2, tzinfo=datetime.UTC)
    assert encounter.to_dict()["created_at"] == "2026-05-02T00:00:00Z"


def test_an_unknown_constant_or_field_is_accepted_and_counted() -> None:
    payload = {**example("documents.get")["document"], "schema_type": "letter", "added_later": {"a": 1}}
    document = Document.from_body(json.dumps({"document": payload, "added_too": 1}).encode())
    assert document.schema_type == "letter"
    assert document.to_dict() == payload
    assert decoding_surprises() == {
        "Document: unknown field": 1,
        "Document: unknown field of the envelope": 1,
        "Document.schema_type: unknown value": 1,
    }


def test_the_models_docstring_lists_every_known_value() -> None:
    surface = Path(__file__).parent.parent.parent / "openapi" / "surface.toml"
    seen = {**tomllib.loads(surface.read_text())["seen"], "TranscriptTurn.speaker": ["clinician", "patient"]}
    for field, values in seen.items():
        if not field.startswith(("DocumentSummary.", "TranscriptReadyEvent.")):
            assert re.search(rf"``{field}`` +{' '.join(f'``{value}``' for value in values)}\n", models.__doc__ or "")


def test_unset_is_one_object_after_pickling_and_copying() -> None:
    assert pickle.loads(pickle.dumps(UNSET)) is UNSET
    assert copy.copy(UNSET) is copy.deepcopy(UNSET) is UNSET
    assert Unset() is UNSET
    assert not UNSET


def run_with_new_models(script: str) -> None:
    """Run a program in its own process, which may crash. Its `new_model()` returns a model that was never decoded."""
    start = """
        import os, signal, sys, threading
        from attrs import define
        from charthero_client.decoding import Model

        sys.setswitchinterval(1e-6)

        def new_model():
            @define(eq=False, getstate_setstate=False)
            class Part(Model):
                name: str
                size: int

            @define(eq=False, getstate_setstate=False)
            class Whole(Model):
                part: Part

            return Whole
    """
    program = textwrap.dedent(start) + textwrap.dedent(script)
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=60)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_forked_during_the_first_decode_can_decode() -> None:
    run_with_new_models("""
        sent = {"part": {"name": "a", "size": 1}}

        def read(model, begun):
            begun.set()
            model.from_dict(sent)

        for _ in range(20):
            model, begun = new_model(), threading.Event()
            thread = threading.Thread(target=read, args=(model, begun))
            thread.start()
            begun.wait()
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                os._exit(model.from_dict(sent).to_dict() != sent)
            assert os.waitpid(child, 0)[1] == 0
            thread.join()
    """)


def test_threads_can_decode_a_new_model_at_the_same_time() -> None:
    run_with_new_models("""
        wrong = []

        def read(model, meeting):
            meeting.wait()
            for sent in ({"part": {"name": "a", "size": 1}}, {"part": {"name": "b", "size": 2}}):
                if model.from_dict(sent).to_dict() != sent:
                    wrong.append(sent)

        for _ in range(100):
            model, meeting = new_model(), threading.Barrier(8)
            threads = [threading.Thread(target=read, args=(model, meeting)) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert not wrong
    """)
