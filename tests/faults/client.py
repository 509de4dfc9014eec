"""A client that behaves as socket.io-client does, light enough for a thousand of them in one process.

Owns: connecting by WebSocket or by long-polling with an upgrade, the recovery id and offset, coming back, and what was
received. Never: a verdict. The npm client is the measure of what is right (see tests/integration/serve); this one
stands in for it where many are needed.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

import aiohttp

PATIENCE = 60.0
_PATH = "/socket.io/?EIO=4&transport="
_SEPARATOR = "\x1e"

Transport = Literal["websocket", "polling", "upgrade"]
Message = tuple[str, str, str]


class Ended(Exception):
    """The connection has ended; the client comes back."""


class Attempts:
    """Counts the attempts of a request beyond the first: aiohttp repeats a GET whose answer the line has swallowed."""

    def __init__(self, client: FaultClient) -> None:
        self._client = client
        self._used = False

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        self._client.repeats += self._used
        self._used = True
        return await handler(request)


class FaultClient:
    """One user in one namespace. `rooms`: those its token gives; `start`: the number after which messages are for it.

    `received`: every durable message as (position, name, number or id); nothing is left out, not even what comes again.
    `recovered` says of each connect after the first whether it was a recovery; `ends` counts connections that ended,
    `polled` messages that came by long-polling, `upgraded` changes to WebSocket, `repeats` polls that were sent
    again because the line had swallowed the answer. While `reading` is not set it reads nothing.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        token: str,
        rooms: frozenset[str],
        *,
        namespace: str = "/feed",
    ) -> None:
        self.url = url
        self.rooms = rooms
        self.namespace = namespace
        self.received: list[Message] = []
        self.recovered: list[bool] = []
        self.refused: list[Any] = []
        self.connected = False
        self.upgraded = 0
        self.polled = 0
        self.repeats = 0
        self._gets = 0
        self.ends = 0
        self.start = 0
        self.reading = asyncio.Event()
        self.reading.set()
        self._session = session
        self._token = token
        self._transport: Transport = "websocket"
        self._snapshot = False
        self._position: str | None = None
        self._random = random.Random(0)
        self._pid: str | None = None
        self._offset: str | None = None
        self._changed = asyncio.Event()

    def prepare(self, transport: Transport, seed: int, *, snapshot: bool) -> None:
        """Choose a transport and, by the seed, how long it waits before it comes back.

        With `snapshot` it asks by REST before it connects, and wants all messages from that position on.
        """
        self._transport = transport
        self._snapshot = snapshot
        self._random = random.Random(seed)

    @property
    def last(self) -> int:
        """The number of the last durable message that came."""
        return 0 if self._offset is None else int(self._offset.rpartition(".")[2])

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that happened to this client makes `condition` true."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def until_connected(self) -> None:
        await self.until(lambda: self.connected)

    async def until_returned(self, times: int) -> None:
        """Wait until it is connected, and has come back so many times."""
        await self.until(lambda: self.connected and len(self.recovered) >= times)

    async def until_after(self, seq: int) -> None:
        """Wait for a message of a later number."""
        await self.until(lambda: self.last > seq)

    async def until_upgraded(self) -> None:
        await self.until(lambda: self.connected and self.upgraded > 0)

    async def run(self) -> None:
        """Stay connected until cancelled."""
        delay = 0.02
        while True:
            before = len(self.recovered) + (self._pid is not None)
            try:
                await self._connection()
            except (aiohttp.ClientError, OSError, Ended, TimeoutError):
                pass
            finally:
                self.ends += self.connected
                self.connected = False
                self._changed.set()
            delay = 0.02 if len(self.recovered) + (self._pid is not None) > before else min(1.0, delay * 2)
            await asyncio.sleep(delay * self._random.uniform(0.5, 1.0))

    async def _connection(self) -> None:
        if self._snapshot and self._position is None:
            await self._take_snapshot()
        if self._transport == "websocket":
            async with self._websocket(f"{_PATH}websocket") as socket:
                await self._text(socket)
                await socket.send_str(self._connect_packet())
                await self._listen(socket)
        else:
            await self._poll()

    async def _take_snapshot(self) -> None:
        headers = {"Authorization": f"Bearer {self._token}"}
        async with self._session.get(f"{self.url}/api/v1/notifications", headers=headers) as answer:
            if answer.status != 200:
                raise Ended
            self._position = str((await answer.json())["position"])
        self.start = int(self._position.rpartition(".")[2])

    # Long-polling and the upgrade

    async def _poll(self) -> None:
        opened = json.loads((await self._get(f"{_PATH}polling"))[1:])
        path = f"{_PATH}polling&sid={opened['sid']}"
        await self._post(path, self._connect_packet())
        while not self.connected:
            await self._take_payload(path, await self._get(path))
        if self._transport == "polling":
            while True:
                await self._take_payload(path, await self._get(path))
        await self._upgrade(path, opened["sid"])

    async def _upgrade(self, path: str, sid: str) -> None:
        """Probe while a poll is held; when that has ended, change over, as engine.io-client does."""
        polling = asyncio.create_task(self._poll_until_noop(path))
        try:
            async with self._websocket(f"{_PATH}websocket&sid={sid}") as socket:
                await socket.send_str("2probe")
                if await self._text(socket) != "3probe":
                    raise Ended
                await polling
                await socket.send_str("5")
                self.upgraded += 1
                self._changed.set()
                await self._listen(socket)
        finally:
            polling.cancel()
            await asyncio.gather(polling, return_exceptions=True)

    async def _poll_until_noop(self, path: str) -> None:
        while not await self._take_payload(path, await self._get(path)):
            pass

    async def _take_payload(self, path: str, body: str) -> bool:
        """Take in the packets of a poll; whether there was a NOOP among them."""
        packets = body.split(_SEPARATOR)
        before = len(self.received)
        for packet in packets:
            if packet == "2":
                await self._post(path, "3")
            else:
                self._take(packet)
        self.polled += len(self.received) - before
        return "6" in packets

    async def _get(self, path: str) -> str:
        self._gets += 1
        async with self._session.get(f"{self.url}{path}&t={self._gets}", middlewares=(Attempts(self),)) as answer:
            if answer.status != 200:
                raise Ended
            return await answer.text()

    async def _post(self, path: str, body: str) -> None:
        async with self._session.post(self.url + path, data=body) as answer:
            if answer.status != 200:
                raise Ended

    # WebSocket

    @asynccontextmanager
    async def _websocket(self, path: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        async with self._session.ws_connect(self.url + path, autoping=False, max_msg_size=0) as socket:
            yield socket

    async def _text(self, socket: aiohttp.ClientWebSocketResponse) -> str:
        message = await socket.receive()
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise Ended
        return str(message.data)

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            await self.reading.wait()
            packet = await self._text(socket)
            if packet == "2":
                await socket.send_str("3")
            else:
                self._take(packet)

    # Socket.IO

    def _connect_packet(self) -> str:
        auth: dict[str, str] = {"token": self._token}
        if self._position is not None:
            auth["position"] = self._position
        if self._pid is not None:
            auth["pid"] = self._pid
            if self._offset is not None:
                auth["offset"] = self._offset
        return f"40{self.namespace},{json.dumps(auth)}"

    def _take(self, packet: str) -> None:
        kind = packet[:2]
        if kind == "40":
            self._take_connect(json.loads(packet.partition(",")[2])["pid"])
        elif kind == "42":
            self._take_event(packet.partition(",")[2])
        elif kind == "44":
            self.refused.append(json.loads(packet.partition(",")[2]))
            raise Ended
        elif kind in ("1", "41"):
            raise Ended
        self._changed.set()

    def _take_connect(self, pid: str) -> None:
        if self._pid is not None:
            self.recovered.append(pid == self._pid)
        self._pid = pid
        self.connected = True

    def _take_event(self, text: str) -> None:
        name, payload, *rest = json.loads(text)
        if not rest:
            return
        [position] = rest
        self._offset = position
        self.received.append((position, name, str(payload.get("n", payload.get("id")))))
