"""Identifiers.

Owns: UUIDv7 (RFC 9562, section 5.7) for rows, and opaque random ids for sessions. Never: an id with meaning
beyond its time order.
"""

from __future__ import annotations

import binascii
import os
import time
from uuid import UUID

# Session ids are made so many at a time: each client that connects gets two.
MADE_TOGETHER = 64

_URLSAFE = bytes.maketrans(b"+/", b"-_")
_AHEAD: list[str] = []


def uuid7(unix_ms: int | None = None) -> UUID:
    """A UUIDv7: 48 bits of Unix milliseconds, then random bits. Sorts by creation, to the millisecond."""
    milliseconds = time.time_ns() // 1_000_000 if unix_ms is None else unix_ms
    value = (milliseconds & (1 << 48) - 1) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)


def session_id() -> str:
    """20 URL-safe characters, 120 random bits: an Engine.IO or Socket.IO sid nobody can guess."""
    if not _AHEAD:
        text = binascii.b2a_base64(os.urandom(15 * MADE_TOGETHER), newline=False).translate(_URLSAFE).decode()
        _AHEAD.extend(text[at : at + 20] for at in range(0, len(text), 20))
    return _AHEAD.pop()


# A child must not give out what its parent does.
os.register_at_fork(after_in_child=_AHEAD.clear)
