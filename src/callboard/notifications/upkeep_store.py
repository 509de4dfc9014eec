"""What becomes of notifications with time, in PostgreSQL: one method, one statement.

Owns: the calls of the functions in migration 0005. Each does at most `most` rows, as of `moment`, and writes its
messages. Never: a loop, a clock.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from callboard.store.database import Queries


class Released(NamedTuple):
    """`due`: holds that had ended; `released`: of these arrived, the others are held again or were muted."""

    due: int
    released: int


class UpkeepStore:
    """Statements; each takes what it runs on."""

    async def release_held(self, queries: Queries, moment: datetime, most: int) -> Released:
        """Let arrive what was held until `moment`, in order."""
        row = await queries.fetchrow("select due, released from callboard.release_held($1, $2)", moment, most)
        assert row is not None
        return Released(*row)

    async def send_folds(self, queries: Queries, moment: datetime, most: int) -> int:
        """Tell clients of groups that have grown and are due."""
        sent: int = await queries.fetchval("select callboard.send_folds($1, $2)", moment, most)
        return sent

    async def remove_expired(self, queries: Queries, moment: datetime, most: int) -> int:
        """Remove copies that have expired."""
        removed: int = await queries.fetchval("select callboard.remove_expired($1, $2)", moment, most)
        return removed

    async def remove_old_copies(self, queries: Queries, before: datetime, most: int) -> int:
        """Remove copies that arrived before `before`."""
        removed: int = await queries.fetchval("select callboard.remove_old_copies($1, $2)", before, most)
        return removed

    async def remove_old_contents(self, queries: Queries, before: datetime, most: int) -> int:
        """Remove contents older than `before` of which nobody has a copy."""
        removed: int = await queries.fetchval("select callboard.remove_old_contents($1, $2)", before, most)
        return removed

    async def remove_spent(self, queries: Queries, moment: datetime, most: int) -> int:
        """Remove idempotency keys and hourly counts that nobody will ask for again."""
        removed: int = await queries.fetchval("select callboard.remove_spent($1, $2)", moment, most)
        return removed

    async def attention_changed(self, queries: Queries, user_id: str) -> None:
        """Have what is held for a user decided again."""
        await queries.execute("select callboard.reconsider_held($1)", user_id)
