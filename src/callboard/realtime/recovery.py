"""Connection state recovery: a client that comes back gets what it missed, once and in order, or is told it cannot.

Owns: the bounded tail of durable messages in memory, and the plan of a recovery. Never: SQL (the log is behind a
Protocol), how a recovery id is made (`recovery_ids.py`), or trust in one without the token's user.

The wire format is Socket.IO's: the server's CONNECT gives a `pid`; a durable message ends with its position; a client
that reconnects sends `{pid, offset}` beside its `auth`, and takes an unchanged pid for "recovered". It sends no offset
before it has received a first message, so the pid carries the position at which it was given, and recovery starts from
the later of the two.
"""

from __future__ import annotations

import asyncio
import bisect
import itertools
from collections import deque
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple, Protocol

from callboard import telemetry
from callboard.realtime.broker import Envelope
from callboard.realtime.connection import Connection, Reason
from callboard.realtime.recovery_ids import Pids, Position, parse_position
from callboard.wire import socketio
from callboard.wire.engineio import Outgoing

# With any of these, a CONNECT's payload asks for what was missed.
REQUESTS = frozenset({"pid", "offset", "position"})
MAX_MESSAGES = 1_000
MAX_BYTES = 512 * 1024
TAIL_MESSAGES = 20_000
TAIL_BYTES = 16 << 20
PRELOADED = 2_000
REACH_TIMEOUT = 5.0

# What the tail takes in memory: a message is kept as it came, as a packet and as a frame; a room costs an entry.
_MESSAGE_COST = 600
_COPIES = 3
_ROOM_COST = 220
# A message to more rooms is not put into the index of each: each client that recovers looks whether it is for it.
_FEW_ROOMS = 64


class Log(Protocol):
    """The message log, as recovery reads it."""

    async def missed(
        self, namespace: str, rooms: Collection[str], *, after: int, until: int, limit: int, most_bytes: int
    ) -> Sequence[Envelope] | None:
        """The first `limit` messages to any of the rooms with after < seq <= until, in order.

        Of more than `most_bytes` of payload it gives enough to tell. None if the log does not reach back to `after`.
        Raises Unavailable.
        """

    async def latest(self, *, until: int, limit: int, most_bytes: int) -> Sequence[Envelope]:
        """The last messages with seq <= until, in order, to whomever they are. Raises Unavailable.

        As many as `limit` and `most_bytes` of payload allow.
        """


class Head(Protocol):
    """How far this node has been given the log."""

    @property
    def position(self) -> str | None:
        """Everything up to here was delivered on this node; None before the first contact with the log."""

    async def until_ready(self) -> None:
        """Wait for contact."""


class Claim(NamedTuple):
    """What a returning client may recover: its pid and when it was issued, the position after which it has nothing."""

    pid: str
    after: Position
    issued: int


class _Kept:
    """One message in the tail, encoded when first asked for."""

    __slots__ = ("_rooms", "cost", "envelope", "outgoing", "seq")

    def __init__(self, seq: int, envelope: Envelope, outgoing: Outgoing | None) -> None:
        self.seq = seq
        self.envelope = envelope
        self.outgoing = outgoing
        self.cost = _MESSAGE_COST + _COPIES * len(envelope.payload) + _ROOM_COST * len(envelope.rooms)
        self._rooms: frozenset[str] | None = None

    @property
    def to_many(self) -> bool:
        """Whether it is kept beside the index of rooms."""
        return len(self.envelope.rooms) > _FEW_ROOMS

    def is_for(self, namespace: str, rooms: Collection[str]) -> bool:
        """Whether it went to any of the rooms."""
        if namespace != self.envelope.namespace:
            return False
        if self._rooms is None:
            self._rooms = frozenset(self.envelope.rooms)
        return not self._rooms.isdisjoint(rooms)


