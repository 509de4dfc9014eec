"""The ends of a connection, as tests see them."""

from __future__ import annotations

import os
import socket
import weakref
from collections.abc import Callable

from callboard.realtime.connection import Connection, Reason
from callboard.wire.engineio import Frames, Outgoing

LONGEST = 1 << 16


class FakeSink:
    """Takes everything at once. `waiting`: what it says the peer has not read.

    `full`: it pauses its connection, if it has been told which, with each write, and `at_write` is called. `sharing`:
    it has the short way, a real socket that keeps writes apart.
    """

    def __init__(self, name: str = "websocket", *, sharing: bool = False) -> None:
        self.name = name
        self._batches: list[list[Outgoing]] = []
        self.reasons: list[Reason] = []
        self.kept: list[Outgoing] = []
        self.waiting = 0
        self.failing = False
        self.full = False
        self.at_write: Callable[[], None] | None = None
        self.connection: Connection | None = None
        self.descriptor: int | None = None
        self._peer = -1
        if sharing:
            near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            near.setblocking(False)
            far.setblocking(False)
            self.descriptor, self._peer = near.detach(), far.detach()
            weakref.finalize(self, os.close, self.descriptor)
            weakref.finalize(self, os.close, self._peer)

    @property
    def batches(self) -> list[list[Outgoing]]:
        """Each write, in order."""
        self._read()
        return self._batches

    @property
    def writes(self) -> list[list[str]]:
        """Each write, as the texts of its messages."""
        return [[text.decode() for outgoing in batch for text in _texts(outgoing)] for batch in self.batches]

    @property
    def texts(self) -> list[str]:
        """All messages in order, without the OPEN packet."""
        return [text for batch in self.writes for text in batch if not text.startswith("0")]

    def write(self, batch: list[Outgoing]) -> None:
        if self.failing:
            raise RuntimeError("the transport is broken")
        self._read()
        self._batches.append(batch)
        if self.at_write is not None:
            self.at_write()
        if self.full and self.connection is not None:
            self.connection.pause()

    def block(self) -> None:
        """Have the socket of the short way, if there is one, take nothing more."""
        if self.descriptor is not None:
            lonely, gone = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            gone.close()
            os.dup2(lonely.fileno(), self.descriptor)
            lonely.close()

    def _read(self) -> None:
        """Take what has been written to the socket."""
        while self._peer >= 0:
            try:
                data = os.read(self._peer, LONGEST)
            except BlockingIOError:
                return
            if not data:
                return
            self._batches.append([Outgoing(text) for text in _texts(Frames(data))])

    def unsent(self) -> int:
        return self.waiting

    def drain(self) -> list[Outgoing]:
        kept, self.kept = self.kept, []
        return kept

    def close(self, reason: Reason) -> None:
        self.reasons.append(reason)
        self.descriptor = None


def _texts(outgoing: Outgoing) -> list[bytes]:
    if not isinstance(outgoing, Frames):
        return [outgoing.text]
    texts, rest = [], outgoing.frame
    while rest:
        assert (rest[0], rest[1] < 126) == (0x81, True), "only short text frames are read here"
        texts.append(rest[2 : 2 + rest[1]])
        rest = rest[2 + rest[1] :]
    return texts


class FakeReceiver:
    """Keeps what comes; a test may give it something to do at the end, and when time passes."""

    def __init__(self) -> None:
        self.messages: list[str | bytes] = []
        self.reasons: list[Reason] = []
        self.error: Exception | None = None
        self.at_end: Callable[[], None] | None = None
        self.due: Callable[[float], float | None] | None = None

    def on_message(self, data: str | bytes) -> None:
        if self.error is not None:
            raise self.error
        self.messages.append(data)

    def on_close(self, reason: Reason) -> None:
        self.reasons.append(reason)
        if self.at_end is not None:
            self.at_end()

    def on_due(self, now: float) -> float | None:
        return None if self.due is None else self.due(now)
