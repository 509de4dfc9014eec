"""Socket.IO 5 packets: the grammar, binary attachments, and encoding once.

Owns: `Packet`, `Decoder` (text and binary messages in, whole packets out) and the encoders. Never: namespaces
that exist, acknowledgement callbacks, or who is allowed to do what.

    <type>[<attachments>-][<namespace>,][<acknowledgement id>][JSON]
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import msgspec

from callboard.errors import ProtocolError
from callboard.wire.engineio import Outgoing

MAX_ATTACHMENTS = 10
MAX_JSON_DEPTH = 64
MAX_NAME_LENGTH = 128
# The largest whole number that JavaScript can tell from its neighbours.
MAX_ACK_ID = 2**53 - 1

# The stock clients keep these for themselves and refuse or mistake them.
RESERVED_EVENTS = frozenset(
    {"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}
)


class PacketType(IntEnum):
    """The Socket.IO packet types."""

    CONNECT = 0
    DISCONNECT = 1
    EVENT = 2
    ACK = 3
    CONNECT_ERROR = 4
    BINARY_EVENT = 5
    BINARY_ACK = 6


@dataclass(frozen=True, kw_only=True)
class PacketLimits:
    """Bounds of one packet. `max_name_length`: characters of a namespace, and of an event's name."""

    max_attachments: int = MAX_ATTACHMENTS
    max_json_depth: int = MAX_JSON_DEPTH
    max_name_length: int = MAX_NAME_LENGTH


DEFAULT_LIMITS = PacketLimits()


class Packet(msgspec.Struct, frozen=True):
    """One whole packet from a client.

    `type` is never a BINARY_ one: once its attachments are in place, an event is an event. `data` is the
    decoded JSON: an object or None for CONNECT, a list for EVENT (name first) and ACK.
    """

    type: PacketType
    namespace: str
    id: int | None
    data: Any


class Decoder:
    """Turns the Engine.IO messages of one connection into packets.

    Holds at most one packet that waits for its attachments, of at most `max_bytes` together. Any
    ProtocolError leaves it unusable: the connection is to be closed.
    """

    __slots__ = ("_attachments", "_expected", "_limits", "_max_bytes", "_waiting")

    def __init__(self, max_bytes: int, limits: PacketLimits = DEFAULT_LIMITS) -> None:
        self._max_bytes = max_bytes
        self._limits = limits
        self._waiting: Packet | None = None
        self._expected = 0
        self._attachments: list[bytes] = []

    def feed(self, message: str | bytes) -> Packet | None:
        """Take one message; return the packet that it completes, else None. Raises ProtocolError."""
        if isinstance(message, bytes):
            return self._attach(message)
        if self._waiting is not None:
            raise ProtocolError("a text packet came where a binary attachment was expected")
        packet, attachments = decode_head(message, self._limits)
        if attachments == 0:
            return packet
        self._waiting, self._expected = packet, attachments
        return None

    def _attach(self, data: bytes) -> Packet | None:
        waiting = self._waiting
        if waiting is None:
            raise ProtocolError("a binary message came without a packet that announces it")
        self._attachments.append(data)
        if sum(map(len, self._attachments)) > self._max_bytes:
            raise ProtocolError(f"the attachments are over {self._max_bytes} bytes")
        if len(self._attachments) < self._expected:
            return None
        attachments, self._attachments = self._attachments, []
        self._waiting = None
        return Packet(waiting.type, waiting.namespace, waiting.id, _fill(waiting.data, attachments))


def decode_head(text: str, limits: PacketLimits = DEFAULT_LIMITS) -> tuple[Packet, int]:
    """Decode a packet's text and say how many attachments follow it. Raises ProtocolError."""
    match = _HEAD.match(text)
    if match is None:
        raise ProtocolError("malformed Socket.IO packet")
    kind, attachments, namespace, ack_id, body = match.groups()
    packet_type = _TYPES[kind]
    binary = packet_type in _PLAIN
    count = _attachment_count(binary, attachments, limits.max_attachments) if binary or attachments else 0
    path = "/" if namespace is None else _namespace(namespace, limits.max_name_length)
    packet_id = None if ack_id is None else _ack_id(ack_id)
    data = decode_json(body, limits.max_json_depth) if body else None
    _check_data(packet_type, packet_id, data, bool(body), limits.max_name_length)
    if count:
        _check_placeholders(data, count)
    return Packet(_PLAIN.get(packet_type, packet_type), path, packet_id, data), count


