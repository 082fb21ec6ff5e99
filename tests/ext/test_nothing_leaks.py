"""Keys, signed URLs and patients' data never appear in reprs, logs, tracebacks, tables or files."""

from __future__ import annotations

import copy
import io
import json
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from charthero_client.decoding import Model
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.pretty import Pretty

from charthero_ext import ChartHero, decoding_surprises
from charthero_ext.cli.rendering import card, encounters_table
from charthero_ext.models import Encounter
from charthero_ext.testing import vcr_config
from tests.examples import examples
from tests.payloads import BODIES

from .test_decoding import MODELS, places

MakeClient = Callable[..., ChartHero]

CANARY = "Garcia"


def holding(canary: str) -> st.SearchStrategy[Any]:
    """Return JSON values that contain the canary: as a text, as a name, or deeper."""
    return st.recursive(
        st.sampled_from([canary, f"{canary} 1970-01-01", f"2026-05-01T15:00:00Z {canary}"]),
        lambda inner: st.lists(inner, min_size=1, max_size=2) | st.dictionaries(st.just(canary), inner, min_size=1),
        max_leaves=3,
    )


@st.composite
def planted(draw: st.DrawFn) -> tuple[type[Model], dict[str, Any]]:
    """Return a model and a body of it with canaries as values anywhere, and as the names of unknown fields."""
    model, payload = draw(st.sampled_from(MODELS))
    payload = copy.deepcopy(payload)
    for _ in range(draw(st.integers(1, 5))):
        *parents, last = draw(st.sampled_from(places(payload)))
        holder = payload
        for key in parents:
            holder = holder[key]
        # A single word can be an opaque id, so an id holds two.
        can_be_a_word = not str(last).endswith(("id", CANARY))
        holder[last] = draw(holding(CANARY if can_be_a_word else f"Maria {CANARY}"))
        if isinstance(holder, dict) and draw(st.booleans()):
            holder[CANARY] = draw(holding(CANARY))
    return model, payload


def rendered(value: Any) -> str:
    """Return *value* in every way it can be displayed, rich's pretty printer included."""
    console = Console(file=io.StringIO(), width=200)
    console.print(Pretty(value))
    return f"{value!r} {value} {[value]!r} {console.file.getvalue()}"  # type: ignore[attr-defined]


def recorded(body: Any) -> str:
    """Return the body that a cassette contains for a response with *body*."""
    response = {"status": {"code": 200}, "headers": {}, "body": {"string": json.dumps(body).encode()}}
    scrub: Any = vcr_config()["before_record_response"]
    return str(scrub(response)["body"]["string"])


@given(planted())
@examples(300)
def test_a_name_in_any_field_is_kept_and_never_displayed(case: tuple[type[Model], dict[str, Any]]) -> None:
    model, payload = case
    read = model.from_dict(payload)
    assert read.to_dict() == payload
    assert CANARY not in rendered(read)
    assert CANARY not in card(read, shows_all=False)
    if isinstance(read, Encounter):
        assert CANARY not in encounters_table([read], shows_all=False)
    assert CANARY not in recorded(payload)
    assert CANARY not in recorded({CANARY: payload, f"{CANARY} too": CANARY})
    assert CANARY not in str(decoding_surprises())


def test_a_repr_shows_values_of_the_promised_types() -> None:
    encounter = Encounter.from_dict(BODIES["encounters.get"]["encounter"])
    for shown in ("'enc_synthetic_0001'", "'completed'", "'ambient'", "Patient(patient_id=", "2026, 5, 1", "[2]"):
        assert shown in repr(encounter)


def test_a_signed_url_is_received_but_not_displayed_or_logged(
    client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    body = {"audio_url": "https://media.example.test/a.wav?signature=canary", "expires_at": "2026-05-01T15:45:00Z"}
    audio = client(lambda request: httpx.Response(200, json=body)).documents.audio("enc_1", "doc_1")
    assert audio.audio_url.endswith("canary")
    assert "canary" not in rendered(audio) + caplog.text
