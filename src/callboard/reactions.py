"""The complete list of "when this happens in one place, do that in another".

Owns: the wiring between the relay, the node and the slices. Never: a rule of a slice; each reaction is one call.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import msgspec

from callboard import telemetry
from callboard.auth.revocations import Revocations
from callboard.clock import Clock
from callboard.notifications.unread_counts import UnreadCounts
from callboard.realtime.broker import Envelope
from callboard.realtime.connection import Reason
from callboard.realtime.namespace import Member
from callboard.realtime.node import Node
from callboard.store.message_log import MessageLog
from callboard.store.outbox import LoggedMessage
from callboard.store.revocations import CONTROL, REVOKED, Revoked

FEED = "/feed"
_USER_ROOM = "user:"
_DELETED = "notification:deleted"


def envelope_of(message: LoggedMessage) -> Envelope:
    """A message of the log as what goes to connections."""
    return Envelope(
        namespace=message.namespace,
        rooms=message.rooms,
        name=message.name,
        payload=message.payload.encode(),
        position=message.position,
    )


class RecoveryLog:
    """The message log as recovery reads it: in envelopes."""

    def __init__(self, log: MessageLog) -> None:
        self._log = log

    async def missed(
        self, namespace: str, rooms: Collection[str], *, after: int, until: int, limit: int, most_bytes: int
    ) -> list[Envelope] | None:
        """See realtime.recovery.Log."""
        found = await self._log.missed(namespace, rooms, after=after, until=until, limit=limit, most_bytes=most_bytes)
        return None if found is None else [envelope_of(message) for message in found]

    async def latest(self, *, until: int, limit: int, most_bytes: int) -> list[Envelope]:
        """See realtime.recovery.Log."""
        newest = await self._log.latest(until=until, limit=limit, most_bytes=most_bytes)
        return [envelope_of(message) for message in newest]


def deliver_logged(node: Node, unread: UnreadCounts, clock: Clock) -> Callable[[LoggedMessage], None]:
    """A committed message goes to its rooms here; one about a single person's notifications renews their count.

    A batch renews no counts: every recipient's client counts its own `notification:new`. What goes away renews them
    all: a client does not know whether one that it never loaded was read.
    """

    def deliver(message: LoggedMessage) -> None:
        receivers = node.deliver(envelope_of(message))
        if not receivers:
            return
        telemetry.COMMIT_TO_WRITE.observe(max(0.0, (clock.now() - message.created_at).total_seconds()))
        if message.name == _DELETED or (len(message.rooms) == 1 and message.name.startswith("notification:")):
            for room in message.rooms:
                if room.startswith(_USER_ROOM):
                    unread.mark(room.removeprefix(_USER_ROOM))

    return deliver


def revoke_logged(
    node: Node, revocations: Revocations, deliver: Callable[[LoggedMessage], None]
) -> Callable[[LoggedMessage], None]:
    """A revocation that comes by the log refuses the user's tokens here and closes the user's connections.

    Every message goes on to `deliver`, since recovery counts them; no client can be in the namespace of this one.
    """

    def react(message: LoggedMessage) -> None:
        deliver(message)
        if message.namespace == CONTROL and message.name == REVOKED:
            revoked = msgspec.json.decode(message.payload, type=Revoked)
            revocations.add(revoked.user_id, revoked.not_before)
            closed = node.disconnect_user(revoked.user_id, Reason.REVOKED)
            telemetry.log.info("user.revoked", user=revoked.user_id, connections=closed)

    return react


def connect(node: Node, unread: UnreadCounts) -> None:
    """Who connects to the feed is told their unread count."""

    def renew(member: Member) -> None:
        unread.mark(member.principal.id)

    node.namespace(FEED).on_connect(renew)