def encode_event(namespace: str, name: str, payload: bytes, position: str | None = None) -> Outgoing:
    """An EVENT `[name, payload]`, or `[name, payload, position]` for a durable one.

    `payload` is a JSON object in UTF-8 and is sent as it is. `position` goes last because Socket.IO's
    connection state recovery takes a trailing string for the offset.
    """
    tail = b"]" if position is None else b"," + msgspec.json.encode(position) + b"]"
    return Outgoing(_event_head(namespace, name) + payload + tail)


def encode_args(packet_type: PacketType, namespace: str, args: list[Any], packet_id: int | None = None) -> Outgoing:
    """An EVENT or ACK with any JSON values and bytes; bytes become attachments."""
    attachments: list[bytes] = []
    data = msgspec.json.encode(_extract(args, attachments))
    number = b"" if packet_id is None else b"%d" % packet_id
    if not attachments:
        return Outgoing(b"4%d" % packet_type + _path(namespace) + number + data)
    head = b"4%d%d-" % (_BINARY[packet_type], len(attachments))
    return Outgoing(head + _path(namespace) + number + data, tuple(attachments))


def encode_ack(namespace: str, packet_id: int, payload: bytes) -> Outgoing:
    """An ACK of one argument, a JSON value already encoded."""
    return Outgoing(b"43" + _path(namespace) + b"%d[" % packet_id + payload + b"]")


def encode_connect(namespace: str, sid: str, pid: str | None = None) -> Outgoing:
    """The server's CONNECT: the namespace is joined. `pid` is the id for connection state recovery.

    Both ids: nothing that JSON would escape.
    """
    path = "" if namespace == "/" else namespace + ","
    data = f'{{"sid":"{sid}"}}' if pid is None else f'{{"sid":"{sid}","pid":"{pid}"}}'
    return Outgoing(f"40{path}{data}".encode())


def encode_connect_error(namespace: str, message: str, data: dict[str, Any] | None = None) -> Outgoing:
    """The namespace is refused. The stock client does not try again by itself."""
    body = {"message": message} if data is None else {"message": message, "data": data}
    return Outgoing(b"44" + _path(namespace) + msgspec.json.encode(body))


def encode_disconnect(namespace: str) -> Outgoing:
    """The server ends the client's membership of a namespace."""
    return Outgoing(b"41" + _path(namespace))


def decode_json(body: str | bytes, max_depth: int = MAX_JSON_DEPTH) -> Any:
    """Decode JSON from a client: at most `max_depth` deep, no NaN or Infinity. Raises ProtocolError."""
    try:
        data = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise ProtocolError("malformed JSON in a packet") from None
    opened = body.count("[") + body.count("{") if isinstance(body, str) else body.count(b"[") + body.count(b"{")
    if opened > max_depth and _depth(data) > max_depth:
        raise ProtocolError(f"JSON is nested deeper than {max_depth}")
    return data


_HEAD = re.compile(
    r"([0-6])"
    r"(?:(\d{1,6})-)?"
    r"(/[^,]{0,512}(?:,|\Z))?"
    r"(\d{1,20})?"
    r"(.*)\Z",
    re.ASCII | re.DOTALL,
)
_TYPES = {str(kind.value): kind for kind in PacketType}
_CONNECT = PacketType.CONNECT  # an enum's members are looked up by Python code
_PLAIN = {PacketType.BINARY_EVENT: PacketType.EVENT, PacketType.BINARY_ACK: PacketType.ACK}
_BINARY = {PacketType.EVENT: PacketType.BINARY_EVENT, PacketType.ACK: PacketType.BINARY_ACK}


@functools.lru_cache(maxsize=256)
def _event_head(namespace: str, name: str) -> bytes:
    return b"42" + _path(namespace) + b"[" + msgspec.json.encode(name) + b","


