"""Positions in the log, and the recovery ids (`pid`) that carry one.

Owns: their texts, and the MAC by which a pid is one of ours. Never: what may be recovered with it (`recovery.py`).
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import hmac
import os
import struct
from typing import NamedTuple

_MAC_BYTES = 16
_PID_BYTES = 8 + 8 + 10 + _MAC_BYTES  # a multiple of three: one text for each pid, which is a key of the database
_PID_TEXT = _PID_BYTES * 4 // 3
_NUMBERS = struct.Struct(">QQ")
_URLSAFE = bytes.maketrans(b"+/", b"-_")
_MAX_SEQ = 2**63 - 1


class Position(NamedTuple):
    """A place in the log: the log's name and the number of the last message before it."""

    epoch: str
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.seq}"


class Issue(NamedTuple):
    """What a pid carries: the position and the time, in seconds since 1970, at which it was given."""

    seq: int
    at: int


def parse_position(text: object) -> Position | None:
    """A position as clients send it; None if it is none."""
    if not isinstance(text, str) or len(text) > 100:
        return None
    epoch, _, number = text.rpartition(".")
    if not epoch or not (number.isascii() and number.isdigit()) or int(number) > _MAX_SEQ:
        return None
    return Position(epoch, int(number))


class Pids:
    """Makes and checks recovery ids.

    A pid is good for one user, one namespace and one log: all three are under its MAC and none is in it.
    """

    def __init__(self, key: bytes) -> None:
        # BLAKE2 with a key is a MAC, at a quarter of an HMAC's cost; every client that connects is given one.
        self._begun = hashlib.blake2b(key=hashlib.blake2b(key).digest(), digest_size=_MAC_BYTES)

    def make(self, position: Position, namespace: str, user_id: str, *, at: int) -> str:
        """A new pid for a client whose messages come live from `position` on. `at`: now."""
        body = _NUMBERS.pack(position.seq, at) + os.urandom(10)
        pid = body + self._mac(body, position.epoch, namespace, user_id)
        return binascii.b2a_base64(pid, newline=False).translate(_URLSAFE).decode()

    def check(self, pid: object, epoch: str, namespace: str, user_id: str) -> Issue | None:
        """What the pid carries, or None if it is not this user's, namespace's and log's."""
        if not isinstance(pid, str) or len(pid) != _PID_TEXT or not pid.isascii():
            return None
        try:
            raw = base64.b64decode(pid, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(body, epoch, namespace, user_id)):
            return None
        return Issue(*_NUMBERS.unpack_from(body))

    def _mac(self, body: bytes, epoch: str, namespace: str, user_id: str) -> bytes:
        mac = self._begun.copy()
        mac.update(body + _context(epoch, namespace) + _counted(user_id))
        return mac.digest()


@functools.lru_cache(maxsize=64)
def _context(epoch: str, namespace: str) -> bytes:
    return _counted(epoch) + _counted(namespace)


def _counted(text: str) -> bytes:
    """The text behind its length, which keeps ("a", "bc") and ("ab", "c") apart."""
    data = text.encode()
    return len(data).to_bytes(4, "big") + data
