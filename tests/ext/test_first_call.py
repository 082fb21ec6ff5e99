"""The first call opens the connections, also in several threads, signal handlers and forked processes."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from charthero_ext import ChartHero
from charthero_ext.errors import ConfigurationError

from .conftest import KEY, Listener, settings


class SlowToMake:
    """Records every transport, and calls `meanwhile` while the first one is made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[httpx.HTTPTransport] = []
        self.closed: list[httpx.HTTPTransport] = []
        self.meanwhile: Callable[[], object] = bool
        make, close = httpx.HTTPTransport.__init__, httpx.HTTPTransport.close

        def slow_make(transport: httpx.HTTPTransport, **arguments: Any) -> None:
            self.made.append(transport)
            meanwhile, self.meanwhile = self.meanwhile, bool
            meanwhile()
            make(transport, **arguments)

        def noted_close(transport: httpx.HTTPTransport) -> None:
            self.closed.append(transport)
            close(transport)

        monkeypatch.setattr(httpx.HTTPTransport, "__init__", slow_make)
        monkeypatch.setattr(httpx.HTTPTransport, "close", noted_close)


def run(script: str) -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)], check=True, timeout=60)


def test_a_forked_child_opens_its_own_connections(listener: Callable[[], Listener]) -> None:
    api = listener()
    run(f"""
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
    """)
    assert [key for _, key in api.asked] == [f"Bearer {KEY}"] * 3
    before, childs, after = api.connections
    assert before == after != childs


def test_a_walk_continues_in_a_child_that_was_forked_while_a_page_was_in_flight() -> None:
    run("""
        import os, signal, threading
        from datetime import UTC, datetime
        from types import SimpleNamespace
        from charthero_ext.pagination.walk import Walk

        rows = [SimpleNamespace(encounter_id=f"e{n}", created_at=datetime(2026, 1, n, tzinfo=UTC)) for n in (1, 2, 3)]
        parent, requests = os.getpid(), []

        def fetch(request):
            requests.append(request)
            if os.getpid() == parent and len(requests) == 2:
                threading.Event().wait()
            later = [row for row in rows if request.start_at is None or row.created_at >= request.start_at]
            return SimpleNamespace(items=later[request.offset :][: request.limit], total=3)

        walk = Walk(fetch, limit=2)
        assert [next(walk), next(walk)] == rows[:2]
        child = os.fork()
        if child == 0:
            signal.alarm(30)
            os._exit([row.encounter_id for row in walk] != ["e3"])
        assert os.waitpid(child, 0)[1] == 0
    """)


def test_concurrent_first_calls_share_one_connection_pool(
    listener: Callable[[], Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, watched, meeting = listener(), SlowToMake(monkeypatch), threading.Barrier(4)

    def call() -> None:
        meeting.wait(timeout=30)
        ch.encounters.get("enc_1")

    with ChartHero(base_url=server.url, api_key=KEY) as ch:
        assert not watched.made
        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
        assert len(watched.closed) == len(watched.made) - 1
    assert sorted(map(id, watched.closed)) == sorted(map(id, watched.made))
    assert len(server.asked) == 4


def test_closing_during_the_first_call_closes_its_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = SlowToMake(monkeypatch)
    ch = ChartHero(settings=settings())
    slow.meanwhile = ch.close
    with pytest.raises(ConfigurationError, match="closed"):
        ch.encounters.get("enc_1")
    assert slow.closed == slow.made


def test_a_signal_handler_can_make_a_call_during_the_first_call(
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


SLOW_TRANSPORT = """
        def slow(self, make=httpx.HTTPTransport.__init__, **arguments):
            meet()
            make(self, **arguments)

        httpx.HTTPTransport.__init__ = slow
"""
SLOW_IMPORT = """
        class Finder:
            def find_spec(self, name, path, target=None):
                if name == "MODULE":
                    meet()

        sys.meta_path.insert(0, Finder())
"""


@pytest.mark.parametrize(
    "slow",
    [SLOW_TRANSPORT, *(SLOW_IMPORT.replace("MODULE", name) for name in ("httpcore", "importlib.metadata"))],
    ids=["transport", "httpcore", "importlib.metadata"],
)
def test_a_child_forked_during_the_first_call_can_make_calls(listener: Callable[[], Listener], slow: str) -> None:
    api = listener()
    run(f"""
        import os, signal, sys, threading, httpx
        from charthero_ext import ChartHero

        begun, forked = threading.Event(), threading.Event()

        def meet():  # A fork may wait for this thread.
            begun.set()
            forked.wait(timeout=0.5)
        {slow}
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
    """)
    assert len(api.asked) == 2
