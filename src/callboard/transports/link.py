"""What picows is given as its transport.

Owns: the answer to an upgrade request until it can leave with what is behind it, in one write. Never: a frame; they
go to the loop's transport as it is.

picows also asks the socket for options that it only logs. Each question makes a socket object and system calls, all
together a tenth of what connecting costs: they are answered here.
"""

from __future__ import annotations

import asyncio
from typing import Any


class Link:
    """A transport of the loop as picows needs it: `transport` is the loop's own."""

    __slots__ = ("_answer", "get_write_buffer_size", "transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.get_write_buffer_size = transport.get_write_buffer_size
        self._answer: bytes | None = b""

    def take_answer(self) -> bytes:
        """The answer to the upgrade request. Whoever takes it writes it; what picows writes from here on leaves."""
        answer, self._answer = self._answer, None
        return answer or b""

    # What picows calls

    def write(self, data: bytes) -> None:
        """Keep the answer, and write what comes after it was taken."""
        if self._answer is None:
            self.transport.write(data)
        else:
            self._answer += data

    def close(self) -> None:
        """End the connection behind what has been written."""
        answer = self.take_answer()
        if answer:
            self.transport.write(answer)
        self.transport.close()

    def abort(self) -> None:
        """End the connection at once."""
        self.transport.abort()

    def get_extra_info(self, name: str) -> Any:
        """`socket`: what answers the questions below. `ssl_object`: the transport's. Nothing else is needed."""
        if name == "socket":
            return self
        return self.transport.get_extra_info(name) if name == "ssl_object" else None

    def fileno(self) -> int:
        """The real socket's."""
        return int(self.transport.get_extra_info("socket").fileno())

    def setsockopt(self, *option: int) -> None:
        """Nothing: event loops set TCP_NODELAY themselves, and TCP_QUICKACK would hold for a moment only."""

    def getsockopt(self, *option: int) -> int:
        """Something for picows' log, which is off."""
        return 0
