"""Identifiers.

Owns: UUIDv7 (RFC 9562, section 5.7) for rows, and opaque random ids for sessions. Never: an id with meaning
beyond its time order.
"""

from __future__ import annotations

import binascii
import os
import time
from uuid import UUID

_URLSAFE = bytes.maketrans(b"+/", b"-_")


def uuid7(unix_ms: int | None = None) -> UUID:
    """A UUIDv7: 48 bits of Unix milliseconds, then random bits. Sorts by creation, to the millisecond."""
    milliseconds = time.time_ns() // 1_000_000 if unix_ms is None else unix_ms
    value = (milliseconds & (1 << 48) - 1) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)


def session_id() -> str:
    """20 URL-safe characters, 120 random bits: an Engine.IO or Socket.IO sid nobody can guess."""
    return binascii.b2a_base64(os.urandom(15), newline=False).translate(_URLSAFE).decode()
