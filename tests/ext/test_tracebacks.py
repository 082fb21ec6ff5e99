"""Tracebacks with local variables show no key, signed URL or body, however the client fails."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.pretty import pretty_repr

from charthero_ext import AsyncChartHero, ChartHero, Settings
from charthero_ext.config import CONFIG_FILE
from charthero_ext.errors import ChartHeroError, NotFoundError

from .conftest import EITHER_CLIENT, HOST, connected, perform
from .tracebacks import RENDERERS, event_of, with_captured_locals


def canary() -> str:
    """Return a secret that no frame of a test holds in a local variable or shows in its source."""
    return "".join(reversed("3f7_yranac_ks"))


def revealing(*texts: str) -> list[str]:
    """Return the beginnings of the lines that show the secret."""
    return [line[:200] for text in texts for line in text.splitlines() if canary() in line]


def answering(status: int, body: dict[str, str] | str, encoding: str = "utf-8") -> httpx.MockTransport:
    text = body if isinstance(body, str) else json.dumps(body)
    return httpx.MockTransport(
        lambda request: httpx.Response(status, content=text.replace("CANARY", canary()).encode(encoding))
    )


def failing(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError(f"cannot connect with {request.headers}")


def client(transport: Any = None, **others: Any) -> ChartHero:
    arguments = {"transport": transport or httpx.MockTransport(failing)}
    return ChartHero(
        settings=Settings.load(api_key=canary(), base_url=HOST, attempts=1, **others), httpx_args=arguments
    )


def with_key_in_environment(base_url: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHARTHERO_API_KEY", canary())
        ChartHero(base_url=base_url)


def broken_key() -> str:
    raise RuntimeError(canary())


async def awaited_call() -> None:
    settings = Settings.load(api_key=canary(), base_url=HOST, attempts=1)
    async with AsyncChartHero(settings=settings, httpx_args={"transport": httpx.MockTransport(failing)}) as ch:
        await ch.encounters.get("enc_1")


SIGNED = {"audio_url": "https://media.example.test/a.wav?signature=CANARY", "expires_at": "2026-05-01T15:45:00Z"}
PROXY = "http://user:{}@127.0.0.1:9"


def download(path: Path) -> None:
    with client(answering(200, SIGNED), media_hosts=["other.example.test"]) as ch:
        ch.documents.download_audio("enc_1", "doc_1", path / "a.wav")


def walk(page: dict[str, Any]) -> None:
    body = json.dumps({"limit": 100, "offset": 0, "total": 1, **page})
    next(client(answering(200, body)).encounters.iter())


def load_profile(text: str) -> None:
    path = CONFIG_FILE.expanduser()
    path.parent.mkdir(parents=True)
    path.write_text(text.replace("CANARY", canary()))
    Settings.load()


PATHS: dict[str, Callable[[Path], object]] = {
    "a key with a space": lambda path: ChartHero(api_key=f"{canary()} x", base_url=HOST),
    "a key in the environment": lambda path: with_key_in_environment("http://not-loopback.example.test"),
    "a key in the place of the host": lambda path: ChartHero(api_key="https://a.example.test", base_url=canary()),
    "a key in the place of its source": lambda path: Settings(base_url=HOST, key_source=canary()),  # type: ignore[arg-type]
    "a key in the place of a profile": lambda path: Settings.load(profile=canary()),
    "a key in a profile": lambda path: load_profile('[default]\nbase_url = "https://x.test"\napi_key = "CANARY"\n'),
    "a key in the place of the name of its variable": lambda path: load_profile(
        '[default]\nbase_url = "https://x.example.test"\napi_key_env = "CANARY"\n'
    ),
    "a profile that is not TOML": lambda path: load_profile('api_key = "CANARY'),
    "a key callable that fails": lambda path: ChartHero(api_key=broken_key, base_url=HOST).encounters.get("enc_1"),
    "a proxy with a password": lambda path: ChartHero(
        settings=Settings.load(api_key="ch_sk_x", base_url="https://127.0.0.1:9", attempts=1),
        httpx_args={"proxy": PROXY.format(canary())},
    ).encounters.get("enc_1"),
    "a proxy that cannot be used": lambda path: ChartHero(
        api_key="ch_sk_x", base_url="https://127.0.0.1:9", httpx_args={"proxy": f"ftp://{canary()}@x"}
    ),
    "an argument that httpx does not know": lambda path: ChartHero(
        api_key="ch_sk_x", base_url=HOST, httpx_args={"password": canary()}
    ),
    "a lost connection": lambda path: client().encounters.get("enc_1"),
    "a lost connection, awaited": lambda path: asyncio.run(awaited_call()),
    "a lost connection in a walk": lambda path: next(client().encounters.iter()),
    "a text in the place of an encounter": lambda path: walk({"items": ["CANARY"]}),
    "a text in the place of an instant": lambda path: walk({"items": [{"encounter_id": "e", "created_at": "CANARY"}]}),
    "an object in the place of an id": lambda path: walk(
        {"items": [{"encounter_id": {"name": "CANARY"}, "created_at": "2026-05-01T00:00:00Z"}]}
    ),
    "a sentence of the server": lambda path: client(
        answering(404, {"error": "CANARY", "reason_code": "CANARY x", "message": "CANARY", "field": "CANARY!"})
    ).encounters.get("enc_1"),
    "an error that is HTML": lambda path: client(answering(502, "<p>CANARY</p>")).encounters.get("enc_1"),
    "a success that is HTML": lambda path: client(answering(200, "<p>CANARY</p>")).encounters.get("enc_1"),
    "a truncated body": lambda path: client(answering(200, '{"encounter": {"title": "CANARY')).encounters.get("enc_1"),
    "a body in another encoding": lambda path: client(answering(200, "CANARY", "utf-16")).encounters.get("enc_1"),
    "a redirect": lambda path: client(
        httpx.MockTransport(lambda request: httpx.Response(302, headers={"Location": f"/{canary()}"}))
    ).encounters.get("enc_1"),
    "a body of another shape": lambda path: client(answering(200, {"CANARY": "CANARY"})).encounters.get("enc_1"),
    "a refused recording": download,
    "another path": lambda path: client().get("/external/v1/later"),
}


@pytest.mark.parametrize("render", RENDERERS)
@pytest.mark.parametrize("path", PATHS)
def test_an_exception_shows_no_secret_in_its_traceback_text_or_log(
    path: str, render: Callable[[BaseException], str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ChartHeroError) as caught:
        PATHS[path](tmp_path)
    error = caught.value
    assert error.__cause__ is error.__context__ is None
    logged = str([vars(record) for record in caplog.records])
    assert revealing(render(error), repr(error), str(error), repr(error.args), caplog.text, logged) == []
    assert canary().encode() not in pickle.dumps(error)
    assert str(copy.copy(error)) == str(error)


def test_neither_sentry_nor_rich_shows_the_server_message() -> None:
    with pytest.raises(NotFoundError) as caught:
        # Rich cuts a text of more than 80 characters before it calls repr.
        client(
            answering(404, {"message": f"No encounter for CANARY{' in all organizations' * 5}", "reason_code": "x"})
        ).encounters.get("enc_1")
    assert str(caught.value.server_message).startswith(f"No encounter for {canary()}")
    event = event_of(caught.value)
    assert "HTTP 404 x" in event
    assert revealing(event, pretty_repr(caught.value, max_string=80)) == []


@EITHER_CLIENT
@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_an_interrupted_call_or_download_shows_no_secret(
    kind: Any, interruption: type[BaseException], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/audio"):
            return answering(200, SIGNED).handler(request)
        raise interruption

    calls: list[Callable[[Any], Any]] = [
        lambda ch: ch.documents.get("enc_1", "doc_1"),
        lambda ch: ch.documents.download_audio("enc_1", "doc_1", tmp_path / "a.wav"),
    ]
    for call in calls:
        with pytest.raises(interruption) as caught:
            perform(connected(kind, answer, api_key=canary()), call)
        assert revealing(with_captured_locals(caught.value)) == []
    assert revealing(caplog.text) == []
    assert f"documents.get - {interruption.__name__} " in caplog.text


@pytest.mark.parametrize("render", RENDERERS)
def test_an_argument_of_another_type_is_not_shown(render: Callable[[BaseException], str]) -> None:
    arguments: Any = PROXY.format
    with pytest.raises(AttributeError) as caught:
        ChartHero(api_key="ch_sk_x", base_url=HOST, httpx_args=arguments(canary()))
    assert caught.value.obj is None
    assert revealing(render(caught.value)) == []


@EITHER_CLIENT
@pytest.mark.parametrize("render", RENDERERS)
def test_an_exception_group_of_a_transport_shows_no_secret(kind: Any, render: Callable[[BaseException], str]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raw = request.headers.raw
        try:
            raise httpx.ConnectError("")
        except httpx.ConnectError as error:
            raise ExceptionGroup(f"{len(raw)} headers", [ExceptionGroup("", [error])]) from None

    with pytest.raises(ExceptionGroup) as caught:
        perform(connected(kind, answer, api_key=canary()), lambda ch: ch.encounters.get("enc_1"))
    assert revealing(render(caught.value)) == []


def test_a_traceback_in_user_code_has_at_most_three_frames_of_this_package() -> None:
    with pytest.raises(NotFoundError) as caught:
        client(answering(404, {"reason_code": "not_found"})).encounters.get("enc_1")
    assert len([entry for entry in caught.traceback if "charthero_ext" in str(entry.path)]) <= 3
