"""Subscriptions: rooms that a client asks for, and that it is in again when it comes back.

Owns: the messages `subscribe` and `unsubscribe`, the question to Access, and which rooms are remembered for recovery.
Never: SQL (`Sessions` is a Protocol), a room that the token gives (the namespace's), a task for one connection.

A room is `kind:…`; each kind has a rule that says who may be in it. `resource:{type}:{id}` is the kernel's; a slice
adds its own kind with `allow`, and its own messages, which call `subscribe` and `unsubscribe`.

What is written before it is acknowledged cannot be lost by a crash; what a crash leaves written without having been
acknowledged is a room that the client did ask for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Annotated, Literal, Protocol

import msgspec
from msgspec import Meta

from callboard import telemetry
from callboard.auth.access import Access
from callboard.auth.principal import Principal
from callboard.errors import Invalid, NotFound, Unavailable
from callboard.realtime.catalogue import Message
from callboard.realtime.namespace import Member, Namespace
from callboard.realtime.recovery import Claim, Head

RESOURCE = "resource"
MAX_RESOURCES = 128
# Seconds between two signs of life of the rooms that connections have, and after a failure. They are forgotten an hour
# after the recovery window (store/sessions.py), so several may fail.
REFRESH = 900.0
RETRY = 60.0
_REFRESHED_TOGETHER = 1_000


class Sessions(Protocol):
    """What clients have subscribed to, by the recovery id of each. Every call may raise Unavailable."""

    async def change(
        self, pid: str, *, user_id: str, namespace: str, added: Collection[str], removed: Collection[str]
    ) -> None:
        """Add rooms and remove rooms, in one statement. Twice is as once."""

    async def find(self, pid: str, *, user_id: str, namespace: str, after: int, issued: int) -> Collection[str] | None:
        """The rooms of a client that comes back; none if it has subscribed to nothing.

        `after`: the number of the last message it has. `issued`: when its pid was, in seconds since 1970. None if what
        it had may be forgotten: nothing shows that it was here within the recovery window.
        """

    async def touch(self, pids: Collection[str]) -> Collection[str]:
        """These are connected: they are not to be forgotten. Those of them that have a record."""


class ResourceRef(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A resource of the host's."""

    type: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$(?!\n)", max_length=64)]
    id: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=200,
            pattern=r"^[^\x00-\x1f\x7f-\x9f\ud800-\udfff]+$(?!\n)",
            description="1 to 200 characters, none of them a control character",
        ),
    ]


class SubscribeRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which resources."""

    resources: Annotated[list[ResourceRef], Meta(min_length=1, max_length=MAX_RESOURCES)]


class SubscribeAcknowledgement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """In the rooms."""

    ok: Literal[True]
    position: Annotated[
        str | None,
        Meta(description="What comes after it comes live: a snapshot of this position or a later one leaves no gap"),
    ]


class UnsubscribeAcknowledgement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Not in the rooms any more."""

    ok: Literal[True]


Rule = Callable[[Principal, str], bool]


