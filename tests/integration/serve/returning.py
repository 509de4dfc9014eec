"""A stock client that goes and comes back, and what reached it.

Owns: the npm client behind a proxy, its events by namespace, messages published by SQL. Never: an assertion about the
product.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.faults.proxy import Proxy, proxied
from tests.integration.serve.kit import WAIT_SECONDS, Server, database
from tests.peers.process import Peer, Seen, run_peer

FEED = "/feed"


class Returning:
    """The npm client. Everything it has seen is kept, by namespace and in order."""

    def __init__(self, peer: Peer, proxy: Proxy) -> None:
        self.proxy = proxy
        self.events: list[Seen] = []
        self._peer = peer
        self._changed = asyncio.Event()

    def numbers(self, namespace: str = FEED) -> list[int]:
        """The numbers of the messages `n` that came."""
        return [one["args"][0]["n"] for one in self._of("message", namespace) if one["name"] == "n"]

    def recovered(self, namespace: str = FEED) -> list[bool]:
        """What `socket.recovered` was at each connect."""
        return [one["recovered"] for one in self._of("connect", namespace)]

    def refusals(self, namespace: str = FEED) -> list[str | None]:
        return [one.get("code") for one in self._of("connect_error", namespace) if one.get("code")]

    async def open(self, token: str, namespace: str = FEED) -> None:
        """Connect to a namespace for the first time."""
        self.tell("open", namespace, token=token)
        await self.connects(1, namespace)

    async def ask(self, name: str, data: dict[str, Any], namespace: str = FEED) -> dict[str, Any]:
        """Send a message; its acknowledgement. One at a time in a namespace."""
        before = len(self._of("answer", namespace))
        self.tell("ask", namespace, name=name, data=data)
        await self.until(lambda: len(self._of("answer", namespace)) > before)
        answer: dict[str, Any] = self._of("answer", namespace)[before]["answer"]
        return answer

    def tell(self, command: str, namespace: str = FEED, **fields: object) -> None:
        self._peer.tell(do=command, namespace=namespace, **fields)

    async def connects(self, times: int, namespace: str = FEED) -> None:
        await self.until(lambda: len(self.recovered(namespace)) >= times)

    async def leaves(self, times: int, namespace: str = FEED) -> None:
        await self.until(lambda: len(self._of("disconnect", namespace)) >= times)

    async def got(self, number: int, namespace: str = FEED) -> None:
        await self.until(lambda: number in self.numbers(namespace))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    @asynccontextmanager
    async def away(self, namespace: str = FEED) -> AsyncIterator[None]:
        """Its line is cut and stays down within the block; after it, the client has connected again."""
        gone, back = len(self._of("disconnect", namespace)), len(self.recovered(namespace))
        await self.proxy.cut(stay_down=True)
        await self.leaves(gone + 1, namespace)
        yield
        self.proxy.down = False
        await self.connects(back + 1, namespace)

    async def listen(self) -> None:
        while True:
            self.events.append(await self._peer.seen())
            self._changed.set()

    def _of(self, seen: str, namespace: str) -> list[Seen]:
        return [one for one in self.events if one["seen"] == seen and one["namespace"] == namespace]


@asynccontextmanager
async def returning(server: Server, transports: str = "polling,websocket") -> AsyncIterator[Returning]:
    """The npm client, not connected yet, behind a proxy to the server."""
    async with proxied(server.port) as proxy, run_peer("recovery.mjs", proxy.url, transports) as peer:
        client = Returning(peer, proxy)
        listening = asyncio.create_task(client.listen())
        try:
            yield client
        finally:
            listening.cancel()
            await asyncio.wait([listening])


class Publisher:
    """Publishes messages `n`, numbered from 1, by SQL."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.count = 0

    async def publish(self, *rooms: str, times: int = 1, namespace: str = FEED) -> list[int]:
        """Send `times` messages; their numbers."""
        first = self.count + 1
        self.count += times
        await self.connection.execute(
            "select callboard.publish($1, 'n', jsonb_build_object('n', n), $2) from generate_series($3::int, $4) n",
            list(rooms),
            namespace,
            first,
            self.count,
        )
        return list(range(first, self.count + 1))

    async def numbered(self) -> None:
        """Wait until all that was published is in the log."""
        async with asyncio.timeout(WAIT_SECONDS):
            while await self.connection.fetchval("select exists (select from callboard.outbox)"):
                await asyncio.sleep(0.01)


@asynccontextmanager
async def publisher(server: Server) -> AsyncIterator[Publisher]:
    async with database(server) as connection:
        yield Publisher(connection)
