"""What clients have subscribed to, in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Collection


class FakeSessions:
    """`kept`: rooms by recovery id. `error` is raised instead of an answer, after `writing` was awaited.

    A pid in `forgotten` may have had rooms. `asked` and `touched` are the calls.
    """

    def __init__(self) -> None:
        self.kept: dict[str, set[str]] = {}
        self.owners: dict[str, tuple[str, str]] = {}
        self.forgotten: set[str] = set()
        self.asked: list[tuple[str, int, int]] = []
        self.touched: list[str] = []
        self.changes = 0
        self.error: Exception | None = None
        self.open = asyncio.Event()
        self.open.set()

    async def change(
        self, pid: str, *, user_id: str, namespace: str, added: Collection[str], removed: Collection[str]
    ) -> None:
        await self._answer()
        self.changes += 1
        self.owners[pid] = user_id, namespace
        self.kept[pid] = (self.kept.get(pid, set()) - set(removed)) | set(added)

    async def find(self, pid: str, *, user_id: str, namespace: str, after: int, issued: int) -> Collection[str] | None:
        await self._answer()
        self.asked.append((pid, after, issued))
        if pid not in self.kept:
            return None if pid in self.forgotten else []
        assert self.owners[pid] == (user_id, namespace)
        return sorted(self.kept[pid])

    async def touch(self, pids: Collection[str]) -> Collection[str]:
        await self._answer()
        self.touched += pids
        return [pid for pid in pids if pid in self.kept]

    async def _answer(self) -> None:
        await self.open.wait()
        if self.error is not None:
            raise self.error
