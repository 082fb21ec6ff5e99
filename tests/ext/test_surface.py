"""The public surface: a promise. When one of these tests fails, read what it says before you change it."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import pytest

from charthero_ext import AsyncChartHero, ChartHero, errors, models

PROMISE = (
    "a public name or signature changed. Adding is a minor version: add it here. Removing or changing is a major "
    "version: integrations break, so say in CHANGELOG.md what to write instead"
)

MODULES = {
    "charthero_ext": {"AsyncChartHero", "ChartHero", "ChartHeroError", "Settings", "Timeouts", "drift_counts"},
    "charthero_ext.models": {
        "UNSET",
        "ApiError",
        "AudioUrl",
        "Document",
        "DocumentContent",
        "DocumentSummary",
        "Encounter",
        "EncounterPage",
        "EventResources",
        "Patient",
        "Transcript",
        "TranscriptContent",
        "TranscriptReadyEvent",
        "TranscriptTurn",
        "Unset",
    },
}

BASES = {
    "ChartHeroError": "Exception",
    "ConfigurationError": "ChartHeroError",
    "TransportError": "ChartHeroError",
    "RequestTimeoutError": "TransportError",
    "UnexpectedResponseError": "ChartHeroError",
    "PaginationError": "ChartHeroError",
    "WebhookVerificationError": "ChartHeroError",
    "ApiStatusError": "ChartHeroError",
    "InvalidRequestError": "ApiStatusError",
    "AuthenticationError": "ApiStatusError",
    "PermissionDeniedError": "ApiStatusError",
    "NotFoundError": "ApiStatusError",
    "RateLimitedError": "ApiStatusError",
    "ServiceUnavailableError": "ApiStatusError",
}

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

CLIENT = {
    "encounters.list": "limit offset sort_order start_at end_at timeout",
    "encounters.get": "encounter_id timeout",
    "documents.get": "encounter_id document_id timeout",
    "documents.transcript": "encounter_id document_id timeout",
    "documents.audio": "encounter_id document_id timeout",
    "documents.download_audio": "encounter_id document_id path progress",
}


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_the_names_it_promises(module: str) -> None:
    loaded = importlib.import_module(module)
    assert set(loaded.__all__) == MODULES[module], PROMISE
    for name in MODULES[module]:
        assert getattr(loaded, name) is not None
    assert MODULES[module] <= set(dir(loaded))


def test_every_exception_has_the_base_it_promises() -> None:
    found = {name: getattr(errors, name).__base__.__name__ for name in errors.__all__}
    assert {name: found.get(name) for name in BASES} == BASES, PROMISE


@pytest.mark.parametrize("model", FIELDS)
def test_a_model_has_the_fields_it_promises(model: str) -> None:
    found = inspect.signature(getattr(models, model)).parameters
    assert set(FIELDS[model].split()) <= set(found), PROMISE


@pytest.mark.parametrize("kind", [ChartHero, AsyncChartHero])
@pytest.mark.parametrize("operation", CLIENT)
def test_a_method_takes_the_arguments_it_promises(kind: type, operation: str) -> None:
    client = kind(api_key="ch_sk_synthetic", base_url="http://localhost:1")
    resource, _, method = operation.partition(".")
    found = inspect.signature(getattr(getattr(client, resource), method)).parameters
    assert list(found) == CLIENT[operation].split(), PROMISE
    assert inspect.iscoroutinefunction(getattr(getattr(client, resource), method)) is (kind is AsyncChartHero)


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


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    import charthero_ext

    with pytest.raises(AttributeError, match="no attribute 'Charthero'"):
        charthero_ext.Charthero  # noqa: B018
