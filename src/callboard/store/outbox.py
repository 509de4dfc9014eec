"""The outbox: a message is written in the transaction of what it tells, and leaves only if that commits.

Owns: the statements that write, number and read messages, and `LoggedMessage`. Never: a delivery (the relay's), a
number that is seen before the commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, Protocol

import msgspec

from callboard.errors import Unavailable
from callboard.store.database import Locked, Queries, Row

BATCH = 500
# How many messages leave with the transaction that `send` runs: its own, and those that wait.
SENT = 100


class LoggedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A committed, numbered message. `position` is "{epoch}.{seq}", `payload` a JSON object's text."""

    seq: int
    position: str
    namespace: str
    rooms: tuple[str, ...]
    name: str
    payload: str
    created_at: datetime


class Sender(Protocol):
    """What the outbox needs of the relay of this process."""

    @property
    def leading(self) -> bool:
        """Whether numbering is this node's to do."""

    def wake(self) -> None:
        """Something is in the outbox."""

    def numbered(self, messages: Sequence[LoggedMessage]) -> None:
        """These were numbered by one transaction, which has committed; they are in order."""

    def look(self) -> None:
        """Something may have been numbered that nobody here has in hand."""


class Sending(Protocol):
    """The part of the outbox for statements that are transactions by themselves."""

    async def send(self, statement: str, *args: object) -> list[tuple[Any, ...]]:
        """See Outbox."""


class Outbox:
    """Writes messages, and sees to it that they leave once they are committed."""

    def __init__(self, pool: Queries, sender: Sender) -> None:
        self._pool = pool
        self._sender = sender

    async def put(self, queries: Queries, *, namespace: str, rooms: Sequence[str], name: str, payload: str) -> None:
        """Add a message for `rooms` (1 to 10,000) in the transaction of `queries`; it is sent if that
        commits.

        `payload` is the JSON text of an object, at most 64 KiB, and reaches clients byte for byte. Messages
        of one transaction keep their order. Raises Invalid naming the wrong argument.
        """
        await queries.execute(
            "select callboard.enqueue_text($1::text[], $2, $3, $4)", list(rooms), name, payload, namespace
        )

    def committed(self) -> None:
        """Call after the transaction of a `put` committed. Forgetting it costs up to a second, no message."""
        self._sender.wake()

    async def send(self, statement: str, *args: object) -> list[tuple[Any, ...]]:
        """Run a statement that may put messages, as a transaction by itself: no `committed` is needed.

        On the node that leads, its messages are numbered in that transaction and delivered before this returns, if
        nobody else numbers at the moment. What it waits for, it waits for before that. It must be a plain SELECT, as
        of a function; PostgreSQL refuses one with a WITH that changes rows. Returns its rows, in its order. Raises what
        statements on the pool raise.
        """
        if not self._sender.leading:
            rows = await self._pool.fetch(statement, *args)
            self._sender.wake()
            return [tuple(row) for row in rows]
        try:
            rows = await self._pool.fetch(_sending(statement), *args)
        except Locked:
            raise  # nothing of it is done
        except (Unavailable, asyncio.CancelledError):
            self._sender.look()  # it may have committed all the same
            raise
        own = [tuple(row)[:-ADDED_COLUMNS] for row in rows if row["epoch"] is None]
        messages = [logged(row) for row in rows[len(own) :] if row["seq"] is not None]
        if messages:
            self._sender.numbered(messages)
        if len(messages) == SENT or len(own) + len(messages) < len(rows):
            self._sender.wake()  # there may be more, or somebody else numbers
        return own


# One statement, so one commit: rows leave the outbox, get the next numbers and enter the log together. A row
# whose transaction has not committed is not seen, holds nobody up, and gets a later number when it is.
MOVE = "select * from callboard.number_outbox($1, true)"

ADDED_COLUMNS = 8

# What a follower asks: how far the outbox goes now, and whether the leader has moved all of that.
LAST = "select coalesce(max(id), 0) from callboard.outbox"
MOVED = "select not exists (select from callboard.outbox where id <= $1)"

TAIL = """
select seq, epoch, namespace, rooms, name, payload, created_at
from callboard.message_log
cross join (select epoch from callboard.log_head) head
where seq > $1
order by seq
limit $2
"""

HEAD = "select epoch, seq from callboard.log_head"


@cache
def _sending(statement: str) -> str:
    """The statement, and the numbering after it: rows of the one with nulls for the other, then the other way round.

    The count is there to have the first done before the second begins.
    """
    return f"""
with made as materialized (
  select own.*, row_number() over () as place
  from (
{statement}
  ) own
), numbered as materialized (
  select message.*
  from (select count(*) as rows from made) first
  cross join lateral callboard.number_outbox(case when first.rows >= 0 then {SENT} end, false) message
)
select made.*, numbered.* from made full join numbered on false order by numbered.seq nulls first, made.place
"""  # noqa: S608


def logged(row: Row) -> LoggedMessage:
    """A row of MOVE or TAIL."""
    seq: int = row["seq"]
    return LoggedMessage(
        seq=seq,
        position=f"{row['epoch']}.{seq}",
        namespace=row["namespace"],
        rooms=tuple(row["rooms"]),
        name=row["name"],
        payload=row["payload"],
        created_at=row["created_at"],
    )
