"""The first call makes the connections: whatever happens meanwhile, and in whichever process."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest

from charthero_ext import ChartHero
from charthero_ext.errors import ChartHeroError, ConfigurationError

from .conftest import KEY, Listener, settings


class SlowToMake:
    """Keeps every httpx client that is made, and lets tests in while one is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[httpx.Client] = []
        self.meanwhile: Callable[[], object] = bool
        self.others: dict[str, Any] = {}
        slow = self

        class Watched(httpx.Client):
            def __init__(self, **arguments: Any) -> None:
                slow.made.append(self)
                meanwhile, slow.meanwhile = slow.meanwhile, bool
                meanwhile()
                super().__init__(**arguments, **slow.others)

        monkeypatch.setattr(httpx, "Client", Watched)


def test_a_forked_child_makes_connections_of_its_own(listener: Callable[[], Listener]) -> None:
    api = listener()
    script = f"""
        import os
        from charthero_ext import ChartHero
        ch = ChartHero(api_key="{KEY}", base_url="{api.url}")
        ch.encounters.get("enc_1")
        child = os.fork()
        if child == 0:
            ch.encounters.get("enc_1")
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        ch.encounters.get("enc_1")
    """
    subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)], check=True, timeout=60)
    assert [key for _, key in api.asked] == [f"Bearer {KEY}"] * 3
    before, childs, after = api.connections
    assert before == after != childs


def test_threads_whose_first_calls_meet_share_one_pool_of_connections(
    listener: Callable[[], Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, watched, meeting = listener(), SlowToMake(monkeypatch), threading.Barrier(4)

    def call() -> None:
        meeting.wait(timeout=30)
        ch.encounters.get("enc_1")

    with ChartHero(base_url=server.url, api_key=KEY) as ch:
        assert not watched.made, "nothing was asked for yet"
        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
    assert len(watched.made) == 1
    assert len(server.asked) == 4


def test_closing_during_a_first_call_closes_what_it_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, begun, closing = SlowToMake(monkeypatch), threading.Event(), threading.Event()

    def close() -> None:
        closing.set()
        ch.close()

    slow.others["transport"] = httpx.MockTransport(lambda request: httpx.Response(404))
    ch = ChartHero(settings=settings())

    def meanwhile() -> None:
        begun.set()
        assert closing.wait(timeout=30)

    def call() -> None:
        with suppress(ChartHeroError):
            ch.encounters.get("enc_1")

    slow.meanwhile = meanwhile
    caller = threading.Thread(target=call)
    caller.start()
    assert begun.wait(timeout=30)
    closer = threading.Thread(target=close)
    closer.start()
    for thread in (caller, closer):
        thread.join(timeout=30)
    assert [client.is_closed for client in slow.made] == [True]


def test_the_handler_of_a_signal_can_make_a_call_within_a_first_call(
    listener: Callable[[], Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, server = SlowToMake(monkeypatch), listener()
    with ChartHero(base_url=server.url, api_key=KEY) as ch:
        slow.meanwhile = lambda: ch.encounters.get("enc_1")
        caller = threading.Thread(target=ch.encounters.get, args=["enc_2"], daemon=True)
        caller.start()
        caller.join(timeout=30)
        assert not caller.is_alive()
    assert len(server.asked) == 2


def test_a_child_forked_during_a_first_call_can_call(listener: Callable[[], Listener]) -> None:
    api = listener()
    script = f"""
        import os, signal, threading, httpx
        from charthero_ext import ChartHero

        begun, forked, make = threading.Event(), threading.Event(), httpx.Client.__init__

        def slow(self, **arguments):
            begun.set()
            assert forked.wait(timeout=30)
            make(self, **arguments)

        httpx.Client.__init__ = slow
        ch = ChartHero(api_key="{KEY}", base_url="{api.url}")
        caller = threading.Thread(target=ch.encounters.get, args=["enc_1"])
        caller.start()
        begun.wait(timeout=30)
        child = os.fork()
        forked.set()
        if child == 0:
            signal.alarm(20)
            ch.encounters.get("enc_2")
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        caller.join()
    """
    subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)], check=True, timeout=60)
    assert len(api.asked) == 2


def test_a_client_that_was_never_used_can_be_closed() -> None:
    ch = ChartHero(settings=settings())
    ch.close()
    with pytest.raises(ConfigurationError, match="closed"):
        ch.encounters.get("enc_1")
