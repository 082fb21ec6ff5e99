"""The public surface: a promise. When one of these tests fails, read what it says before you change it."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from charthero_ext import AsyncChartHero, ChartHero, ChartHeroError, errors, models

PROMISE = (
    "a public name or signature changed. Adding is a minor version; removing or changing is a major one: integrations "
    "break, so say in CHANGELOG.md what to write instead. Where it is meant, write it down here"
)

#: The modules people import. What is public in them is their ``__all__``.
MODULES = (
    "charthero_ext",
    "charthero_ext.client",
    "charthero_ext.config",
    "charthero_ext.errors",
    "charthero_ext.models",
    "charthero_ext.pagination",
    "charthero_ext.sandbox",
    "charthero_ext.scopes",
    "charthero_ext.testing",
    "charthero_ext.webhooks",
)
PROMISED = Path(__file__).with_name("surface.txt")

FIELDS = {
    "EncounterPage": "items limit offset total",
    "Encounter": (
        "encounter_id organization_id created_at updated_at date_of_service encounter_type status patient documents"
    ),
    "Patient": "patient_id first_name last_name date_of_birth",
    "DocumentSummary": "document_id schema_type status title workflow_variant audio_duration_seconds",
    "Document": ("document_id encounter_id schema_type title status workflow_variant created_at updated_at content"),
    "DocumentContent": "format text",
    "Transcript": "encounter_id document_id transcript",
    "TranscriptContent": "provider audio_duration_seconds turns",
    "TranscriptTurn": "speaker start end text",
    "AudioUrl": "audio_url expires_at",
    "ApiError": "error reason_code message field",
    "TranscriptReadyEvent": "id type api_version occurred_at organization_id resources",
    "EventResources": "encounter_id document_id",
}


def surface() -> Iterator[str]:
    """Every public name, one a line, with its signature; of the generated models, whose fields may grow, the name."""
    for module in MODULES:
        loaded = importlib.import_module(module)
        for name in sorted(loaded.__all__):
            found = getattr(loaded, name)
            if inspect.isclass(found) and not found.__module__.startswith("charthero_client"):
                yield from class_lines(f"{module}.{name}", found)
            elif inspect.isfunction(found):
                yield f"{module}.{name}{signature(found)}"
            else:
                yield f"{module}.{name}"


def class_lines(path: str, kind: type) -> Iterator[str]:
    bases = ", ".join(base.__name__ for base in kind.__bases__ if base is not object)
    yield f"{path}({bases}){signature(kind)}"
    for name, member in inspect.getmembers(kind, lambda member: not isinstance(member, type)):
        if name.startswith("_") or hasattr(Exception, name):
            continue
        if inspect.isfunction(member) or inspect.ismethod(member):
            yield f"{path}.{name}{signature(member)}{' awaited' if inspect.iscoroutinefunction(member) else ''}"
        else:
            yield f"{path}.{name}"


def signature(of: Any) -> str:
    """The parameters with their kinds and defaults; types are the business of the type checkers."""
    try:
        taken = inspect.signature(of)
    except ValueError:
        return "(...)"
    parameters = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in taken.parameters.values()]
    shown = str(taken.replace(parameters=parameters, return_annotation=inspect.Signature.empty))
    return re.sub(r"<[^<>]*>|frozenset\(\{[^}]*\}\)", "...", shown)


def test_the_public_surface_is_the_promised_one() -> None:
    now, promised = list(surface()), PROMISED.read_text(encoding="utf-8").splitlines()
    gone = [line for line in promised if line not in now]
    new = [line for line in now if line not in promised]
    assert (gone, new) == ([], []), f"{PROMISE}, and run: python -m tests.ext.test_surface > tests/ext/surface.txt"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_lists_what_it_promises(module: str) -> None:
    loaded = importlib.import_module(module)
    assert set(loaded.__all__) <= set(dir(loaded))


@pytest.mark.parametrize("name", errors.__all__)
def test_every_exception_is_a_charthero_error(name: str) -> None:
    assert issubclass(getattr(errors, name), ChartHeroError)


@pytest.mark.parametrize("model", FIELDS)
def test_a_model_has_the_fields_it_promises(model: str) -> None:
    found = inspect.signature(getattr(models, model)).parameters
    assert set(FIELDS[model].split()) <= set(found), PROMISE


def test_both_clients_offer_the_same_names() -> None:
    def names(kind: type) -> set[str]:
        client = kind(api_key="ch_sk_synthetic", base_url="http://localhost:1")
        parts = [client, client.encounters, client.documents]
        return {f"{index}.{name}" for index, part in enumerate(parts) for name in dir(part) if not name.startswith("_")}

    assert names(ChartHero) - {"0.close"} == names(AsyncChartHero) - {"0.aclose"}


def test_importing_the_package_loads_neither_httpx_nor_the_generated_client() -> None:
    names = ("httpx", "attrs", "charthero_client")
    program = f"import sys, charthero_ext; print([name for name in {names} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_client_for_threads_is_ready_without_asyncio_and_before_anything_is_made_for_connections() -> None:
    names = ("asyncio", "httpcore")
    program = (
        "import sys; from charthero_ext import ChartHero; ChartHero(api_key='ch_sk_synthetic', "
        f"base_url='https://api.example.test'); print([name for name in {names} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    import charthero_ext

    with pytest.raises(AttributeError, match="no attribute 'Charthero'"):
        charthero_ext.Charthero  # noqa: B018


if __name__ == "__main__":
    print(*surface(), sep="\n")
