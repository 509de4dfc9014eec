"""What each part is told of the settings.

Owns: the one place where settings become the options of the parts that they are about, with the parts' own units.
Never: a default (settings have them), a check.
"""

from __future__ import annotations

from callboard.bounds import Bounds
from callboard.notifications.preferences_store import NotificationSettings
from callboard.realtime.engine import EngineOptions
from callboard.realtime.limits import ClientLimits
from callboard.settings import Settings
from callboard.transports.http import HttpLimits
from callboard.wire.socketio import PacketLimits


def engine_options(settings: Settings) -> EngineOptions:
    """The bounds of connections and their bytes."""
    bounds = settings.bounds
    return EngineOptions(
        ping_interval=bounds.ping_interval_ms / 1000,
        ping_timeout=bounds.ping_timeout_ms / 1000,
        max_payload=bounds.max_payload,
        max_fragments=bounds.max_fragments,
        max_packets=bounds.max_packets_per_payload,
        max_connections=settings.max_socket_connections,
        max_unaccepted=bounds.max_unauthenticated_per_address,
        max_unsent=bounds.max_unsent_bytes,
        max_unsent_volatile=bounds.max_unsent_volatile_bytes,
        max_held=bounds.max_held_volatile,
        upgrade_timeout=bounds.upgrade_timeout_ms / 1000,
        io_uring=settings.io_uring,
    )


def client_limits(bounds: Bounds) -> ClientLimits:
    """The bounds of what one client asks for."""
    return ClientLimits(
        connect_timeout=bounds.connect_timeout_ms / 1000,
        max_inbox=bounds.max_waiting_messages,
        max_inbox_bytes=bounds.max_waiting_bytes,
        max_rooms=bounds.max_rooms,
        max_connections_per_user=bounds.max_connections_per_user,
        messages_per_second=bounds.messages_per_second,
        burst=bounds.messages_burst,
        packets=PacketLimits(
            max_attachments=bounds.max_attachments,
            max_json_depth=bounds.max_json_depth,
            max_name_length=bounds.max_name_length,
        ),
    )


def http_limits(bounds: Bounds) -> HttpLimits:
    """The bounds of requests."""
    return HttpLimits(
        head_timeout=bounds.head_timeout_ms / 1000,
        body_timeout=bounds.body_timeout_ms / 1000,
        send_timeout=bounds.send_timeout_ms / 1000,
        min_rate=bounds.min_rate,
        max_head=bounds.max_head_bytes,
        max_pipelined=bounds.max_pipelined,
    )


def notification_settings(settings: Settings) -> NotificationSettings:
    """What the database is told, for SQL callers too."""
    return NotificationSettings(
        rate_limit=settings.notification_rate_limit,
        rate_overflow=settings.notification_rate_overflow,
        batch_size=settings.notification_batch_size,
        batch_timeout_ms=settings.notification_batch_timeout_ms,
        types=None if settings.notification_types is None else sorted(settings.notification_types),
    )
