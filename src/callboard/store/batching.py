"""Batching: calls that wait at the same time share one statement.

Owns: `Batcher`, which turns many concurrent calls of one kind into few statements, each of one transaction, so that
they share a round trip, a plan and a commit's write to disk. Never: a delay (a call that finds nothing under way runs
at once), or one call's error in another's answer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from callboard.errors import CallboardError, Unavailable

C = TypeVar("C")
A = TypeVar("A")


class Batcher(Generic[C, A]):
    """Runs calls together.

    `run` takes 1 to `most` calls and returns their answers in the same order, all in one transaction. At most `lanes`
    are under way at once; what arrives meanwhile waits for the next, in order of arrival. If `run` refuses a batch,
    each of its calls is run alone, so that only the one that is wrong fails. The queue is bounded by what waits for
    answers: each caller waits for one.
    """

    def __init__(self, run: Callable[[Sequence[C]], Awaitable[Sequence[A]]], *, most: int = 64, lanes: int = 2) -> None:
        self._run = run
        self._most = most
        self._free = lanes
        self._waiting: deque[tuple[C, asyncio.Future[A]]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    async def call(self, call: C) -> A:
        """The answer to this call. Raises what running it raises."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[A] = loop.create_future()
        self._waiting.append((call, answer))
        if self._free:
            self._free -= 1
            task = loop.create_task(self._work())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await answer

    async def _work(self) -> None:
        """One lane: batches until nobody waits."""
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
                await self._answer([(call, answer) for call, answer in batch if not answer.done()])
        finally:
            self._free += 1

    async def _answer(self, batch: Sequence[tuple[C, asyncio.Future[A]]]) -> None:
        if not batch:
            return
        try:
            answers = await self._run([call for call, _ in batch])
        except BaseException as error:
            if len(batch) > 1 and isinstance(error, CallboardError) and not isinstance(error, Unavailable):
                for one in batch:
                    await self._answer([one])
                return
            self._fail(batch, error)
            if not isinstance(error, Exception):
                raise
        else:
            for (_, answer), value in zip(batch, answers, strict=True):
                if not answer.done():
                    answer.set_result(value)

    def _fail(self, batch: Sequence[tuple[C, asyncio.Future[A]]], error: BaseException) -> None:
        for _, answer in batch:
            if not answer.done():
                if isinstance(error, Exception):
                    answer.set_exception(error)
                else:
                    answer.cancel()