def _path(namespace: str) -> bytes:
    return b"" if namespace == "/" else namespace.encode() + b","


def _attachment_count(binary: bool, attachments: str | None, most: int) -> int:
    if not binary:
        raise ProtocolError("only a binary packet announces attachments")
    if attachments is None:
        raise ProtocolError("a binary packet must say how many attachments it has")
    count = int(attachments)
    if not 1 <= count <= most:
        raise ProtocolError(f"a binary packet has attachments, and at most {most}")
    return count


def _namespace(namespace: str, longest: int) -> str:
    path = namespace.removesuffix(",").partition("?")[0]
    if len(path) > longest:
        raise ProtocolError(f"a namespace has at most {longest} characters")
    if '"' in path:
        # JSON without the comma before it: perhaps a token, which must not go on as a name that is logged.
        raise ProtocolError("a namespace has no quotation marks")
    return path


def _ack_id(number: str) -> int:
    value = int(number)
    if value > MAX_ACK_ID:
        raise ProtocolError("the acknowledgement id is too large")
    return value


def _depth(data: Any) -> int:
    """Nesting of containers, walked level by level so that hostile depth cannot exhaust the stack."""
    depth, level = 0, [data]
    while level := [value for value in level if isinstance(value, list | dict)]:
        depth += 1
        level = [child for value in level for child in (value.values() if isinstance(value, dict) else value)]
    return depth


def _check_data(packet_type: PacketType, packet_id: int | None, data: Any, present: bool, longest: int) -> None:
    if packet_type is _CONNECT:
        if (present and not isinstance(data, dict)) or packet_id is not None:
            raise ProtocolError("CONNECT takes an object or nothing")
    elif packet_type is PacketType.CONNECT_ERROR:
        raise ProtocolError("a client does not send this packet type")
    elif packet_type is PacketType.DISCONNECT:
        if present or packet_id is not None:
            raise ProtocolError("DISCONNECT takes no data")
    elif not isinstance(data, list):
        raise ProtocolError("an event or an acknowledgement is a list")
    elif packet_type in (PacketType.ACK, PacketType.BINARY_ACK):
        if packet_id is None:
            raise ProtocolError("an acknowledgement has no id")
    else:
        _check_event_name(data, longest)


def _check_event_name(data: list[Any], longest: int) -> None:
    if not data or not isinstance(data[0], str):
        raise ProtocolError("an event begins with its name")
    if data[0] in RESERVED_EVENTS:
        raise ProtocolError("the event's name is reserved")
    if len(data[0]) > longest:
        raise ProtocolError(f"an event's name has at most {longest} characters")


def _check_placeholders(data: Any, count: int) -> None:
    numbers: list[Any] = []
    _find_placeholders(data, numbers)
    if len(numbers) != count or any(type(n) is not int for n in numbers) or set(numbers) != set(range(count)):
        raise ProtocolError("the placeholders do not match the attachments")


def _find_placeholders(data: Any, found: list[Any]) -> None:
    if isinstance(data, list):
        for value in data:
            _find_placeholders(value, found)
    elif isinstance(data, dict):
        if data.get("_placeholder") is True:
            found.append(data.get("num"))
            return
        for value in data.values():
            _find_placeholders(value, found)


def _fill(data: Any, attachments: list[bytes]) -> Any:
    """Replace each placeholder by its attachment. The placeholders were checked when the head came."""
    if isinstance(data, list):
        return [_fill(value, attachments) for value in data]
    if isinstance(data, dict):
        if data.get("_placeholder") is True:
            return attachments[data["num"]]
        return {key: _fill(value, attachments) for key, value in data.items()}
    return data


def _extract(data: Any, attachments: list[bytes]) -> Any:
    """Replace bytes by placeholders, collecting them in order."""
    if isinstance(data, bytes):
        attachments.append(data)
        return {"_placeholder": True, "num": len(attachments) - 1}
    if isinstance(data, list):
        return [_extract(value, attachments) for value in data]
    if isinstance(data, dict):
        return {key: _extract(value, attachments) for key, value in data.items()}
    return data
