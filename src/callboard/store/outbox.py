"""The outbox: a message is written in the transaction of what it tells, and leaves only if that commits.

Owns: the statements that write, move and read messages, and `LoggedMessage`. Never: a delivery (the relay's),
a number taken before the commit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from callboard.store.database import Queries, Row

BATCH = 500


class LoggedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A committed, numbered message. `position` is "{epoch}.{seq}", `payload` a JSON object's text."""

    seq: int
    position: str
    namespace: str
    rooms: tuple[str, ...]
    name: str
    payload: str
    created_at: datetime


class Outbox:
    """Writes messages. `wake` is called after a commit: the relay of this process looks at once."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake

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
        self._wake()


# One statement, so one commit: rows leave the outbox, get the next numbers and enter the log together. A row
# whose transaction has not committed is not seen, holds nobody up, and gets a later number when it is.
# Updating log_head locks it, so numbers enter the log in commit order whoever runs this.
MOVE = """
with moved as (
  delete from callboard.outbox
  where id = any (array(select id from callboard.outbox order by id limit $1))
  returning id, namespace, rooms, name, payload, created_at
), head as (
  update callboard.log_head
  set seq = seq + (select count(*) from moved)
  where exists (select from moved)
  returning epoch, seq, pg_notify('callboard_log', seq::text)
), logged as (
  insert into callboard.message_log (seq, logged_at, created_at, namespace, rooms, name, payload)
  select head.seq - count(*) over () + row_number() over (order by moved.id),
         now(), moved.created_at, moved.namespace, moved.rooms, moved.name, moved.payload
  from moved cross join head
  returning seq, namespace, rooms, name, payload, created_at
)
select seq, epoch, namespace, rooms, name, payload, created_at
from logged cross join (select epoch from head) head
order by seq
"""

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
