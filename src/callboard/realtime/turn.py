"""What is written in one turn of the event loop.

Owns: which connections have something queued, a broadcast's way past their queues, and the end of the turn, when each
transport is written to once. Never: which connections there are, what waits for one of them (see `connection.py`).

Most turns hold one broadcast and nothing else, or several to the same connections. These go to the transports without
passing through any connection's queue, those to many a turn or two later while there are several at a time. Whatever
else comes until then puts them into the queues first (`settle`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from callboard import telemetry
from callboard.realtime.connection import Connection, Reason
from callboard.realtime.traffic import Traffic
from callboard.realtime.writer import Writer
from callboard.wire.engineio import Frames, Outgoing

# A broadcast to so many is written so many turns later, if several were written together before it: what is broadcast
# to them meanwhile leaves in the same writes, which are what it costs.
MANY = 64
PATIENCE = 2


class _Broadcast(NamedTuple):
    outgoing: Outgoing
    key: str | None
    volatile: bool

    def queue_to(self, connection: Connection) -> None:
        if self.volatile:
            connection.send_volatile(self.outgoing, self.key)
        else:
            connection.send(self.outgoing)


class Turn:
    """See the module. `pauses`: how often a transport could not send."""

    def __init__(self, traffic: Traffic, writer: Writer) -> None:
        self.pauses = 0
        self._traffic = traffic
        self._writer = writer
        self._dirty: list[Connection] = []
        self._broadcasts: list[_Broadcast] = []
        # To whom these go, and the `descriptor` of each. It is asked for before the first write: a write costs the
        # processor's caches most of what they hold, and every connection would have to be fetched anew behind it.
        self._audience: Sequence[Connection] = ()
        self._sockets: Sequence[int | None] = ()
        self._ending = False
        self._patience = 0
        self._several = False  # were written together the last time that there was something for many

    def queue(self, connection: Connection) -> None:
        """Have `connection.flush` called once, at the end of this turn of the event loop. Call it before queueing."""
        self.settle()
        self._dirty.append(connection)
        self._schedule()

    def broadcast(self, audience: Sequence[Connection], outgoing: Outgoing, key: str | None, volatile: bool) -> None:
        """Send a message to connections, each given once, as `send` or, if `volatile`, `send_volatile` of each would.

        `audience` is the turn's now.
        """
        broadcast = _Broadcast(outgoing, key, volatile)
        if self._broadcasts and audience == self._audience:
            self._broadcasts.append(broadcast)
        elif self._broadcasts or self._dirty:
            self.settle()
            _queue([broadcast], audience)
        else:
            self._broadcasts = [broadcast]
            self._audience, self._sockets = audience, [connection.descriptor for connection in audience]
            self._patience = PATIENCE if self._several and len(audience) >= MANY else 0
            self._schedule()

    def settle(self) -> None:
        """Put this turn's broadcasts that have not been written yet into the queues of their receivers.

        Call it before a connection's way to its transport changes, unless what is queued then is to wait for it.
        """
        if self._broadcasts:
            broadcasts, self._broadcasts = self._broadcasts, []
            _queue(broadcasts, self._audience)

    def _schedule(self) -> None:
        if not self._ending:
            self._ending = True
            asyncio.get_running_loop().call_soon(self._end)

    def _end(self) -> None:
        self._ending = False
        if self._patience and not self._dirty:
            self._patience -= 1
            self._schedule()
            return
        self._patience = 0
        if self._broadcasts:
            self._write()
        dirty, self._dirty = self._dirty, []
        for connection in dirty:
            try:
                connection.flush()
            except Exception as error:  # a defect in one transport must not keep the others from writing
                _fail(connection, error)

    def _write(self) -> None:
        # No descriptor has changed since it was asked for: that would have settled the broadcasts.
        audience, broadcasts, self._broadcasts = self._audience, self._broadcasts, []
        if len(audience) >= MANY:
            self._several = len(broadcasts) > 1
        sockets = [socket for socket in self._sockets if socket is not None]
        if len(sockets) < len(audience):
            others = [each for each, socket in zip(audience, self._sockets, strict=True) if socket is None]
            audience = [each for each, socket in zip(audience, self._sockets, strict=True) if socket is not None]
            # Now, before a defect in a transport can have anybody send something else.
            _queue(broadcasts, others)
        frames = b"".join([broadcast.outgoing.frame for broadcast in broadcasts])
        pauses, size = self.pauses, len(frames)
        taken = self._writer.write(sockets, frames)
        self._traffic.bytes_out += sum(taken)
        if taken.count(size) < len(taken):
            for connection, sent in zip(audience, taken, strict=True):
                if sent < size:
                    _write_rest(connection, frames[sent:])
        if self.pauses > pauses:
            _bound(audience)


def _write_rest(connection: Connection, frames: bytes) -> None:
    try:
        connection.sink.write([Frames(frames)])
    except Exception as error:  # as in _end
        _fail(connection, error)


def _queue(broadcasts: Sequence[_Broadcast], connections: Iterable[Connection]) -> None:
    for connection in connections:
        for broadcast in broadcasts:
            broadcast.queue_to(connection)


def _bound(connections: Iterable[Connection]) -> None:
    for connection in connections:
        if connection.paused:
            connection.bound()


def _fail(connection: Connection, error: Exception) -> None:
    telemetry.log.exception("task.failed", task="flush", reason=repr(error))
    connection.close(Reason.FAILED)
