"""Every JSON shape of the sockets slice that leaves the process, and the catalogue of its messages.

Owns: the shapes. A message by hand has whatever name and object its sender chose, so it is in no catalogue. Never: a
rule; a token, or the Engine.IO id of a connection: whoever knows that one can speak for the client.

Everything here is about one node, the one that `node` names: the others count for themselves.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from callboard.realtime.catalogue import Message, Time

ADMIN = "/admin"

Count = Annotated[int, Meta(ge=0)]
NodeId = Annotated[str, Meta(description="Which process says this; new with each start")]
Transport = Annotated[str, Meta(description="polling or websocket")]
Sid = Annotated[str, Meta(description="The Socket.IO sid: of one connection in one namespace")]


class Accepted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The message is on its way. How many get it is not known here: other nodes deliver too."""

    ok: Literal[True] = True


class Disconnected(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The connection has ended, in every namespace."""

    sid: Sid
    user_id: str
    ok: Literal[True] = True


class ConnectionCounts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Open Engine.IO sessions."""

    total: Count
    limit: Annotated[int, Meta(description="MAX_SOCKET_CONNECTIONS")]
    polling: Count
    websocket: Count
    users: Annotated[int, Meta(ge=0, description="Different users in any namespace")]


class NamespaceCounts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is in one namespace."""

    name: str
    connections: Count
    users: Annotated[int, Meta(ge=0, description="Different users")]
    rooms: Annotated[int, Meta(ge=0, description="Rooms that anybody is in")]


class MessageCounts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Totals since the start."""

    received: Annotated[int, Meta(ge=0, description="Messages of clients that were handled")]
    sent: Annotated[int, Meta(ge=0, description="Messages queued to clients, each receiver counting")]
    dropped: Annotated[int, Meta(ge=0, description="Volatile ones that a slow client did not get")]
    bytes_received: Annotated[int, Meta(ge=0, description="Engine.IO content")]
    bytes_sent: Annotated[int, Meta(ge=0, description="WebSocket frames and long-polling bodies")]


class QueueDepths(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What waits at this moment."""

    unsent_bytes: Annotated[int, Meta(ge=0, description="Not taken by clients")]
    unsent_bytes_max: Annotated[int, Meta(ge=0, description="Of the slowest client")]
    inbox_packets: Annotated[int, Meta(ge=0, description="Of clients, not yet handled")]
    inbox_packets_max: Annotated[int, Meta(ge=0, description="Of the client with the most")]


class LoopLagSeconds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How late the event loop was over the last minute."""

    p50: float
    p99: float
    worst: float


class ProcessUse(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the process has used."""

    cpu_seconds: Annotated[float, Meta(ge=0, description="User and system, since the start")]
    rss_bytes: Annotated[int | None, Meta(description="Resident memory; null where the system does not say")]


class RelayState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """This node and the message log."""

    ready: Annotated[bool, Meta(description="In contact with the log")]
    leading: Annotated[bool, Meta(description="This node moves the outbox into the log")]
    position: Annotated[str | None, Meta(description="{epoch}.{seq}: all up to here was delivered")]
    lag_seconds: Annotated[
        float | None,
        Meta(
            description="Everything committed longer ago than this was delivered; up to about 1 on a quiet node, "
            "null before the first contact"
        ),
    ]


class Statistics(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One node at one moment."""

    node: NodeId
    version: str
    at: Time
    started_at: Time
    uptime_seconds: Annotated[float, Meta(ge=0)]
    connections: ConnectionCounts
    namespaces: list[NamespaceCounts]
    messages: MessageCounts
    queues: QueueDepths
    slow_closes: Annotated[int, Meta(ge=0, description="Connections closed for not taking what they were sent")]
    closed: Annotated[dict[str, int], Meta(description="Ended connections by reason")]
    recoveries: Annotated[dict[str, int], Meta(description="Clients that came back, by outcome")]
    refused: Annotated[dict[str, int], Meta(description="Refused handshakes, connects and messages by code")]
    loop_lag_seconds: LoopLagSeconds
    process: ProcessUse
    relay: RelayState


class ListedConnection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One connection in one namespace."""

    sid: Sid
    namespace: str
    user_id: str
    user_name: str | None
    transport: Transport
    address: Annotated[str, Meta(description="Of the client, behind trusted proxies")]
    connected_at: Time
    rooms: Annotated[int, Meta(ge=0, description="How many rooms it is in")]
    unsent_bytes: Annotated[int, Meta(ge=0, description="Not taken by the client")]


class ConnectionPage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of this node's connections, the newest first."""

    node: NodeId
    items: list[ListedConnection]
    next_cursor: str | None
    position: Annotated[str | None, Meta(description="{epoch}.{seq} up to which this node has delivered")]


class ConnectionChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who came to a namespace or left it."""

    change: Literal["connected", "disconnected"]
    sid: Sid
    namespace: str
    user_id: str
    transport: Transport
    at: Time


class ConnectionChanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What changed within a second, in order; ask the list for the whole."""

    node: NodeId
    connections: Annotated[int, Meta(ge=0, description="Open Engine.IO sessions now")]
    changes: Annotated[list[ConnectionChange], Meta(max_length=100)]
    omitted: Annotated[int, Meta(ge=0, description="Changes of that second that are not in the list")]


class AdminAlert(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator must know."""

    kind: Literal["slow_closes", "refusals", "database_back"]
    message: Annotated[str, Meta(description="A sentence for a person")]
    node: NodeId
    at: Time
    count: Annotated[int | None, Meta(description="How many, within `seconds`")]
    seconds: Annotated[float, Meta(ge=0, description="How long it was watched for, or lasted")]


class StatsRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nothing to say."""


class StatsAcknowledgement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The node that the client is connected to, now."""

    ok: Literal[True]
    stats: Statistics


CATALOGUE: tuple[Message, ...] = (
    Message(
        name="admin:alert",
        namespace=ADMIN,
        kind="durable",
        rooms="role:admin",
        summary=(
            "Something needs an operator's eye: 10 connections closed as `slow`, or 100 refusals, within a minute "
            "(told once in 10 minutes), or the database was away and is back."
        ),
        fields=AdminAlert,
    ),
    Message(
        name="admin:stats",
        namespace=ADMIN,
        kind="volatile",
        rooms="everyone in /admin on this node",
        summary="The node's statistics: on connecting, and every 5 seconds while anybody listens.",
        fields=Statistics,
        key="stats",
    ),
    Message(
        name="admin:connection",
        namespace=ADMIN,
        kind="volatile",
        rooms="everyone in /admin on this node",
        summary=(
            "Connections that came or went, gathered for a second. For watching: what a slow client misses is "
            "not repeated, but `connections` is absolute."
        ),
        fields=ConnectionChanges,
    ),
    Message(
        name="stats",
        namespace=ADMIN,
        kind="client",
        rooms="admins",
        summary="Ask for the statistics now.",
        fields=StatsRequest,
        acknowledgement=StatsAcknowledgement,
    ),
)
