"""A node whose clients subscribe to rooms, its log and its sessions, and a client."""

from __future__ import annotations

import json
from typing import Any

from tests.clock import TurnedClock
from tests.loop import Pauses, settle
from tests.unit.realtime.log import FakeHead, FakeLog
from tests.unit.realtime.sessions import FakeSessions
from tests.unit.realtime.stage import Peer, Stage

from callboard.auth.access import DefaultAccess, Verb
from callboard.auth.principal import Principal
from callboard.realtime.connection import Reason
from callboard.realtime.namespace import Member
from callboard.realtime.recovery import Recovery
from callboard.realtime.subscriptions import Subscriptions

E1, E2 = {"type": "episode", "id": "e1"}, {"type": "episode", "id": "e2"}
R1, R2 = "resource:episode:e1", "resource:episode:e2"


class Rules(DefaultAccess):
    """Lets users read all but what is `secret`. `asked` are the questions."""

    def __init__(self) -> None:
        self.secret: set[str] = set()
        self.asked: list[tuple[str, str, str, str]] = []

    def may(self, principal: Principal, verb: Verb, resource_type: str, resource_id: str, /) -> bool:
        self.asked.append((principal.id, verb, resource_type, resource_id))
        return super().may(principal, verb, resource_type, resource_id) and resource_id not in self.secret


class World:
    """A node whose `/feed` takes subscriptions, its log, and its sessions. `restart`: another process, same log."""

    def __init__(self, clock: TurnedClock) -> None:
        self.clock = clock
        self.log = FakeLog()
        self.sessions = FakeSessions()
        self.rules = Rules()
        self.pauses = Pauses(clock)
        self.restart()

    def restart(self) -> None:
        self.stage = Stage(self.clock)
        self.head = FakeHead(self.log.head)
        self.stage.node.recovery = Recovery(b"key", self.log, self.head)
        self.subscriptions = Subscriptions(self.rules, self.sessions, self.head, pause=self.pauses)
        self.stage.node.subscriptions = self.subscriptions
        self.subscriptions.serve(self.stage.feed)

    def deliver(self, *rooms: str) -> None:
        message = self.log.append(*rooms)
        self.head.set(self.log.head)
        self.stage.node.deliver(message)

    async def connect(self, token: str = "jonas", **auth: object) -> Tab:
        peer = self.stage.peer()
        texts = await peer.say(f"0/feed,{json.dumps({'token': token, **auth})}")
        return Tab(peer, texts, self.stage.joined[-1] if self.stage.joined else None)


class Tab:
    """A client that is in /feed. `numbers`: of the messages behind its CONNECT."""

    def __init__(self, peer: Peer, texts: list[str], member: Member | None) -> None:
        self.peer = peer
        self.texts = texts
        self.member = member
        self.pid: str = json.loads(texts[0].partition(",")[2])["pid"] if texts else ""
        self.numbers = [json.loads(text.partition(",")[2])[1]["n"] for text in texts[1:]]

    async def ask(self, name: str, data: object) -> dict[str, Any]:
        """A message's acknowledgement."""
        [text] = [text for text in await self.peer.say(f"2/feed,1{json.dumps([name, data])}") if text[0] == "3"]
        answer: dict[str, Any] = json.loads(text.removeprefix("3/feed,1"))[0]
        return answer

    async def subscribe(self, *resources: object) -> dict[str, Any]:
        return await self.ask("subscribe", {"resources": list(resources)})

    async def unsubscribe(self, *resources: object) -> dict[str, Any]:
        return await self.ask("unsubscribe", {"resources": list(resources)})

    async def heard(self) -> int:
        """How many messages `n` came live."""
        await settle()
        return sum('"n"' in text for text in self.peer.sink.texts)

    def leave(self) -> None:
        self.peer.connection.close(Reason.TRANSPORT)