class Tail:
    """The newest durable messages, by room, bounded in number and bytes.

    `add` must be given every message of the log in order, also those that nobody here is to get: what lies between
    two that it holds never existed.
    """

    def __init__(self, *, most: int = TAIL_MESSAGES, most_bytes: int = TAIL_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._kept: deque[_Kept] = deque()
        # Lists, although messages leave at the front: an empty deque takes seven times the memory of a list of one.
        self._rooms: dict[str, dict[str, list[_Kept]]] = {}  # by namespace
        self._to_many: deque[_Kept] = deque()
        self._bytes = 0
        self._epoch: str | None = None
        self.floor = 0

    def add(self, position: Position, envelope: Envelope, outgoing: Outgoing | None) -> None:
        """Keep a message, and forget old ones over the bounds. Another log's begins anew."""
        if position.epoch != self._epoch or position.seq != self._last + 1:
            self._restart(Position(position.epoch, position.seq - 1))
        kept = _Kept(position.seq, envelope, outgoing)
        self._kept.append(kept)
        self._bytes += kept.cost
        self._index(kept)
        while len(self._kept) > self._most or self._bytes > self._most_bytes:
            self._forget_oldest()

    def preload(self, start: Position, envelopes: Sequence[Envelope]) -> None:
        """Put messages before all that is kept; left out unless the last of them is the one of `start`."""
        if not envelopes or parse_position(envelopes[-1].position) != start:
            return
        if self._kept and (self._epoch != start.epoch or self.floor != start.seq):
            return
        newer = [(kept.seq, kept.envelope, kept.outgoing) for kept in self._kept]
        self._epoch = None
        for envelope in envelopes:
            position = parse_position(envelope.position)
            assert position is not None
            self.add(position, envelope, None)
        for seq, envelope, outgoing in newer:
            self.add(Position(start.epoch, seq), envelope, outgoing)

    def reaches(self, after: Position, until: int) -> bool:
        """Whether the tail holds everything after a position and up to a number, and nothing after that."""
        return after.epoch == self._epoch and self.floor <= after.seq and self._last == until

    def missed(self, namespace: str, rooms: Collection[str], after: int, limit: int) -> list[Outgoing]:
        """Messages to any of the rooms after a number, in order, each once; of more than `limit`, some."""
        found: dict[int, _Kept] = {}
        for kept in reversed(self._to_many):
            if kept.seq <= after or len(found) > limit:
                break
            if kept.is_for(namespace, rooms):
                found[kept.seq] = kept
        by_room = self._rooms.get(namespace, {})
        for room in rooms:
            for kept in reversed(by_room.get(room, ())):
                if kept.seq <= after or len(found) > limit:
                    break
                found[kept.seq] = kept
        return [_encoded(found[seq]) for seq in sorted(found)]

    @property
    def _last(self) -> int:
        return self._kept[-1].seq if self._kept else self.floor

    def _restart(self, floor: Position) -> None:
        self._kept.clear()
        self._rooms.clear()
        self._to_many.clear()
        self._bytes = 0
        self._epoch, self.floor = floor

    def _index(self, kept: _Kept) -> None:
        if kept.to_many:
            self._to_many.append(kept)
            return
        rooms = self._rooms.setdefault(kept.envelope.namespace, {})
        for room in kept.envelope.rooms:
            of_room = rooms.get(room)
            if of_room is None:
                rooms[room] = [kept]
            else:
                of_room.append(kept)

    def _forget_oldest(self) -> None:
        kept = self._kept.popleft()
        self._bytes -= kept.cost
        self.floor = kept.seq
        if kept.to_many:
            self._to_many.popleft()
            return
        rooms = self._rooms[kept.envelope.namespace]
        for room in kept.envelope.rooms:
            of_room = rooms[room]
            del of_room[0]
            if not of_room:
                del rooms[room]


class Backlog:
    """Stands in for a member's connection while what it missed is looked up: what is sent meanwhile waits here.

    `most_bytes`: of durable messages; `most_held`: keys of volatile ones.
    """

    def __init__(self, connection: Connection, *, most_bytes: int, most_held: int) -> None:
        self._connection = connection
        self._most_bytes = most_bytes
        self._most_held = most_held
        self._size = 0
        self._waiting: list[Outgoing] = []
        self._volatile: dict[str, Outgoing] = {}

    def send(self, outgoing: Outgoing) -> None:
        """Keep a durable message. Over the bound the connection is closed, like one that does not read."""
        if self._size > self._most_bytes:
            return
        self._waiting.append(outgoing)
        self._size += outgoing.size
        if self._size > self._most_bytes:
            # Not at once: the node is going through the members of a room, and this one would leave it.
            asyncio.get_running_loop().call_soon(self._connection.close, Reason.SLOW)

    def send_volatile(self, outgoing: Outgoing, key: str | None) -> None:
        """Keep the newest of each key, of so many keys as a connection that does not read keeps."""
        if key is not None and (key in self._volatile or len(self._volatile) < self._most_held):
            self._volatile[key] = outgoing

    def release(self) -> None:
        """Send on what has waited, all of it or nothing."""
        if self._size > self._most_bytes:
            self._connection.close(Reason.SLOW)
            return
        for outgoing in self._waiting:
            self._connection.send(outgoing)
        for key, outgoing in self._volatile.items():
            self._connection.send_volatile(outgoing, key)


class Recovery:
    """The recovery of one node."""

    def __init__(self, key: bytes, log: Log, head: Head, *, tail: Tail | None = None) -> None:
        self._pids = Pids(key)
        self._log = log
        self._head = head
        self._tail = tail or Tail()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []  # sorted
        self._numbers = itertools.count()
        self._read: tuple[str | None, Position | None] = (None, None)

    async def start(self) -> None:
        """Fill the tail from the log, so that clients of a process that was restarted find theirs in memory."""
        position = await self.position()
        floor = self._tail.floor if self._tail.floor else position.seq
        newest = await self._log.latest(until=floor, limit=PRELOADED, most_bytes=TAIL_BYTES // _COPIES)
        self._tail.preload(Position(position.epoch, floor), newest)

    async def reach(self, claim: Claim) -> None:
        """Wait, for a few seconds at most, until this node was given what the client has from another node."""
        position = await self.position()
        if claim.after.epoch != position.epoch or claim.after.seq <= position.seq:
            return
        reached = asyncio.get_running_loop().create_future()
        waiting = (claim.after.seq, next(self._numbers), reached)
        bisect.insort(self._waiting, waiting)
        try:
            await asyncio.wait({reached}, timeout=REACH_TIMEOUT)
        finally:
            # An offset is what a client says it is: a number that is never reached must not stay here.
            if not reached.done():
                del self._waiting[bisect.bisect_left(self._waiting, waiting)]

    async def position(self) -> Position:
        """How far this node was given the log. Waits for the first contact with it."""
        while (position := self.reached()) is None:
            await self._head.until_ready()
        return position

    def now(self) -> Position:
        """The same, after the first contact."""
        position = self.reached()
        assert position is not None
        return position

    def reached(self) -> Position | None:
        """The same; None before the first contact."""
        text = self._head.position
        if text != self._read[0]:  # many clients connect between two messages
            self._read = text, parse_position(text)
        return self._read[1]

    def delivered(self, envelope: Envelope, outgoing: Outgoing | None) -> None:
        """A durable message was delivered on this node; called for each, in order."""
        position = parse_position(envelope.position)
        assert position is not None
        self._tail.add(position, envelope, outgoing)
        if self._waiting:
            self._wake(position.seq)

    def pid(self, position: Position, namespace: str, user_id: str, *, at: float) -> str:
        """A new pid. `at`: now, in seconds since 1970."""
        return self._pids.make(position, namespace, user_id, at=int(at))

    def claim(self, auth: dict[str, Any], position: Position, namespace: str, user_id: str) -> Claim | None:
        """What a CONNECT's payload asks to recover; None if it asks for nothing, or for what is not this user's."""
        issue = self._pids.check(auth.get("pid"), position.epoch, namespace, user_id)
        if issue is None:
            return None
        offset = parse_position(auth.get("offset"))
        after = issue.seq if offset is None or offset.epoch != position.epoch else max(issue.seq, offset.seq)
        return Claim(auth["pid"], Position(position.epoch, after), issue.at)

    def start_of(self, claim: Claim | None, auth: dict[str, Any], until: Position) -> int | None:
        """The number after which a client wants messages: its claim's, or its snapshot's `position`.

        None if there is none, or it is of another log than `until`.
        """
        start = claim.after if claim is not None else parse_position(auth.get("position"))
        return start.seq if start is not None and start.epoch == until.epoch else None

    def count(self, recovered: bool) -> None:
        """Count a client that came back with a pid."""
        telemetry.RECOVERIES.labels("recovered" if recovered else "refused").inc()

    async def missed(
        self, namespace: str, rooms: Collection[str], *, after: int | None, until: Position, most_bytes: int = MAX_BYTES
    ) -> list[Outgoing] | None:
        """What was sent to the rooms after a number and up to a position, in order.

        Call it in the turn in which `until` was read and the rooms were joined. None if it cannot be replayed: the
        log does not reach back, the number is not of this log, or it is more than 1,000 messages or `most_bytes`,
        which a client fetches better by REST. Raises Unavailable.
        """
        if after == until.seq:
            return []
        if after is None or after > until.seq:
            return None
        if self._tail.reaches(Position(until.epoch, after), until.seq):
            missed = self._tail.missed(namespace, rooms, after, MAX_MESSAGES)
        else:
            found = await self._log.missed(
                namespace, rooms, after=after, until=until.seq, limit=MAX_MESSAGES + 1, most_bytes=most_bytes
            )
            if found is None:
                return None
            missed = [_encode(envelope) for envelope in found]
        if len(missed) > MAX_MESSAGES or sum(outgoing.size for outgoing in missed) > most_bytes:
            return None
        return missed

    def _wake(self, seq: int) -> None:
        reached = bisect.bisect_left(self._waiting, seq + 1, key=lambda waiting: waiting[0])
        for _, _, future in self._waiting[:reached]:
            future.set_result(None)
        del self._waiting[:reached]


def _encoded(kept: _Kept) -> Outgoing:
    if kept.outgoing is None:
        kept.outgoing = _encode(kept.envelope)
    return kept.outgoing


def _encode(envelope: Envelope) -> Outgoing:
    return socketio.encode_event(envelope.namespace, envelope.name, envelope.payload, envelope.position)
