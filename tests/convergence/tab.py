"""A tab: one connection of a user to `/feed` with the reference client behind it, on a line that can be cut.

Owns: connecting from a snapshot's position or by recovery, coming back, loading pages. Never: a rule of what messages
mean (`client.py`), a verdict.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from tests.convergence.client import LISTS, Inbox, ListName, number_of
from tests.convergence.stage import Stage
from tests.faults.proxy import Proxy, proxied
from tests.waiting import PATIENCE

MARK = "mark"
PAGE_SIZE = 5


class LineLost(Exception):
    """The line was cut."""


class Tab:
    """`marks`: the numbers of the messages `mark` that came. `heard`: the names of all that came."""

    def __init__(self, stage: Stage, user: str, proxy: Proxy) -> None:
        self.user = user
        self.page_size = PAGE_SIZE
        self.inbox = Inbox()
        self.marks: list[int] = []
        self.heard: list[str] = []
        self.recovered: list[bool] = []
        self.token = stage.token(user)
        self._stage = stage
        self._proxy = proxy
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._reading: asyncio.Task[None] | None = None
        self._pid: str | None = None
        self._offset: str | None = None
        self._acks: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._calls = 0
        self._changed = asyncio.Event()

    @property
    def online(self) -> bool:
        return self._reading is not None and not self._reading.done()

    async def open(self, *, snapshot_first: bool = True) -> None:
        """Begin anew, as a page that is loaded: a snapshot and from its position on, or live and then a snapshot."""
        self.inbox, self._pid, self._offset = Inbox(), None, None
        self._proxy.down = False
        if snapshot_first:
            positions = [await self.refresh(name) for name in LISTS]
            await self._connect({"position": min(positions, key=number_of)})
        else:
            await self._connect({})
            await asyncio.gather(*(self.refresh(name) for name in LISTS))

    async def leave(self) -> None:
        """The line is cut, in the middle of whatever is on it, and stays down."""
        await self._proxy.cut(stay_down=True)
        if self._reading is not None:
            await asyncio.wait([self._reading])

    async def come_back(self) -> None:
        """Recover; if that is refused, go on live and take snapshots."""
        if self._pid is None:
            await self.open()
            return
        self._proxy.down = False
        before = self._pid
        await self._connect({"pid": before} | ({} if self._offset is None else {"offset": self._offset}))
        self.recovered.append(self._pid == before)
        if self._pid != before:
            await asyncio.gather(*(self.refresh(name) for name in LISTS))

    async def refresh(self, name: ListName) -> str:
        """Load the first page, while messages come; its position."""
        page = await self._stage.page(self.token, name, limit=self.page_size)
        self.inbox.snapshot(name, page)
        return str(page["position"])

    async def load_more(self, name: ListName) -> bool:
        """Load the next page; False if there is none."""
        cursor = self.inbox.loaded[name].cursor
        if cursor is not None:
            page = await self._stage.page(self.token, name, limit=self.page_size, cursor=cursor)
            self.inbox.older(name, page, cursor)
        return cursor is not None

    async def ask_count(self) -> None:
        """Ask once more for a count that messages have been added to, as a client does some seconds after one."""
        if self.inbox.since_count:
            self.inbox.take("notification:unread-count", await self._stage.count(self.token))

    async def call(self, name: str, data: Mapping[str, object]) -> dict[str, Any]:
        """Send a message and return its acknowledgement. Raises LineLost."""
        socket = self._socket
        if socket is None or not self.online:
            raise LineLost
        self._calls += 1
        answer = self._acks[self._calls] = asyncio.get_running_loop().create_future()
        try:
            await socket.send_str(f"42/feed,{self._calls}{json.dumps([name, data])}")
        except (ConnectionError, aiohttp.ClientError):
            raise LineLost from None
        async with asyncio.timeout(PATIENCE):
            done: dict[str, Any] = await answer
        return done

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that came makes `condition` true. Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def until_marked(self, number: int) -> None:
        """Wait for the message `mark` of this number, and so for all that was sent before."""
        await self.until(lambda: number in self.marks)

    async def until_heard(self, name: str) -> None:
        """Wait for a message of this name."""
        await self.until(lambda: name in self.heard)

    async def _connect(self, auth: dict[str, str]) -> None:
        url = f"{self._proxy.url}/socket.io/?EIO=4&transport=websocket"
        self._socket = await self._stage.session.ws_connect(url, autoping=False, max_msg_size=0)
        await self._text()
        await self._socket.send_str(f"40/feed,{json.dumps({'token': self.token, **auth})}")
        answer = await self._text()
        assert answer.startswith("40/feed,"), answer
        self._pid = json.loads(answer.partition(",")[2])["pid"]
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._socket is not None
        try:
            while True:
                await self._take(await self._text())
        except LineLost:
            for answer in self._acks.values():
                answer.set_exception(LineLost())
            self._acks.clear()
        finally:
            await self._socket.close()
            self._changed.set()

    async def _text(self) -> str:
        assert self._socket is not None
        message = await self._socket.receive()
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise LineLost
        return str(message.data)

    async def _take(self, packet: str) -> None:
        assert self._socket is not None
        if packet == "2":
            await self._socket.send_str("3")
        elif packet.startswith("42/feed,"):
            name, payload, *position = json.loads(packet.partition(",")[2])
            self._event(name, payload, *position)
        elif packet.startswith("43/feed,"):
            number, _, answer = packet.removeprefix("43/feed,").partition("[")
            self._acks.pop(int(number)).set_result(json.loads("[" + answer)[0])
        self._changed.set()

    def _event(self, name: str, payload: dict[str, Any], position: str | None = None) -> None:
        self.heard.append(name)
        if name == MARK:
            self.marks.append(payload["n"])
        else:
            self.inbox.take(name, payload, position)
        if position is not None:
            self._offset = position


@asynccontextmanager
async def tab(stage: Stage, user: str) -> AsyncIterator[Tab]:
    """A tab that is not open yet."""
    async with proxied(stage.port) as proxy:
        made = Tab(stage, user, proxy)
        try:
            yield made
        finally:
            await made.leave()
