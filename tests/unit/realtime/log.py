"""A message log in memory, and how far a node was given it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence

from callboard.realtime.broker import Envelope
from callboard.realtime.recovery_ids import Position


async def _at_once() -> None:
    return


class FakeLog:
    """Numbers from 1. `floor`: nothing up to it is there any more. `reading` is awaited before each answer.

    `error` is raised instead of an answer. `asked` counts the questions.
    """

    def __init__(self, epoch: str = "epoch") -> None:
        self.epoch = epoch
        self.messages: list[Envelope] = []
        self.floor = 0
        self.asked = 0
        self.error: Exception | None = None
        self.reading: Callable[[], Awaitable[None]] = _at_once

    @property
    def head(self) -> Position:
        return Position(self.epoch, len(self.messages))

    def append(self, *rooms: str, namespace: str = "/feed", size: int = 0) -> Envelope:
        """Number a message, whose payload says its number; it is delivered by nobody yet."""
        seq = len(self.messages) + 1
        payload = b'{"n":%d}' % seq if not size else b'{"n":%d,"fill":"%s"}' % (seq, b"x" * size)
        message = Envelope(namespace=namespace, rooms=rooms, name="n", payload=payload, position=f"{self.epoch}.{seq}")
        self.messages.append(message)
        return message

    async def missed(
        self, namespace: str, rooms: Collection[str], *, after: int, until: int, limit: int, most_bytes: int
    ) -> Sequence[Envelope] | None:
        await self._answer()
        if after < self.floor:
            return None
        found: list[Envelope] = []
        size = 0
        for message in self.messages[after:until]:
            if message.namespace == namespace and set(message.rooms) & set(rooms):
                found.append(message)
                size += len(message.payload)
                if len(found) == limit or size > most_bytes:
                    break
        return found

    async def latest(self, *, until: int, limit: int, most_bytes: int) -> Sequence[Envelope]:
        await self._answer()
        return self.messages[max(self.floor, until - limit) : until]

    async def _answer(self) -> None:
        self.asked += 1
        if self.error is not None:
            raise self.error
        await self.reading()


class FakeHead:
    """`position` is set by tests; None is before the first contact."""

    def __init__(self, position: Position | None) -> None:
        self._contact = asyncio.Event()
        self._position: str | None = None
        if position is not None:
            self.set(position)

    @property
    def position(self) -> str | None:
        return self._position

    def set(self, position: Position) -> None:
        self._position = str(position)
        self._contact.set()

    async def until_ready(self) -> None:
        await self._contact.wait()
