"""The bounds of what one client may cost: how much, how many, how long.

Owns: the name, default and range of each of these settings, and what must hold between them. Never: what happens at a
bound (each is enforced where the bytes are), the environment (`settings.py` reads it).
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from callboard.errors import SettingsError
from callboard.setting_values import Reader

# An hour, and 1 GiB: above these a number is a slip of the hand.
_LONG = 3_600_000
_LARGE = 1 << 30
_MANY = 1_000_000


def _setting(name: str, default: int, low: int, high: int) -> int:
    found: int = field(default=default, metadata={"name": name, "range": (low, high)})
    return found


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Bounds of sockets, then of HTTP requests. Times in milliseconds, sizes in bytes.

    The parts that enforce them say what each means: `EngineOptions`, `ClientLimits`, `PacketLimits`, `HttpLimits`.
    """

    ping_interval_ms: int = _setting("SOCKET_PING_INTERVAL", 25_000, 1_000, _LONG)
    ping_timeout_ms: int = _setting("SOCKET_PING_TIMEOUT", 20_000, 1_000, _LONG)
    connect_timeout_ms: int = _setting("SOCKET_CONNECT_TIMEOUT", 10_000, 100, _LONG)
    upgrade_timeout_ms: int = _setting("SOCKET_UPGRADE_TIMEOUT", 10_000, 100, _LONG)

    # A CONNECT holds a token of up to 8 KiB.
    max_payload: int = _setting("SOCKET_MAX_PAYLOAD", 1_000_000, 16_384, _LARGE)
    max_fragments: int = _setting("SOCKET_MAX_FRAGMENTS", 1_024, 1, _MANY)
    max_packets_per_payload: int = _setting("SOCKET_MAX_PACKETS_PER_PAYLOAD", 1_000, 1, _MANY)
    max_attachments: int = _setting("SOCKET_MAX_ATTACHMENTS", 10, 0, 1_000)
    # Deeper JSON would be for the stack of the interpreter to bound.
    max_json_depth: int = _setting("SOCKET_MAX_JSON_DEPTH", 64, 4, 200)
    max_name_length: int = _setting("SOCKET_MAX_NAME_LENGTH", 128, 32, 512)

    max_unsent_bytes: int = _setting("SOCKET_MAX_UNSENT_BYTES", 1 << 20, 65_536, _LARGE)
    max_unsent_volatile_bytes: int = _setting("SOCKET_MAX_UNSENT_VOLATILE_BYTES", 65_536, 0, _LARGE)
    max_held_volatile: int = _setting("SOCKET_MAX_HELD_VOLATILE", 256, 0, _MANY)
    max_waiting_messages: int = _setting("SOCKET_MAX_WAITING_MESSAGES", 1_000, 1, _MANY)
    max_waiting_bytes: int = _setting("SOCKET_MAX_WAITING_BYTES", 4_000_000, 16_384, _LARGE)
    messages_per_second: int = _setting("SOCKET_MESSAGES_PER_SECOND", 100, 1, _MANY)
    messages_burst: int = _setting("SOCKET_MESSAGES_BURST", 200, 4, _MANY)

    max_rooms: int = _setting("SOCKET_MAX_ROOMS", 128, 0, _MANY)
    max_connections_per_user: int = _setting("SOCKET_MAX_CONNECTIONS_PER_USER", 20, 1, _MANY)
    max_unauthenticated_per_address: int = _setting("SOCKET_MAX_UNAUTHENTICATED_PER_ADDRESS", 100, 1, _MANY)

    head_timeout_ms: int = _setting("HTTP_HEAD_TIMEOUT", 10_000, 100, _LONG)
    body_timeout_ms: int = _setting("HTTP_BODY_TIMEOUT", 20_000, 100, _LONG)
    send_timeout_ms: int = _setting("HTTP_SEND_TIMEOUT", 30_000, 100, _LONG)
    keep_alive_ms: int = _setting("HTTP_KEEP_ALIVE", 75_000, 1_000, _LONG)
    min_rate: int = _setting("HTTP_MIN_RATE", 1_000, 1, _LARGE)
    # A head holds a token of up to 8 KiB too, and a browser's own headers.
    max_head_bytes: int = _setting("HTTP_MAX_HEAD_BYTES", 32_768, 12_288, 1 << 20)
    max_body_bytes: int = _setting("HTTP_MAX_BODY_BYTES", 1 << 20, 131_072, _LARGE)
    max_pipelined: int = _setting("HTTP_MAX_PIPELINED", 16, 1, 1_000)


# Of each pair the first may not be over the second: nothing could reach it, or nothing pass.
_PAIRS = (
    ("max_unsent_volatile_bytes", "max_unsent_bytes"),
    ("max_payload", "max_waiting_bytes"),
)


def read_bounds(read: Reader) -> Bounds:
    """All bounds, checked. Raises SettingsError naming the first wrong one."""
    names = {each.name: each.metadata["name"] for each in fields(Bounds)}
    found = Bounds(
        **{
            each.name: read.integer(each.metadata["name"], getattr(Bounds, each.name), *each.metadata["range"])
            for each in fields(Bounds)
        }
    )
    for smaller, larger in _PAIRS:
        if getattr(found, smaller) > getattr(found, larger):
            raise SettingsError(f"{names[smaller]} is over {names[larger]}: lower the one or raise the other")
    return found
