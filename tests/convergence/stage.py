"""A whole Callboard in this process, on real PostgreSQL and a real port, and what its database holds.

Owns: starting and ending it, tokens, what is due done at once, and the truth that clients are held against. Never: a
verdict, a random choice.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import uvicorn
from tests.convergence.client import LISTS, ListName, Payload
from tests.waiting import until

from callboard.app import Callboard
from callboard.auth.tokens import TokenSigner
from callboard.clock import SystemClock
from callboard.notifications.upkeep import NotificationUpkeep
from callboard.settings import Settings
from callboard.store.database import Database
from callboard.store.outbox import Outbox

# What is folded goes out at once, or when the group holds this many.
BATCH_TIMEOUT_MS = 5
BATCH_SIZE = 3

# Presence will give this view; here a table stands for it.
ATTENTION = """
create table callboard.attention_of (user_id text primary key, status text, until timestamptz);
create or replace view callboard.attention as select user_id, status, until from callboard.attention_of;
"""

# What a list shows, not by the statement that serves it.
LISTED = """
select r.notification_id::text as id, r.revision, coalesce(l.title, n.title) as title,
       callboard.exact_utc_text(r.arrived_at) as arrived_at, r.read_at is not null as read
from callboard.notification_recipients r
join callboard.notifications n on n.id = r.notification_id
left join callboard.notifications l on l.id = r.group_latest
where r.user_id = $1 and r.arrived_at is not null and (r.archived_at is not null) = $2
  and (r.expires_at > now()) is not false
order by r.arrived_at desc, r.notification_id desc
"""

DUE = """
select exists (
  select from callboard.notification_recipients
  where fold_due is not null or held_until <= now() + interval '1 second' or expires_at <= now())
"""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """A user's lists, whole, and unread count, as the database holds them."""

    lists: dict[ListName, list[Payload]]
    unread: int


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A running server."""

    url: str
    port: int
    callboard: Callboard
    database: Database
    upkeep: NotificationUpkeep
    session: aiohttp.ClientSession
    signer: TokenSigner

    def token(self, user: str, *roles: str) -> str:
        return self.signer.sign(user, roles=roles, ttl=timedelta(hours=1))

    async def ask(
        self, method: str, path: str, token: str, body: object = None, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """A REST call below /api/v1: the status and what was answered."""
        headers = {"Authorization": f"Bearer {token}", **headers}
        async with self.session.request(method, f"{self.url}/api/v1{path}", headers=headers, json=body) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text else {}

    async def page(self, token: str, name: ListName, *, limit: int, cursor: str | None = None) -> Payload:
        archived = "true" if name == "archived" else "false"
        after = "" if cursor is None else f"&cursor={cursor}"
        status, page = await self.ask("GET", f"/notifications?limit={limit}&archived={archived}{after}", token)
        assert status == 200, page
        return page

    async def count(self, token: str) -> Payload:
        """The unread count and its position."""
        status, count = await self.ask("GET", "/notifications/unread-count", token)
        assert status == 200, count
        return count

    async def do_due(self) -> None:
        """Do what upkeep does: let arrive what is due, send folds, remove what has expired."""
        await self.upkeep.do_due()
        await self.upkeep.remove()

    async def settle(self) -> None:
        """Return when nothing is due any more and all that was committed is in the log and on its way."""

        async def done() -> bool:
            await self.do_due()
            return not await self.database.fetchval(DUE)

        await until(done)
        await self.callboard.relay.flush()

    async def truth(self, user: str) -> Truth:
        """A user's lists as a new client is told of them, which must be what a plain query says."""
        lists: dict[ListName, list[Payload]] = {}
        for name in LISTS:
            lists[name] = items = []
            cursor: str | None = None
            while True:
                page = await self.page(self.token(user), name, limit=100, cursor=cursor)
                items += page["items"]
                cursor = page["next_cursor"]
                if cursor is None:
                    break
            plain = [dict(row) for row in await self.database.fetch(LISTED, user, name == "archived")]
            served = [
                {key: item[key] for key in ("id", "revision", "title", "arrived_at")}
                | {"read": item["read_at"] is not None}
                for item in items
            ]
            assert served == plain
        return Truth(lists=lists, unread=sum(item["read_at"] is None for item in lists["current"]))


@asynccontextmanager
async def running(dsn: str, **settings: Any) -> AsyncIterator[Stage]:
    """A server on a migrated database. Nobody reaches the hourly limit unless `settings` says so."""
    settings = {
        "notification_rate_limit": 1_000_000,
        "notification_batch_size": BATCH_SIZE,
        "notification_batch_timeout_ms": BATCH_TIMEOUT_MS,
        **settings,
    }
    made = Settings(data_dir=Path("/nonexistent"), jwt_secret="a secret for tests, 32 bytes long", **settings)
    callboard = Callboard(made)
    try:
        await callboard.start(dsn)
        await callboard.database.execute(ATTENTION)
        async with _listening(callboard) as port, aiohttp.ClientSession(connector=_unbounded()) as session:
            await callboard.relay.until_ready()
            await until(_leads(callboard))
            yield Stage(
                url=f"http://127.0.0.1:{port}",
                port=port,
                callboard=callboard,
                database=callboard.database,
                upkeep=NotificationUpkeep(
                    callboard.database,
                    Outbox(callboard.database, callboard.relay),
                    callboard.relay,
                    callboard.clock,
                    retention_days=made.notification_retention_days,
                ),
                session=session,
                signer=TokenSigner(made, clock=SystemClock()),
            )
    finally:
        await callboard.stop()


@asynccontextmanager
async def _listening(callboard: Callboard) -> AsyncIterator[int]:
    # Naming the protocol has asyncio send at once (TCP_NODELAY).
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        callboard.asgi, ws=callboard.ws_protocol, lifespan="off", log_config=None, access_log=False, server_header=False
    )
    server = _Embedded(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield listener.getsockname()[1]
    finally:
        await callboard.node.stop()
        server.should_exit = True
        await serving


class _Embedded(uvicorn.Server):
    """Leaves the signals to pytest."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _leads(callboard: Callboard) -> Callable[[], Awaitable[bool]]:
    async def leads() -> bool:
        return callboard.relay.leading

    return leads


def _unbounded() -> aiohttp.TCPConnector:
    return aiohttp.TCPConnector(limit=0)
