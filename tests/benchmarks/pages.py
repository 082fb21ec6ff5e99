"""What one page costs: to decode, to fetch and to keep. And what the first page of a program costs."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, contextmanager, nullcontext
from importlib.machinery import PathFinder
from pathlib import Path

from attrs import frozen

from tests.benchmarks.measuring import Spread, in_turns, ratios, spread, timed
from tests.benchmarks.page import PATH, page
from tests.benchmarks.peers import FLOOR, KEY, PEERS, Peer

__all__ = ["KEPT", "READY", "Measured", "measure_pages", "present"]

AT_ONCE = 16
KEPT = "memory kept per page kept"
READY = "ready for the first request"

#: Each finds the server in `url`. The first page also pays for what is loaded lazily.
_PROGRAMS = {
    "import httpx": "import httpx",
    "import charthero_ext": "import charthero_ext",
    "httpx, first client ready": "import httpx; httpx.Client(base_url='https://api.example.test')",
    "charthero_ext, first client ready": (
        f"from charthero_ext import ChartHero; ChartHero(base_url='https://api.example.test', api_key={KEY!r})"
    ),
    "httpx + json.loads, first page of 10 read": (
        f"import httpx, json; json.loads(httpx.Client(base_url=url).get({PATH!r}, params={{'limit': 10}}).content)"
    ),
    "charthero_ext, first page of 10 read": (
        f"from charthero_ext import ChartHero; ChartHero(base_url=url, api_key={KEY!r}).encounters.list(limit=10)"
    ),
}


@frozen
class Measured:
    """One kind of work: the cost of the floor, and the ratio of each client to the floor."""

    work: str
    floor: float
    unit: str
    peers: dict[str, Spread]


def present() -> tuple[list[Peer], dict[str, str]]:
    """Return the peers that are installed, and why the others are not."""
    peers, absent = [], {}
    for peer in PEERS:
        try:
            peers.append(peer())
        except ImportError as error:
            absent[peer.name] = str(error)
    return peers, absent


def measure_pages(peers: list[Peer], base_url: str, *, rounds: int) -> list[Measured]:
    """Measure everything about a page, against a running server."""
    body = page(100)
    decoding = {peer.name: lambda peer=peer: peer.decode(body) for peer in peers if peer.is_sync}
    with ExitStack() as stack:
        fetches = {peer.name: stack.enter_context(peer.fetching(base_url)) for peer in peers if peer.is_sync}
        hundred = {name: lambda fetch=fetch: fetch(100) for name, fetch in fetches.items()}
        ten = {name: lambda fetch=fetch: fetch(10) for name, fetch in fetches.items()}
        measured = [
            _compared("decode a page of 100", decoding, rounds=rounds, times=10),
            _compared("fetch + decode, one client", hundred, rounds=rounds, times=10),
            _compared("a page of 10", ten, rounds=rounds, times=20),
        ]
        with _logging_on():
            measured.append(_compared("a page of 10, logging on", ten, rounds=rounds, times=20))
    measured.append(asyncio.run(_at_once([peer for peer in peers if peer.is_async], base_url, rounds=rounds)))
    return [*measured, _kept(peers, body), _ready(base_url, rounds=rounds // 2 + 1)]


def _compared(work: str, works: Mapping[str, Callable[[], object]], *, rounds: int, times: int) -> Measured:
    taken: dict[str, list[float]] = {name: [] for name in works}
    for each in works.values():
        timed(each, 3)
    for name in in_turns(list(works), rounds):
        taken[name].append(timed(works[name], times))
    return Measured(work, spread(taken[FLOOR]).median * 1000, "ms", ratios(taken, FLOOR))


async def _at_once(peers: list[Peer], base_url: str, *, rounds: int) -> Measured:
    async with AsyncExitStack() as stack:
        fetches = {peer.name: await stack.enter_async_context(peer.fetching_async(base_url)) for peer in peers}
        bare = {peer.name: not peer.has_sniffio for peer in peers}
        taken: dict[str, list[float]] = {name: [] for name in fetches}
        for fetch in fetches.values():
            await _many(fetch, each=1)
        for name in in_turns(list(fetches), rounds):
            gc.collect()
            with _without("sniffio") if bare[name] else nullcontext():
                started = asyncio.get_running_loop().time()
                await _many(fetches[name], each=4)
                taken[name].append((asyncio.get_running_loop().time() - started) / (4 * AT_ONCE))
    return Measured(
        f"the same, {AT_ONCE} at once, async", spread(taken[FLOOR]).median * 1000, "ms", ratios(taken, FLOOR)
    )


@contextmanager
def _without(package: str) -> Iterator[None]:
    """Make an installed package look missing. A search for it costs as much as for a missing one."""

    class Finder:
        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            if name == package:
                PathFinder.find_spec(f"{package}_is_missing")
                raise ModuleNotFoundError(name)

    module = sys.modules.pop(package, None)
    sys.meta_path.insert(0, Finder)
    try:
        yield
    finally:
        sys.meta_path.remove(Finder)
        if module is not None:
            sys.modules[package] = module


async def _many(fetch: Callable[[int], Awaitable[object]], *, each: int) -> None:
    async def one_after_another() -> None:
        for _ in range(each):
            await fetch(100)

    await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))


def _kept(peers: list[Peer], body: bytes) -> Measured:
    """Measure the memory of a page that is kept. Unlike a time, it needs one round."""
    kilobytes = {}
    for peer in (peer for peer in peers if peer.is_sync):
        peer.decode(body)
        gc.collect()
        tracemalloc.start()
        try:
            pages = [peer.decode(bytes(bytearray(body))) for _ in range(20)]
            gc.collect()
            kilobytes[peer.name] = tracemalloc.get_traced_memory()[0] / len(pages) / 1000
        finally:
            tracemalloc.stop()
    least = kilobytes[FLOOR]
    return Measured(KEPT, least, "KB", {name: spread([size / least]) for name, size in kilobytes.items()})


def _ready(base_url: str, *, rounds: int) -> Measured:
    """Measure what a program pays before its first request, each time in a new interpreter."""
    taken: dict[str, list[float]] = {name: [] for name in _PROGRAMS}
    for name in in_turns(list(_PROGRAMS), rounds + 1):
        # httpx also loads its command line if click is installed, as it is for the sandbox but perhaps not for users.
        before = f"import sys, time; sys.modules['click'] = None; url = {base_url!r}; started = time.perf_counter()"
        program = f"{before}\n{_PROGRAMS[name]}\nprint(time.perf_counter() - started)"
        run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        taken[name].append(float(run.stdout))
    taken = {name: values[1:] for name, values in taken.items()}  # the first writes the bytecode
    return Measured(READY, spread(taken["import httpx"]).median * 1000, "ms", ratios(taken, "import httpx"))


@contextmanager
def _logging_on() -> Iterator[None]:
    logger = logging.getLogger("charthero_ext")
    with Path(os.devnull).open("w") as nowhere:
        handler = logging.StreamHandler(nowhere)
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.setLevel(logging.NOTSET)