class Subscriptions:
    """The subscriptions of one node. Without `sessions` nothing is remembered; `head` is what acknowledgements say."""

    def __init__(
        self,
        access: Access,
        sessions: Sessions | None = None,
        head: Head | None = None,
        *,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._access = access
        self._sessions = sessions
        self._head = head
        self._pause = pause
        self._namespaces: list[Namespace] = []

    def serve(self, namespace: Namespace) -> None:
        """Let clients of a namespace `subscribe` to resources that they may read, and `unsubscribe`."""
        self.allow(namespace, RESOURCE, self.may_read)

        async def subscribe(member: Member, data: dict[str, object]) -> dict[str, object]:
            return {"position": await self.subscribe(member, rooms_of(data))}

        async def unsubscribe(member: Member, data: dict[str, object]) -> dict[str, object]:
            await self.unsubscribe(member, rooms_of(data))
            return {}

        namespace.on("subscribe", subscribe)
        namespace.on("unsubscribe", unsubscribe)

    def allow(self, namespace: Namespace, kind: str, rule: Rule) -> None:
        """Rooms `kind:…` may be subscribed to by whom the rule lets: it is given what stands behind the colon.

        It is asked when a client subscribes, comes back, or renews its token. It must not block and must not raise.
        """
        namespace.rules[kind] = rule
        if namespace not in self._namespaces:
            self._namespaces.append(namespace)

    def may_read(self, principal: Principal, resource: str) -> bool:
        """The rule of `type:id`: Access lets the principal read it."""
        type_, _, id_ = resource.partition(":")
        return self._access.may(principal, "read", type_, id_)

    async def subscribe(self, member: Member, rooms: Collection[str]) -> str | None:
        """Put a client into rooms and remember them; all or none. The position from which they come live.

        Raises NotFound for what it may not be in, which tells nobody whether that exists; Conflict for too many;
        Unavailable.
        """
        for room in rooms:
            if not member.namespace.may_join(member.principal, room):
                raise NotFound(f"there is no {room!r}, or you may not read it")
        new = member.unjoined(rooms)
        await self._remember(member, added=new)
        member.subscribe(*new)
        return None if self._head is None else self._head.position

    async def unsubscribe(self, member: Member, rooms: Collection[str]) -> None:
        """Take a client out of rooms that it subscribed to, and forget them. Raises Unavailable: then it is in them."""
        old = member.subscriptions.intersection(rooms)
        await self._remember(member, removed=old)
        member.unsubscribe(*old)

    async def remembered(self, member: Member, claim: Claim) -> Collection[str] | None:
        """The rooms that a client that comes back has subscribed to.

        None if it cannot recover: they may be forgotten, or it may not be in one of them any more. Raises Unavailable.
        """
        namespace, principal = member.namespace, member.principal
        if self._sessions is None or namespace not in self._namespaces:
            return ()
        rooms = await self._sessions.find(
            claim.pid, user_id=principal.id, namespace=namespace.name, after=claim.after.seq, issued=claim.issued
        )
        if rooms is None or len(rooms) + member.holder.subscribed > namespace.max_rooms:
            return None
        return rooms if all(namespace.may_join(principal, room) for room in rooms) else None

    async def run(self) -> None:
        """Keep what connected clients have from being forgotten, until cancelled. The caller owns the task."""
        while True:
            await self._pause(REFRESH)
            while not await self._refreshed():
                await self._pause(RETRY)

    async def _refreshed(self) -> bool:
        try:
            await self.refresh()
        except Unavailable as error:
            telemetry.log.warning("sessions.failed", reason=error.message, retry_in=RETRY)
            return False
        return True

    async def refresh(self) -> None:
        """Touch the records of all who are connected, and write anew those that are missing. Raises Unavailable."""
        if self._sessions is None:
            return
        live = {
            member.pid: member
            for namespace in self._namespaces
            for member in namespace.hub.select(())
            if member.pid is not None and member.subscriptions
        }
        for pids in _chunks(list(live), _REFRESHED_TOGETHER):
            found = await self._sessions.touch(pids)
            for pid in set(pids).difference(found):
                await self._remember(live[pid], added=live[pid].subscriptions)

    async def _remember(self, member: Member, *, added: Collection[str] = (), removed: Collection[str] = ()) -> None:
        if self._sessions is None or member.pid is None or not (added or removed):
            return
        await self._sessions.change(
            member.pid,
            user_id=member.principal.id,
            namespace=member.namespace.name,
            added=sorted(added),
            removed=sorted(removed),
        )


def rooms_of(data: dict[str, object], kind: str = RESOURCE) -> list[str]:
    """The rooms of a message `{resources: [{type, id}, …]}`, each once. Raises Invalid."""
    try:
        request = msgspec.convert(data, SubscribeRequest)
    except msgspec.ValidationError as error:
        raise Invalid(str(error), field="resources") from None
    return list(dict.fromkeys(f"{kind}:{resource.type}:{resource.id}" for resource in request.resources))


def _chunks(items: list[str], size: int) -> Iterable[list[str]]:
    return (items[at : at + size] for at in range(0, len(items), size))


def catalogue(namespace: str) -> tuple[Message, ...]:
    """What `serve` lets clients of a namespace send."""
    return (
        Message(
            name="subscribe",
            namespace=namespace,
            kind="client",
            rooms="any user, for resources that Access lets them read",
            summary=(
                "Be told about resources: join `resource:{type}:{id}` of each, all or none. Recovery brings them back; "
                "after a connect with `recovered === false` subscribe again. One that may not be read answers "
                "`not_found`, and more than 128 of one connection `too_many_rooms`."
            ),
            fields=SubscribeRequest,
            acknowledgement=SubscribeAcknowledgement,
        ),
        Message(
            name="unsubscribe",
            namespace=namespace,
            kind="client",
            rooms="any user",
            summary="Be told no more. Of one that was not subscribed to: nothing.",
            fields=SubscribeRequest,
            acknowledgement=UnsubscribeAcknowledgement,
        ),
    )


CATALOGUE: tuple[Message, ...] = (*catalogue("/jobs"), *catalogue("/episodes"))
