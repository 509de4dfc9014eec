"""The relay: what was committed reaches this node, once, in order.

Owns: one connection of its own for each node. Every node's relay tries for one advisory lock on it; who holds
it leads: moves committed outbox rows into the log and numbers them, and takes over what transactions of its own node
have numbered themselves (`store/outbox.py`). The others follow the log. Each hands every message, in the order of its
number, to `deliver`. Never: a message before its commit, `synchronous_commit` off.

Nothing depends on a notification arriving: NOTIFY and `wake` only make it faster than the poll.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from callboard.clock import Clock
from callboard.store.database import DRIVER_ERRORS, reason_of
from callboard.store.log_upkeep import LogUpkeep
from callboard.store.outbox import BATCH, HEAD, LAST, MOVE, MOVED, TAIL, LoggedMessage, logged
from callboard.store.pool import COMMAND_TIMEOUT, CONNECT_TIMEOUT, SESSION_SETTINGS
from callboard.telemetry import RELAYED, log

POLL = 1.0
FIRST_RETRY = 0.1
LAST_RETRY = 2.0
# Delivering may take the event loop this long before others get their turn. Seconds.
TURN = 0.01
# Contact older than this is no contact. Seconds.
CONTACT = 5.0

OUTBOX_CHANNEL = "callboard_outbox"
LOG_CHANNEL = "callboard_log"
# Any constant does: the key of "this database's outbox has a leader".
LOCK = 7_310_582_904_461_127_346

RELAY_SETTINGS = {
    **SESSION_SETTINGS,
    "application_name": "callboard relay",
    # A message that was delivered must never be lost by a crash: its number would be given again.
    "synchronous_commit": "on",
    # The lock of a leader whose machine vanished is free again in seconds.
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}


class Relay:
    """One node's reader of the log and, on one node at a time, its writer.

    `deliver` is called on the event loop with each message after its commit, in order of seq, never twice
    with the same one. It must not block. If it raises, that is logged and the next message follows. `on_back` is
    called, with the seconds it was away, when a lost database answers again.

    `begin` is awaited with the relay's connection each time that it takes a position without what came before it:
    what it reads there, together with all that is delivered afterwards, has no gap.
    """

    def __init__(
        self,
        dsn: str,
        deliver: Callable[[LoggedMessage], None],
        *,
        clock: Clock,
        recovery_window_hours: int = 72,
        on_back: Callable[[float], None] = lambda seconds_away: None,
        begin: Callable[[Any], Awaitable[None]] | None = None,
    ) -> None:
        self._dsn = dsn
        self._deliver = deliver
        self._clock = clock
        self._begin = begin
        self._upkeep = LogUpkeep(clock, recovery_window_hours)
        self._on_back = on_back
        self._event = asyncio.Event()
        self._committed_here = False
        self._behind = False
        self._in_contact = asyncio.Event()
        self._last_contact = 0.0
        self._complete_at = 0.0
        self._leading = False
        self._epoch: str | None = None
        self._seq = 0
        self._flushes: list[asyncio.Future[None]] = []
        self._flushing: list[asyncio.Future[None]] = []
        self._flush_to: int | None = None
        self._next_lock = 0.0
        self._lost_at: float | None = None
        self._last_reason: str | None = None
        self._retry = FIRST_RETRY

    @property
    def ready(self) -> bool:
        """Whether this node is in contact with the log, as leader or follower."""
        return self._in_contact.is_set() and self._clock.monotonic() - self._last_contact < CONTACT

    @property
    def leading(self) -> bool:
        """Whether this node holds the lock: it moves the outbox, and upkeep is its to do."""
        return self._leading

    @property
    def lag(self) -> float | None:
        """Seconds: everything committed longer ago than this was delivered. None before first contact.

        About POLL at most while all is well: a quiet node looks that often.
        """
        return None if self._epoch is None else max(0.0, self._clock.monotonic() - self._complete_at)

    @property
    def position(self) -> str | None:
        """The position ("{epoch}.{seq}") up to which `deliver` was given all; None before first contact."""
        return None if self._epoch is None else f"{self._epoch}.{self._seq}"

    async def until_ready(self) -> None:
        """Wait for contact."""
        await self._in_contact.wait()

    def wake(self) -> None:
        """A transaction of this process with messages has committed. Cheap; many calls make one look."""
        self._committed_here = True
        self._event.set()

    def numbered(self, messages: Sequence[LoggedMessage]) -> None:
        """A transaction of this process has numbered these, and has committed: they are delivered at once.

        Unless others come before them, or are being delivered: then they are read from the log, in their turn.
        """
        RELAYED.inc(len(messages))
        if messages[0].position != f"{self._epoch}.{self._seq + 1}":
            self.look()
            return
        for message in messages:
            self._deliver_one(message)

    def look(self) -> None:
        """There may be messages in the log that nobody here has in hand. Cheap; many calls make one look."""
        self._behind = True
        self._event.set()

    async def flush(self) -> None:
        """Wait until all that was committed before the call was delivered here; while the database is away, for
        ever."""
        done = asyncio.get_running_loop().create_future()
        self._flushes.append(done)
        self.wake()
        await done

    async def run(self) -> None:
        """Relay until cancelled. Starts at the log's head, and after a lost connection where it was."""
        while True:
            try:
                async with self._connected() as connection:
                    await self._orient(connection)
                    await self._work(connection)
            except DRIVER_ERRORS as error:
                await asyncio.sleep(self._note_failure(error))

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Any]:
        connection = await asyncpg.connect(
            self._dsn,
            timeout=CONNECT_TIMEOUT,
            command_timeout=COMMAND_TIMEOUT,
            server_settings=RELAY_SETTINGS,
        )
        try:
            connection.add_termination_listener(self._on_termination)
            await connection.add_listener(OUTBOX_CHANNEL, self._on_outbox)
            await connection.add_listener(LOG_CHANNEL, self._on_log)
            yield connection
        finally:
            self._leading = False
            self._in_contact.clear()
            # Abrupt and at once: the server rolls back, and frees the lock, when it sees the end of the
            # stream.
            connection.terminate()

    async def _orient(self, connection: Any) -> None:
        """Take the log's head as the position, unless there is one that still holds."""
        seq = self._seq  # `numbered` may go on while the database answers
        head = await connection.fetchrow(HEAD)
        if self._epoch is not None and (head["epoch"] != self._epoch or head["seq"] < seq):
            reason = "this is another log" if head["epoch"] != self._epoch else "the log went back"
            log.warning("relay.repositioned", reason=reason, position=f"{head['epoch']}.{head['seq']}")
            self._epoch = None
        if self._epoch is None:
            if self._begin is not None:
                await self._begin(connection)
            self._epoch, self._seq = head["epoch"], head["seq"]
        self._next_lock = 0.0
        self._upkeep.begin()
        self._flushes, self._flushing, self._flush_to = self._flushing + self._flushes, [], None

    async def _work(self, connection: Any) -> None:
        while True:
            self._event.clear()
            looked_at = self._clock.monotonic()
            if not self._leading:
                await self._try_to_lead(connection)
            if self._leading:
                self._begin_flush(None)
                await self._lead(connection)
                self._end_flush()
            else:
                await self._follow(connection)
            self._complete_at = looked_at
            self._note_contact()
            await self._wait()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(POLL):
                await self._event.wait()
        except TimeoutError:
            self._behind = True

    # Leading

    async def _try_to_lead(self, connection: Any) -> None:
        now = self._clock.monotonic()
        if now < self._next_lock:
            return
        first = self._next_lock == 0.0
        self._next_lock = now + POLL
        if await connection.fetchval("select pg_try_advisory_lock($1)", LOCK):
            # What the last leader numbered comes first; from here on only we number.
            await self._tail(connection)
            await connection.remove_listener(LOG_CHANNEL, self._on_log)
            self._leading = True
            log.info("relay.leading")
        elif first:
            log.info("relay.following")

    async def _lead(self, connection: Any) -> None:
        self._committed_here = False
        # Before the rows are moved: what is numbered while that lasts is looked for the next time.
        behind, self._behind = self._behind or bool(self._flushing), False
        while True:
            rows = await connection.fetch(MOVE, BATCH)
            RELAYED.inc(len(rows))
            if rows and rows[0]["seq"] != self._seq + 1:
                await self._tail(connection)
            else:
                await self._hand_over(rows)
            if len(rows) < BATCH:
                break
        if behind:
            await self._tail(connection)
        await self._upkeep.do_if_due(connection)

    # Following

    async def _follow(self, connection: Any) -> None:
        if self._committed_here:
            self._committed_here = False
            await connection.execute("select pg_notify($1, '')", OUTBOX_CHANNEL)
        if self._flushes and not self._flushing:
            flushes = len(self._flushes)
            self._begin_flush(await connection.fetchval(LAST), flushes)
        moved = self._flush_to is not None and await connection.fetchval(MOVED, self._flush_to)
        await self._tail(connection)
        if moved:
            self._end_flush()

    def _begin_flush(self, to: int | None, count: int | None = None) -> None:
        """Who called `flush` before this look is answered by `_end_flush`. `to`: the outbox's last id then."""
        self._flushing += self._flushes[:count]
        del self._flushes[:count]
        self._flush_to = to

    def _end_flush(self) -> None:
        flushed, self._flushing, self._flush_to = self._flushing, [], None
        for done in flushed:
            if not done.done():
                done.set_result(None)
        if self._flushes:
            self._event.set()

    async def _tail(self, connection: Any) -> None:
        while True:
            rows = await connection.fetch(TAIL, self._seq, BATCH)
            await self._hand_over(rows)
            if len(rows) < BATCH:
                return

    async def _hand_over(self, rows: Sequence[Any]) -> None:
        turn_ends = self._clock.monotonic() + TURN
        for row in rows:
            message = logged(row)
            # Not what `numbered` has delivered while these rows were on their way.
            if message.seq > self._seq:
                self._deliver_one(message)
            if self._clock.monotonic() > turn_ends:
                await asyncio.sleep(0)
                turn_ends = self._clock.monotonic() + TURN

    def _deliver_one(self, message: LoggedMessage) -> None:
        self._seq = message.seq
        try:
            self._deliver(message)
        except Exception as error:
            reason, at = reason_of(error), message.position
            log.error("relay.failed", reason=reason, position=at, name=message.name)

    # What happens on the connection

    def _on_outbox(self, *_: object) -> None:
        if self._leading:
            self._event.set()

    def _on_log(self, *_: object) -> None:
        self._event.set()

    def _on_termination(self, _connection: object) -> None:
        self._event.set()

    def _note_contact(self) -> None:
        self._last_contact = self._clock.monotonic()
        self._retry = FIRST_RETRY
        self._last_reason = None
        if self._lost_at is not None:
            seconds_away = round(self._last_contact - self._lost_at, 3)
            self._lost_at = None
            log.info("database.back", seconds_away=seconds_away)
            self._on_back(seconds_away)
        self._in_contact.set()

    def _note_failure(self, error: BaseException) -> float:
        """Log an outage once, and each new reason; return the seconds until the next attempt."""
        delay = self._retry * random.uniform(0.5, 1.0)  # noqa: S311
        self._retry = min(LAST_RETRY, self._retry * 2)
        reason = reason_of(error)
        if self._lost_at is None:
            self._lost_at = self._clock.monotonic()
            log.warning("database.lost", reason=reason)
        elif reason != self._last_reason:
            log.warning("relay.failed", reason=reason, retry_in=round(delay, 3))
        self._last_reason = reason
        return delay
