"""The sandbox on loopback sockets, served from a thread."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from typing import Self

import uvicorn
from attrs import define, field

from charthero_ext.sandbox.app import build_app
from charthero_ext.sandbox.state import State
from charthero_ext.sandbox.webhooks import is_loopback

__all__ = ["Sandbox"]


def _listener(host: str, port: int) -> socket.socket:
    # Not socket.create_server: asyncio turns off Nagle's algorithm only if the protocol is explicit. With Nagle's
    # algorithm, every answer waits 40 ms for an acknowledgement.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # on Windows, two programs could share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
    except BaseException:
        listener.close()
        raise
    return listener


def _refuse_other_machines(instance: object, attribute: object, host: str) -> None:
    if not is_loopback(host):
        raise ValueError("the sandbox listens on this machine only; use 127.0.0.1, ::1 or localhost")


@define(kw_only=True, eq=False, slots=False)
class Sandbox(State):
    """A local ChartHero that behaves as published, with synthetic data.

    As a context manager, plain or async, it listens on a loopback port (``port``, or any free one) and serves the
    recordings on another port. Without sockets, ``httpx.ASGITransport(sandbox.app)`` reaches the API at ``base_url``
    and the recordings at ``audio_url``; a ``reset`` fault then raises ConnectionResetError, and ``truncate`` shortens
    the body.

    ``api_key`` may do everything. :func:`~charthero_ext.sandbox.checks.sandbox_keys` has a key for every refusal.
    """

    host: str = field(default="127.0.0.1", validator=_refuse_other_machines)
    port: int = 0

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.app = build_app(self)
        self._running: tuple[uvicorn.Server, threading.Thread, list[socket.socket]] | None = None

    def __enter__(self) -> Self:
        if self._running is not None:
            raise RuntimeError("the sandbox is already running")
        api, recordings = _listener(self.host, self.port), _listener(self.host, 0)
        host = f"[{self.host}]" if ":" in self.host else self.host
        self.base_url = f"http://{host}:{api.getsockname()[1]}"
        self.audio_url = f"http://{host}:{recordings.getsockname()[1]}"
        # Connection faults need h11. Logging stays off, because the output belongs to the test.
        config = uvicorn.Config(
            self.app,
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            # Longer than clients keep an idle connection: they must not send on one that the server is closing.
            timeout_keep_alive=600,
            timeout_graceful_shutdown=1,
        )
        config.load()
        server = uvicorn.Server(config)
        sockets = [api, recordings]
        thread = threading.Thread(target=server.run, args=(sockets,), name="charthero-sandbox", daemon=True)
        # The sockets listen already. A request waits until the server accepts it.
        thread.start()
        self._running = server, thread, sockets
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(self, *exception: object) -> None:
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Stop listening and delivering. Requests in flight get one second to finish."""
        self.webhooks.close()
        if self._running is not None:
            server, thread, sockets = self._running
            self._running = None
            server.should_exit = True
            thread.join()
            for each in sockets:
                each.close()
