"""Engine.IO 4 packets and payloads.

Owns: the packet types, decoding of a text packet and of a long-polling payload, and `Outgoing`, a message
encoded once for every transport. Never: what a message means (that is Socket.IO), or the life of a session.

A packet is a character for its type and its data ("4hello"). On WebSocket a binary message is a bare binary
frame; in a long-polling payload it is "b" and base64. Packets of a payload are joined by U+001E.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

import msgspec

from callboard.errors import ProtocolError
from callboard.wire import frames

SEPARATOR = b"\x1e"
MAX_PACKETS_PER_PAYLOAD = 1_000

_TEXT = frames.Opcode.TEXT  # an enum's members are looked up by Python code


class PacketType(StrEnum):
    """The Engine.IO packet types, as they stand on the wire."""

    OPEN = "0"
    CLOSE = "1"
    PING = "2"
    PONG = "3"
    MESSAGE = "4"
    UPGRADE = "5"
    NOOP = "6"


class Packet(NamedTuple):
    """One decoded packet. `data` is bytes for a binary message, else the text after the type."""

    type: PacketType
    data: str | bytes


class Handshake(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What an OPEN packet tells the client; intervals in milliseconds, `max_payload` in bytes."""

    sid: str
    upgrades: tuple[str, ...]
    ping_interval: int
    ping_timeout: int
    max_payload: int


class Outgoing:
    """A message encoded once for all its receivers, framed on first use for each kind of transport.

    `text` is a whole Engine.IO text packet in UTF-8; `attachments` are the binary messages that follow it,
    which must leave directly behind it. Immutable by convention: it is shared by every connection it goes to.
    """

    __slots__ = ("_frame", "_payload", "attachments", "text")

    def __init__(self, text: bytes, attachments: tuple[bytes, ...] = ()) -> None:
        self.text = text
        self.attachments = attachments
        self._frame: bytes | None = None
        self._payload: bytes | None = None

    @property
    def frame(self) -> bytes:
        """The WebSocket frames of this message, ready to write."""
        if self._frame is None:
            self._frame = frames.encode(_TEXT, self.text)
            if self.attachments:
                parts = [frames.encode(frames.Opcode.BINARY, data) for data in self.attachments]
                self._frame = b"".join([self._frame, *parts])
        return self._frame

    @property
    def payload(self) -> bytes:
        """The message as a part of a long-polling payload."""
        if self._payload is None:
            binary = [b"b" + base64.b64encode(data) for data in self.attachments]
            self._payload = SEPARATOR.join([self.text, *binary])
        return self._payload

    @property
    def size(self) -> int:
        """Bytes of content, for bounds."""
        return len(self.text) + sum(map(len, self.attachments))


class BinaryMessage(Outgoing):
    """A lone binary Engine.IO message, with no text packet before it."""

    __slots__ = ()

    def __init__(self, data: bytes) -> None:
        super().__init__(b"", (data,))

    @property
    def frame(self) -> bytes:
        return frames.encode(frames.Opcode.BINARY, self.attachments[0])

    @property
    def payload(self) -> bytes:
        return b"b" + base64.b64encode(self.attachments[0])


class Frames(Outgoing):
    """Bytes of frames, for a WebSocket's transport alone: it has no `text`."""

    __slots__ = ()

    def __init__(self, data: bytes) -> None:
        super().__init__(b"")
        self._frame = data


PING = Outgoing(b"2")
PROBE_ANSWER = Outgoing(b"3probe")
CLOSE = Outgoing(b"1")
NOOP = Outgoing(b"6")


def open_packet(handshake: Handshake) -> Outgoing:
    """The first packet of a session."""
    return Outgoing(b"0" + msgspec.json.encode(handshake))


class Opening:
    """First packets that differ in their sid alone."""

    __slots__ = ("_before", "_behind")

    def __init__(self, handshake: Handshake) -> None:
        """`handshake`: of any of the sessions, with an empty sid."""
        before, quotes, behind = open_packet(handshake).text.partition(b'""')
        self._before, self._behind = before + quotes[:1], quotes[1:] + behind

    def packet(self, sid: str) -> Outgoing:
        """The first packet of this session. `sid`: nothing that JSON would escape."""
        return Outgoing(self._before + sid.encode() + self._behind)


def decode_packet(text: str) -> Packet:
    """Decode one text packet. Raises ProtocolError for an empty packet or an unknown type."""
    try:
        return Packet(_TYPES[text[:1]], text[1:])
    except KeyError:
        raise ProtocolError("unknown Engine.IO packet type") from None


def decode_payload(body: bytes, max_packets: int = MAX_PACKETS_PER_PAYLOAD) -> list[Packet]:
    """Decode the body of a long-polling request: one packet or several.

    Raises ProtocolError if any part is not a packet; nothing of such a payload is to be used.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise ProtocolError("the payload is not UTF-8") from None
    if text.count("\x1e") >= max_packets:
        raise ProtocolError(f"more than {max_packets} packets in one payload")
    return [_decode_part(part) for part in text.split("\x1e")]


def encode_payload(batch: Iterable[Outgoing]) -> bytes:
    """The body of a long-polling answer."""
    return SEPARATOR.join([outgoing.payload for outgoing in batch])


def _decode_part(part: str) -> Packet:
    if not part.startswith("b"):
        return decode_packet(part)
    try:
        return Packet(PacketType.MESSAGE, base64.b64decode(part[1:], validate=True))
    except (binascii.Error, ValueError):
        raise ProtocolError("a binary packet is not base64") from None


_TYPES = {kind.value: kind for kind in PacketType}
