"""What admins see live: `admin:stats` and `admin:connection`, while anybody looks.

Owns: the one task that sends them, asleep on an event while /admin is empty, and the changes of a second that wait to
be told. Never: another node's connections, a durable message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec

from callboard.clock import Clock, utc_text
from callboard.realtime.broker import Envelope
from callboard.realtime.namespace import Member
from callboard.realtime.node import Node
from callboard.sockets.payloads import ADMIN, ConnectionChange, ConnectionChanges
from callboard.sockets.statistics import StatisticsReader

TICK = 1.0
TICKS_PER_STATS = 5
MAX_CHANGES = 100


class Watch:
    """Call `attach` once all namespaces are there. Changes are kept for TICK seconds, MAX_CHANGES of them; more are
    only counted."""

    def __init__(
        self,
        node: Node,
        statistics: StatisticsReader,
        clock: Clock,
        *,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._node = node
        self._admins = node.namespace(ADMIN)
        self._statistics = statistics
        self._clock = clock
        self._pause = pause
        self._watched = asyncio.Event()
        self._changes: list[ConnectionChange] = []
        self._omitted = 0

    def attach(self) -> None:
        """Look at everybody who comes and goes."""
        for namespace in self._node.namespaces:
            namespace.on_connect(self._on_connect)
        self._node.on_left(self._on_left)

    async def run(self) -> None:
        """Tell admins until cancelled. The caller owns the task; there is one."""
        while True:
            await self._watched.wait()
            await self._tell_while_watched()

    async def _tell_while_watched(self) -> None:
        ticks = 0
        while self._watched.is_set():
            await self._pause(TICK)
            ticks += 1
            self._tell_changes()
            if ticks % TICKS_PER_STATS == 0:
                self._send("admin:stats", msgspec.json.encode(self._statistics.read()), key="stats")

    def _on_connect(self, member: Member) -> None:
        others = self._watched.is_set()
        if member.namespace is self._admins:
            self._watched.set()
            member.emit("admin:stats", msgspec.json.encode(self._statistics.read()))
        if others:
            self._note(member, "connected")

    def _on_left(self, member: Member) -> None:
        if not self._admins.hub:
            self._watched.clear()
            self._changes, self._omitted = [], 0
        elif self._watched.is_set():
            self._note(member, "disconnected")

    def _note(self, member: Member, change: Literal["connected", "disconnected"]) -> None:
        if len(self._changes) >= MAX_CHANGES:
            self._omitted += 1
            return
        self._changes.append(
            ConnectionChange(
                change=change,
                sid=member.sid,
                namespace=member.namespace.name,
                user_id=member.principal.id,
                transport=member.connection.transport,
                at=utc_text(self._clock.now()),
            )
        )

    def _tell_changes(self) -> None:
        if not self._changes:
            return
        changes, omitted = self._changes, self._omitted
        self._changes, self._omitted = [], 0
        told = ConnectionChanges(
            node=self._node.id, connections=len(self._node.engine.connections), changes=changes, omitted=omitted
        )
        self._send("admin:connection", msgspec.json.encode(told))

    def _send(self, name: str, payload: bytes, key: str | None = None) -> None:
        self._node.deliver(Envelope(namespace=ADMIN, rooms=(), name=name, payload=payload, key=key))
