"""notifications.handlers: what clients may send, and what they are acknowledged."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.rest_client import NoDatabase, Outbox

from callboard.auth.principal import Principal
from callboard.errors import Invalid, NotFound
from callboard.notifications.handlers import Handler, register
from callboard.notifications.payloads import CATALOGUE
from callboard.notifications.service import NotificationService
from callboard.notifications.store import AllRead, Change, Marked, NotificationStore
from callboard.store.database import Queries

MEMBER: Any = SimpleNamespace(principal=Principal(id="u1"))


class Store(NotificationStore):
    def __init__(self, *own: UUID) -> None:
        self.own = own

    async def change(self, queries: Queries, user_id: str, ids: Sequence[UUID], change: Change) -> list[Marked]:
        assert (user_id, change) == ("u1", "read")
        return [Marked(b'{"id":"x","revision":2}', True) for id_ in ids if id_ in self.own]

    async def mark_all_read(self, queries: Queries, user_id: str) -> AllRead:
        assert user_id == "u1"
        return AllRead(3, "e.7")


class Feed:
    def __init__(self, *own: UUID) -> None:
        self.handlers: dict[str, Handler] = {}
        register(self, NotificationService(NoDatabase(), Outbox(), store=Store(*own)))

    def on(self, name: str, handler: Handler) -> None:
        self.handlers[name] = handler

    async def send(self, name: str, data: dict[str, object]) -> dict[str, object]:
        return await self.handlers[name](MEMBER, data)


def test_every_client_message_of_the_catalogue_is_handled() -> None:
    assert set(Feed().handlers) == {message.name for message in CATALOGUE if message.kind == "client"}


async def test_read_answers_the_notification() -> None:
    id_ = uuid4()
    answer = await Feed(id_).send("notification:read", {"id": str(id_)})
    assert answer == {"notification": {"id": "x", "revision": 2}}


async def test_read_all_answers_how_many() -> None:
    assert await Feed().send("notification:read-all", {}) == {"updated": 3, "position": "e.7"}


async def test_what_is_not_ones_own_is_not_found() -> None:
    with pytest.raises(NotFound):
        await Feed().send("notification:read", {"id": str(uuid4())})


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("notification:read", {}),
        ("notification:read", {"id": 5}),
        ("notification:read", {"id": "x"}),
        ("notification:read", {"id": str(uuid4()), "more": 1}),
        ("notification:read-all", {"id": "x"}),
    ],
)
async def test_wrong_messages_are_invalid(name: str, data: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        await Feed().send(name, data)
