"""Reactions: who is told what when a committed message was delivered, and on connecting."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import msgspec
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs
from tests.clock import TurnedClock

from callboard import reactions
from callboard.auth.principal import Principal
from callboard.auth.revocations import Revocations
from callboard.realtime.broker import Envelope
from callboard.realtime.connection import Reason
from callboard.store.outbox import LoggedMessage

NOW = TurnedClock().now()


class Unread:
    def __init__(self) -> None:
        self.marked: list[str] = []

    def mark(self, user_id: str) -> None:
        self.marked.append(user_id)


class Member:
    def __init__(self, user: str) -> None:
        self.principal = Principal(id=user, name=None, roles=frozenset(), teams=frozenset())


class Namespace:
    def __init__(self) -> None:
        self.callbacks: list[Callable[[Member], None]] = []

    def on_connect(self, callback: Callable[[Member], None]) -> None:
        self.callbacks.append(callback)


class Node:
    """Keeps what it was told to deliver."""

    def __init__(self, receivers: int = 1) -> None:
        self.receivers = receivers
        self.delivered: list[Envelope] = []
        self.namespaces: dict[str, Namespace] = {}

    def deliver(self, envelope: Envelope) -> int:
        self.delivered.append(envelope)
        return self.receivers

    def namespace(self, name: str) -> Namespace:
        return self.namespaces.setdefault(name, Namespace())


def message(name: str = "notification:new", rooms: tuple[str, ...] = ("user:u1",), age: float = 0.0) -> LoggedMessage:
    return LoggedMessage(
        seq=7,
        position="abc.7",
        namespace="/feed",
        rooms=rooms,
        name=name,
        payload='{"title":"Ü"}',
        created_at=NOW - timedelta(seconds=age),
    )


def deliver(node: Node, unread: Unread, *messages: LoggedMessage) -> None:
    call = reactions.deliver_logged(cast(Any, node), cast(Any, unread), TurnedClock())
    for each in messages:
        call(each)


def observed() -> tuple[float, float]:
    """How many delays were observed, and their sum."""
    name = "callboard_commit_to_write_seconds"
    return REGISTRY.get_sample_value(f"{name}_count") or 0.0, REGISTRY.get_sample_value(f"{name}_sum") or 0.0


def test_a_message_goes_to_its_rooms_with_its_position() -> None:
    node = Node()
    deliver(node, Unread(), message(rooms=("user:u1", "team:art")))
    assert node.delivered == [
        Envelope(
            namespace="/feed",
            rooms=("user:u1", "team:art"),
            name="notification:new",
            payload='{"title":"Ü"}'.encode(),
            position="abc.7",
        )
    ]


@pytest.mark.parametrize(
    ("name", "rooms", "marked"),
    [
        ("notification:new", ("user:u1",), ["u1"]),
        ("notification:updated", ("user:u1",), ["u1"]),
        ("notification:deleted", ("user:a:b",), ["a:b"]),
        ("notification:deleted", ("user:u1", "team:art", "user:u2"), ["u1", "u2"]),
        ("notification:updated", ("user:u1", "user:u2"), []),
        ("notification:new", ("user:u1", "user:u2"), []),
        ("notification:new", ("team:art",), []),
        ("activity:new", ("user:u1",), []),
    ],
)
def test_a_single_persons_notification_renews_that_persons_count(
    name: str, rooms: tuple[str, ...], marked: list[str]
) -> None:
    unread = Unread()
    deliver(Node(), unread, message(name, rooms))
    assert unread.marked == marked


def test_a_message_that_nobody_here_received_renews_and_measures_nothing() -> None:
    unread, before = Unread(), observed()
    deliver(Node(receivers=0), unread, message())
    assert unread.marked == []
    assert observed() == before


@pytest.mark.parametrize(("age", "seconds"), [(0.25, 0.25), (-3.0, 0.0)])
def test_the_delay_since_the_commit_is_measured_and_never_negative(age: float, seconds: float) -> None:
    count, total = observed()
    deliver(Node(), Unread(), message(age=age))
    assert observed()[0] == count + 1
    assert observed()[1] == pytest.approx(total + seconds)


def test_who_connects_to_the_feed_is_told_the_count() -> None:
    node, unread = Node(), Unread()
    reactions.connect(cast(Any, node), cast(Any, unread))
    assert list(node.namespaces) == ["/feed"]
    for callback in node.namespaces["/feed"].callbacks:
        callback(Member("u1"))
    assert unread.marked == ["u1"]


class Log:
    """Answers with two messages, or says that the log does not reach back."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.reaches = True

    async def missed(self, namespace: str, rooms: list[str], **bounds: int) -> list[LoggedMessage] | None:
        self.asked.append((namespace, rooms, bounds))
        return [message(), message("other")] if self.reaches else None

    async def latest(self, **bounds: int) -> list[LoggedMessage]:
        self.asked.append((bounds,))
        return [message()]


async def test_recovery_reads_the_log_in_envelopes() -> None:
    log = Log()
    recovery_log = reactions.RecoveryLog(cast(Any, log))
    bounds = {"after": 1, "until": 9, "limit": 5, "most_bytes": 100}
    found = await recovery_log.missed("/feed", ["user:u1"], **bounds)
    assert found == [reactions.envelope_of(message()), reactions.envelope_of(message("other"))]
    assert await recovery_log.latest(until=9, limit=5, most_bytes=7) == [reactions.envelope_of(message())]
    log.reaches = False
    assert await recovery_log.missed("/feed", ["user:u1"], **bounds) is None
    assert log.asked[:2] == [("/feed", ["user:u1"], bounds), ({"until": 9, "limit": 5, "most_bytes": 7},)]


def test_a_revocation_that_comes_by_the_log_is_known_and_closes_the_users_connections() -> None:
    closed: list[tuple[str, Reason]] = []

    class Closing:
        def disconnect_user(self, user_id: str, reason: Reason) -> int:
            closed.append((user_id, reason))
            return 2

    revocations, passed = Revocations(), list[LoggedMessage]()
    react = reactions.revoke_logged(cast(Any, Closing()), revocations, passed.append)
    control = msgspec.structs.replace(
        message("user:revoked"), namespace="/control", payload='{"user_id":"u1","not_before":1772366400.5}'
    )
    with capture_logs() as logs:
        react(control)
    assert closed == [("u1", Reason.REVOKED)]
    assert revocations.refuses("u1", 1772366400.0)
    assert passed == [control]
    assert [(entry["event"], entry["user"], entry["connections"]) for entry in logs] == [("user.revoked", "u1", 2)]
    react(msgspec.structs.replace(control, name="something:else"))
    react(message())
    assert (len(closed), len(passed)) == (1, 3)
