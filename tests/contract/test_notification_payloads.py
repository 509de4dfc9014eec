"""What PostgreSQL writes about notifications is what `payloads.py` says, decoded strictly, wherever it comes out."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
import pytest
from tests.rest_client import Outbox

from callboard.notifications.model import CreateNotification, Resource
from callboard.notifications.payloads import (
    CATALOGUE,
    Notification,
    NotificationDeleted,
    NotificationPage,
    ReadAcknowledgement,
    UnreadCount,
)
from callboard.notifications.service import NotificationService
from callboard.notifications.store import NotificationStore
from callboard.store.database import Database

FULL = CreateNotification(
    type="episode:updated",
    title='Rough cut "4" ready \\ ü 日本 🎬',
    message="line\nline\ttab \x7f \u2028",
    priority="urgent",
    actor="mira",
    resource=Resource(type="episode", id="4"),
    expires_in=3600,
)
DATA = '{"nested": {"n": 1.5, "list": [1, null, true]}, "text": "ü \\u0001"}'.encode()


async def messages(database: Database, name: str) -> list[dict[str, Any]]:
    rows = await database.fetch("select rooms, payload from callboard.outbox where name = $1 order by id", name)
    return [dict(row) for row in rows]


@pytest.fixture
def service(database: Database) -> NotificationService:
    return NotificationService(database, Outbox(database))


async def test_a_notification_is_the_same_everywhere(service: NotificationService, database: Database) -> None:
    await database.execute("insert into callboard.people (id, name) values ('mira', 'Mira Okafor')")
    created = await service.create(["u2", "u1"], FULL, data=DATA, actor="caller")
    notification = msgspec.json.decode(created.payload, type=Notification)
    assert notification == Notification(
        id=str(created.id),
        type="episode:updated",
        title=FULL.title,
        message=FULL.message,
        data={"nested": {"n": 1.5, "list": [1, None, True]}, "text": "ü \x01"},
        priority="urgent",
        actor="mira",
        actor_name="Mira Okafor",
        resource=Resource(type="episode", id="4"),
        group_key=None,
        group=None,
        created_at=notification.created_at,
        arrived_at=notification.arrived_at,
        expires_at=notification.expires_at,
        read_at=None,
        seen_at=None,
        archived_at=None,
        revision=1,
    )
    assert created.id is not None
    assert created.id.version == 7
    assert notification.expires_at == await database.fetchval(
        "select callboard.utc_text(created_at + interval '1 hour') from callboard.notifications"
    )
    (sent,) = await messages(database, "notification:new")
    assert sent["rooms"] == ["user:u1", "user:u2"]
    assert sent["payload"].encode() == created.payload
    for user in ("u1", "u2"):
        listed = await service.page(user, limit=20)
        assert listed.items == b"[" + created.payload + b"]"


async def test_changes_and_their_messages(service: NotificationService, database: Database) -> None:
    created = await service.create(["u1"], FULL, data=DATA, actor=None)
    assert created.id is not None
    first = msgspec.json.decode(created.payload, type=Notification)
    read = await service.change("u1", created.id, "read")
    decoded = msgspec.json.decode(read, type=Notification)
    assert (decoded.revision, decoded.read_at, decoded.seen_at) == (2, decoded.seen_at, decoded.read_at)
    assert msgspec.structs.replace(decoded, read_at=None, seen_at=None, revision=1) == first
    unread = await service.change("u1", created.id, "unread")
    assert msgspec.json.decode(unread, type=Notification).revision == 3
    sent = await messages(database, "notification:updated")
    assert [message["payload"].encode() for message in sent] == [read, unread]
    await service.delete("u1", created.id)
    (deleted,) = await messages(database, "notification:deleted")
    assert msgspec.json.decode(deleted["payload"], type=NotificationDeleted) == NotificationDeleted(
        id=str(created.id), revision=4
    )


async def test_counts_of_one_and_of_several(service: NotificationService, database: Database) -> None:
    await service.create(["u1"], FULL, actor=None)
    count = msgspec.json.decode(await service.unread_count("u1"), type=UnreadCount)
    position = await database.fetchval("select callboard.position()")
    assert count == UnreadCount(count=1, position=position)
    several = await NotificationStore().unread_counts(database, ["u2", "u1"])
    counts = {each.user_id: msgspec.json.decode(each.payload, type=UnreadCount).count for each in several}
    assert counts == {"u1": 1, "u2": 0}


async def test_plain_sql_says_the_same(service: NotificationService, database: Database) -> None:
    made: UUID = await database.fetchval("select callboard.notify(array['u1'], 'a', 'Title', 'Message', '{\"n\": 1}')")
    (sent,) = await messages(database, "notification:new")
    notification = msgspec.json.decode(sent["payload"], type=Notification)
    assert (notification.id, notification.priority, notification.data) == (str(made), "normal", {"n": 1})
    assert (await service.page("u1", limit=1)).items == f"[{sent['payload']}]".encode()


def test_the_catalogue_names_each_message_of_the_contract_once() -> None:
    kinds = {message.name: message.kind for message in CATALOGUE}
    assert kinds == {
        "notification:new": "durable",
        "notification:updated": "durable",
        "notification:deleted": "durable",
        "notification:unread-count": "volatile",
        "notification:read": "client",
        "notification:read-all": "client",
    }
    assert len(kinds) == len(CATALOGUE)
    for message in CATALOGUE:
        assert message.namespace == "/feed"
        assert (message.acknowledgement is not None) == (message.kind == "client")
        assert (message.key is not None) == (message.kind == "volatile")
    # They can be described for other languages.
    msgspec.json.schema_components([*(message.fields for message in CATALOGUE), NotificationPage, ReadAcknowledgement])
