"""Batching: calls that wait at the same time share one statement.

Owns: `Batcher`, which turns many concurrent calls of one kind into few statements, each of one transaction, so that
they share a round trip, a plan and a commit's write to disk. Never: a delay (a call that finds nothing under way runs
at once), one call's error in another's answer, or a wait of all for what one of them waits for.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Generic, TypeVar

from callboard.errors import CallboardError, Unavailable
from callboard.store.database import Locked

C = TypeVar("C")
A = TypeVar("A")


class Batcher(Generic[C, A]):
    """Runs calls together.

    `run` takes 1 to `most` calls and returns their answers in the same order, all in one transaction. One run is under
    way, and what arrives meanwhile waits for the next, in order of arrival. Where all that are under way have taken
    longer than `patience` seconds, perhaps because they wait for somebody's lock, those who wait get another: up to
    `lanes`. If `run` refuses a batch, each of its calls is run alone, so that only the one that is wrong fails. What
    waits is bounded by who waits: each caller waits for one answer.

    Where `run` gives up locks (it raises Locked), `alone` runs each call of such a batch, beside the lanes: it may
    wait, and nobody with it.
    """

    def __init__(
        self,
        run: Callable[[Sequence[C]], Awaitable[Sequence[A]]],
        *,
        alone: Callable[[C], Awaitable[A]] | None = None,
        most: int = 64,
        lanes: int = 4,
        patience: float = 0.02,
    ) -> None:
        self._run = run
        self._alone = alone
        self._most = most
        self._lanes = lanes
        self._patience = patience
        self._working = 0
        self._late: set[object] = set()
        self._waiting: deque[tuple[C, asyncio.Future[A]]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    async def call(self, call: C) -> A:
        """The answer to this call. Raises what running it raises."""
        answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((call, answer))
        self._open()
        return await answer

    def _open(self) -> None:
        """Begin another lane if somebody waits and those under way are late."""
        if not self._waiting or self._working > len(self._late) or self._working >= self._lanes:
            return
        self._working += 1
        self._begin(self._work())

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self) -> None:
        """One lane: batches until nobody waits."""
        lane = object()
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
                timer = asyncio.get_running_loop().call_later(self._patience, self._note_late, lane)
                try:
                    await self._answer([(call, answer) for call, answer in batch if not answer.done()])
                finally:
                    timer.cancel()
                    self._late.discard(lane)
        finally:
            self._working -= 1

    def _note_late(self, lane: object) -> None:
        """The lane's batch takes longer than `patience`."""
        self._late.add(lane)
        self._open()

    async def _answer(self, batch: Sequence[tuple[C, asyncio.Future[A]]]) -> None:
        if not batch:
            return
        try:
            answers = await self._run([call for call, _ in batch])
        except BaseException as error:
            if self._alone is not None and isinstance(error, Locked):
                for one in batch:
                    self._begin(self._answer_alone(self._alone, *one))
                return
            if len(batch) > 1 and isinstance(error, CallboardError) and not isinstance(error, Unavailable):
                for one in batch:
                    await self._answer([one])
                return
            _fail(batch, error)
        else:
            _give(batch, answers)

    async def _answer_alone(self, alone: Callable[[C], Awaitable[A]], call: C, answer: asyncio.Future[A]) -> None:
        try:
            value = await alone(call)
        except BaseException as error:
            _fail([(call, answer)], error)
        else:
            _give([(call, answer)], [value])


def _give(batch: Sequence[tuple[C, asyncio.Future[A]]], answers: Sequence[A]) -> None:
    for (_, answer), value in zip(batch, answers, strict=True):
        if not answer.done():
            answer.set_result(value)


def _fail(batch: Sequence[tuple[C, asyncio.Future[A]]], error: BaseException) -> None:
    """Answer with an error. Raises what is none, such as the end of the task, once nobody waits for it any more."""
    for _, answer in batch:
        if not answer.done():
            if isinstance(error, Exception):
                answer.set_exception(error)
            else:
                answer.cancel()
    if not isinstance(error, Exception):
        raise error
