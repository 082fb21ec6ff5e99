"""The server that every peer asks: two prepared pages over HTTP/1.1, with connections that stay open.

It does little and runs in a process of its own, so that only the client is measured. As a program, it prints its port.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from tests.benchmarks.page import page
from tests.benchmarks.processes import running

__all__ = ["serving"]


@contextmanager
def serving() -> Iterator[str]:
    """Run the server in another process, and yield its URL."""
    with running("tests.benchmarks.page_server") as port:
        yield f"http://127.0.0.1:{port}"


def _answer(rows: int) -> bytes:
    body = page(rows)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


_ANSWERS = {rows: _answer(rows) for rows in (10, 100)}


class _Connection(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._transport, self._received = transport, b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            line = self._received[: self._received.find(b"\r\n")]
            self._received = self._received[end + 4 :]
            self._transport.write(_ANSWERS[10 if re.search(rb"[?&]limit=10[& ]", line) else 100])


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
