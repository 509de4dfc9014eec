"""Messages while things break, and what the database says was committed.

Owns: a table of the host's own in which each published number is written in the transaction that publishes it, the
writers, and the truth read back. Never: a client, a verdict.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import asyncpg
import httpx
from tests.faults.client import FaultClient, Message

PATIENCE = 60.0
_LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError)

LOG = """
select message.seq, head.epoch, message.namespace, message.rooms, message.name, message.payload
from callboard.message_log message cross join callboard.log_head head
order by message.seq
"""
HOST_TABLE = "create table if not exists host_published (n bigint primary key)"


class Truth(NamedTuple):
    """The log as the database has it after all is over: (seq, namespace, rooms, message)."""

    rows: list[tuple[int, str, frozenset[str], Message]]

    @property
    def committed(self) -> set[Message]:
        return {row[3] for row in self.rows}

    @property
    def head(self) -> int:
        return self.rows[-1][0] if self.rows else 0

    def expected(self, client: FaultClient) -> list[Message]:
        """What is for a client, in order."""
        return [
            message
            for seq, namespace, rooms, message in self.rows
            if seq > client.start and namespace == client.namespace and rooms & client.rooms
        ]


class Load:
    """Publishes by SQL and by REST until stopped. `pace`: seconds between two transactions, on the average.

    One transaction in eight rolls back. `rooms`: from which each message goes to one to three.
    """

    def __init__(self, dsn: str, rooms: Sequence[str], *, seed: int, pace: float = 0.01) -> None:
        self.dsn = dsn
        self.rooms = rooms
        self.committed = 0
        self.stopping = False
        self._random = random.Random(seed)
        self._pace = pace
        self._numbers = 0

    async def prepare(self) -> None:
        """Make the host's table."""
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute(HOST_TABLE)
        finally:
            await connection.close()

    async def run(self) -> None:
        """Write until `stopping`, on a connection that is made again when it breaks. Ends between two transactions."""
        while not self.stopping:
            try:
                connection = await asyncpg.connect(self.dsn, timeout=5)
                try:
                    while not self.stopping:
                        await self.write(connection)
                        await asyncio.sleep(self._random.uniform(0, 2 * self._pace))
                finally:
                    connection.terminate()
            except _LOST:
                await asyncio.sleep(0.05)

    async def write(self, connection: Any, *, commit: bool | None = None) -> None:
        """One transaction of one to three messages, committed or rolled back."""
        transaction = connection.transaction()
        await transaction.start()
        for _ in range(self._random.randint(1, 3)):
            await self._publish(connection)
        if commit or (commit is None and self._random.random() > 0.125):
            await transaction.commit()
            self.committed += 1
        else:
            await transaction.rollback()

    async def _publish(self, connection: Any) -> None:
        number = self._numbers = self._numbers + 1
        rooms = self._random.sample(self.rooms, self._random.randint(1, min(3, len(self.rooms))))
        await connection.execute("insert into host_published values ($1)", number)
        message = "select callboard.publish($1, 'n', jsonb_build_object('n', $2::bigint))"
        await connection.execute(message, rooms, number)


class RestLoad:
    """Sends notifications to the users by REST until stopped. What fails may have been committed all the same."""

    def __init__(self, url: str, headers: dict[str, str], users: Sequence[str], *, pace: float = 0.02) -> None:
        self.answers: dict[int, int] = {}
        self.slowest_refusal = 0.0
        self.stopping = False
        self._url = url
        self._headers = headers
        self._users = users
        self._pace = pace

    async def run(self) -> None:
        async with httpx.AsyncClient(base_url=self._url, headers=self._headers, timeout=30, trust_env=False) as client:
            number = 0
            while not self.stopping:
                number += 1
                await self._send(client, number)
                await asyncio.sleep(self._pace)

    async def _send(self, client: httpx.AsyncClient, number: int) -> None:
        user = self._users[number % len(self._users)]
        body = {"user_id": user, "type": "note", "title": f"number {number}", "message": ""}
        begun = asyncio.get_running_loop().time()
        try:
            answer = await client.post("/api/v1/notifications", json=body)
        except httpx.TransportError:
            return
        self.answers[answer.status_code] = self.answers.get(answer.status_code, 0) + 1
        if answer.status_code == 503:
            assert "retry-after" in answer.headers
            self.slowest_refusal = max(self.slowest_refusal, asyncio.get_running_loop().time() - begun)


async def read_truth(dsn: str) -> Truth:
    """Wait until everything committed is in the log; read it, and hold it against the tables it tells of."""
    connection = await asyncpg.connect(dsn)
    try:
        async with asyncio.timeout(PATIENCE):
            while await connection.fetchval("select exists (select from callboard.outbox)"):
                await asyncio.sleep(0.02)
        rows = await connection.fetch(LOG)
        published = await connection.fetch("select n from host_published")
        notified = await connection.fetch("select notification_id::text from callboard.notification_recipients")
    finally:
        await connection.close()
    truth = Truth([_row(row) for row in rows])
    logged = [(message[1], message[2]) for _, _, _, message in truth.rows]
    _same([n for name, n in logged if name == "n"], [str(row[0]) for row in published])
    _same([id_ for name, id_ in logged if name == "notification:new"], [row[0] for row in notified])
    return truth


def _same(logged: Sequence[str], committed: Sequence[str]) -> None:
    """The log holds each thing that the tables hold, once, and nothing else."""
    more, fewer = Counter(logged) - Counter(committed), Counter(committed) - Counter(logged)
    assert not more, f"in the log, not in the tables: {more}"
    assert not fewer, f"in the tables, not in the log: {fewer}"


def _row(row: Any) -> tuple[int, str, frozenset[str], Message]:
    payload = json.loads(row["payload"])
    message = (f"{row['epoch']}.{row['seq']}", row["name"], str(payload.get("n", payload.get("id"))))
    return row["seq"], row["namespace"], frozenset(row["rooms"]), message
