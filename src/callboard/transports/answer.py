"""The transport as uvicorn writes one answer to it.

Owns: that an answer's head leaves together with the beginning of its body. Never: what is written.

uvicorn writes them one after another, and the event loop sends each write at once: two system calls here, two segments
on the line, and a client that wakes up twice.
"""

from __future__ import annotations

import asyncio


class Answer:
    """The part of a transport that uvicorn's cycle of request and answer uses. `transport`: the connection's own."""

    __slots__ = ("_head", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head: bytes | None = None

    def write(self, data: bytes) -> None:
        """Write. What is written first waits for what follows in the same turn of the event loop."""
        if self._head is None:
            self._head = data
            self._loop.call_soon(self.flush)
        elif self._head:
            head, self._head = self._head, b""
            self._transport.write(head + data)
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Nothing has followed in time: the head alone."""
        if self._head and not self._transport.is_closing():
            self._transport.write(self._head)
        self._head = b""

    def is_closing(self) -> bool:
        """Whether the connection ends."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Close the connection behind what has been written."""
        self.flush()
        self._transport.close()
