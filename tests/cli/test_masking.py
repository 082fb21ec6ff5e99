"""What people see: no patient unless asked for, and nothing that a server could make a terminal do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charthero_ext.cli.rendering import MASK, card, encounters_table, plain, text_of, write
from charthero_ext.models import Encounter
from charthero_ext.sandbox import Sandbox

from ..ext.test_decoding import MODELS
from .conftest import Run, document_id, newest

CANARY = "canary Smith"


def planted(node: Any) -> Any:
    """Put the canary into every text and into unknown fields."""
    if isinstance(node, dict):
        return {**{name: planted(value) for name, value in node.items()}, "added_id": CANARY, CANARY: [CANARY]}
    if isinstance(node, list):
        return [planted(item) for item in node]
    return CANARY if isinstance(node, str) else node


def printed(what: Any, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    write(what)
    return capsys.readouterr().out


@pytest.mark.parametrize(("model", "body"), MODELS)
def test_a_card_shows_hidden_values_only_with_shows_all(
    model: Any, body: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    read = model.from_dict(planted(body))
    assert "canary" not in printed(card(read, shows_all=False), capsys)
    everything = printed(card(read, shows_all=True), capsys) + text_of(read)
    assert CANARY in everything


def test_the_table_of_encounters_masks_patients_and_shows_them_when_asked_to(run: Run, sandbox: Sandbox) -> None:
    patient = {"patient_id": "pat_1", "first_name": "Canary", "last_name": "Synthetic", "date_of_birth": "1970-01-01"}
    sandbox.append(patient=patient, date_of_service="2026-02-03")
    masked, shown = run("encounters", "--max-items", 1), run("encounters", "--max-items", 1, "--show-phi")
    for value in ("Canary", "Synthetic", "1970-01-01", "2026-02-03"):
        assert value not in masked.out
        assert value in shown.out
    assert masked.out.count(MASK) == 4
    assert "pat_1" in masked.out
    assert "--show-phi" in masked.err


@pytest.mark.parametrize("command", ["document", "transcript"])
def test_clinical_text_is_shown_only_when_asked_for_also_through_a_pipe(
    command: str, run: Run, sandbox: Sandbox
) -> None:
    encounter = newest(sandbox, "document", "ambient_transcript")
    kind = {"document": "document", "transcript": "ambient_transcript"}[command]
    asked = (command, encounter["encounter_id"], document_id(encounter, kind))
    said = "Assessment and plan" if command == "document" else "clinician: "
    masked, shown = run(*asked), run(*asked, "--show-phi")
    assert said not in masked.out
    assert said in shown.out
    assert document_id(encounter, kind) in masked.out
    assert "--show-phi shows them, --json gives everything" in masked.err


IDS = ["[red]enc[/red]", "enc_[/]", "[link=https://x.example.test]enc[/link]", ":smile:", "enc\x1b[31m", "enc\u202e1"]


@pytest.mark.parametrize("odd", IDS)
def test_an_odd_id_is_masked_and_never_controls_a_terminal(odd: str, capsys: pytest.CaptureFixture[str]) -> None:
    read = Encounter.from_dict({"encounter_id": odd, "created_at": "2026-05-01T15:29:55Z"})
    expected = odd.replace("\x1b", "\ufffd").replace("\u202e", "\ufffd")
    for render in (card, lambda each, shows_all: encounters_table([each], shows_all=shows_all)):
        assert expected in printed(render(read, shows_all=True), capsys)
        assert odd == ":smile:" or MASK in printed(render(read, shows_all=False), capsys)
        assert not {"\x1b", "\u202e"}.intersection(render(read, shows_all=True))


@given(st.text())
def test_no_text_holds_a_control_character_once_it_is_plain(text: str) -> None:
    assert all(each.isprintable() or each in "\n\u200c\u200d" for each in plain(text))
    assert len(plain(text)) == len(text)


def test_texts_of_people_keep_their_letters() -> None:
    assert plain("naïve café\u00a0Ünal \u2013 你好\n👩\u200d⚕️") == "naïve café Ünal \u2013 你好\n👩\u200d⚕️"


def test_whatever_an_encounter_holds_it_can_be_listed(capsys: pytest.CaptureFixture[str]) -> None:
    for body in (
        {"encounter_id": "enc_1", "patient": None, "documents": None, "created_at": None},
        {"encounter_id": "enc_1", "patient": [1], "documents": "none", "created_at": {"a": 1}, "status": 7},
        {"encounter_id": "enc_1", "documents": [None, {"document_id": 7}, "x"], "created_at": "2026-05-01T00:00:00"},
        {"encounter_id": "enc_1"},
    ):
        read = Encounter.from_dict(body)
        for shows_all in (True, False):
            assert "enc_1" in printed(card(read, shows_all=shows_all), capsys)
            assert "enc_1" in printed(encounters_table([read], shows_all=shows_all), capsys)
