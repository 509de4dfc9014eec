"""What is fuzzed: every decoder of `callboard.wire`, and the reader of upgrade requests, fed any bytes.

Each target raises only for a defect: an exception that is no ProtocolError, or a result that breaks a rule. The seeds
are made here, so that a corpus need not be kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httptools
import msgspec

from callboard.errors import ProtocolError
from callboard.transports.front import plain_upgrade
from callboard.wire import engineio, socketio
from callboard.wire.engineio import Packet, PacketType, decode_packet, decode_payload
from callboard.wire.fragments import MessageAssembler
from callboard.wire.frames import MAX_CONTROL, FrameError, Opcode, decode, decode_close
from callboard.wire.session import Due, Session, State
from callboard.wire.socketio import MAX_ACK_ID, MAX_ATTACHMENTS, MAX_JSON_DEPTH, MAX_NAME_LENGTH, Decoder

BOUND = 64
INTERVAL, TIMEOUT = 25.0, 20.0


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One decoder: a function that takes any bytes, and bytes to begin with."""

    target: Callable[[bytes], None]
    seeds: tuple[bytes, ...]


def frames(data: bytes) -> None:
    """Two bytes of head (the first byte of a frame, and a length), then the data; and again."""
    assembler = MessageAssembler(BOUND)
    while len(data) >= 2:
        head, length = data[0], data[1]
        piece, data = data[2 : 2 + length], data[2 + length :]
        try:
            message = assembler.feed(head & 0xF, bool(head & 0x80), piece)
        except FrameError:
            return
        assert assembler.in_message is (message is None)
        if message is not None:
            assert len(message.encode() if isinstance(message, str) else message) <= BOUND


def client_frames(data: bytes) -> None:
    """What a client sends: read frame by frame, and the same when it comes byte by byte."""
    read, place, error = _read_frames(data)
    for cut in range(min(len(data), 32)):
        some, at, early = _read_frames(data[:cut])
        assert some == read[: len(some)]
        assert early is None or (error is not None and at == place)
    assert all(len(payload) <= max(BOUND, MAX_CONTROL) for _, _, payload in read)


def _read_frames(data: bytes) -> tuple[list[tuple[int, bool, bytes]], int, FrameError | None]:
    read: list[tuple[int, bool, bytes]] = []
    place = 0
    try:
        while (frame := decode(data, place, BOUND)) is not None:
            read.append((frame.opcode, frame.fin, frame.payload))
            assert place < frame.end <= len(data)
            place = frame.end
            if frame.opcode == Opcode.CLOSE:
                decode_close(frame.payload)
    except FrameError as error:
        return read, place, error
    return read, place, None


def packet(data: bytes) -> None:
    """One Engine.IO text packet, lone surrogates included."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        decoded = decode_packet(text)
    except ProtocolError:
        return
    assert isinstance(decoded.data, str)
    assert decoded.type.value + decoded.data == text


def payload(data: bytes) -> None:
    """The body of a long-polling POST."""
    try:
        packets = decode_payload(data)
    except ProtocolError:
        return
    assert 1 <= len(packets) <= engineio.MAX_PACKETS_PER_PAYLOAD
    outgoing = [
        engineio.BinaryMessage(each.data)
        if isinstance(each.data, bytes)
        else engineio.Outgoing((each.type.value + each.data).encode())
        for each in packets
    ]
    assert decode_payload(engineio.encode_payload(outgoing)) == packets


def socket_io(data: bytes) -> None:
    """Messages of one connection, apart by U+001E; one that begins with "b" is binary."""
    decoder = Decoder(BOUND)
    for part in data.split(b"\x1e"):
        message = part[1:] if part.startswith(b"b") else _text(part)
        try:
            decoded = decoder.feed(message)
        except ProtocolError:
            return
        if decoded is not None:
            _check_packet(decoded)


def _text(part: bytes) -> str:
    """Any text: lone surrogates, too."""
    try:
        return part.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return part.decode("utf-8", "replace")


def json(data: bytes) -> None:
    """JSON by itself, as bytes."""
    try:
        value = socketio.decode_json(data)
    except ProtocolError:
        return
    _check_value(value)
    assert msgspec.json.decode(msgspec.json.encode(value)) == value


def session(data: bytes) -> None:
    """Steps of an Engine.IO session: a packet, a probe, or time that passes."""
    now = 0.0
    subject = Session("s1", State.POLLING, now=now, ping_interval=INTERVAL, ping_timeout=TIMEOUT)
    pings = 0
    for step in data:
        now += (step >> 4) * 2.0
        _step(subject, step & 0xF, now)
        due = subject.due(now)
        pings += due is Due.PING
        if due is Due.TIMEOUT:
            assert pings
            return
        # Whatever happens, the heartbeat's next moment is near, and the caller learns of it.
        assert now < subject.deadline <= now + INTERVAL + TIMEOUT


class _Heard:
    """A request as httptools reads it. A header that comes twice is None."""

    def __init__(self, data: bytes) -> None:
        self.url = b""
        self.headers: dict[bytes, bytes | None] = {}
        self.parser = httptools.HttpRequestParser(self)
        self.behind = b""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.behind = data[upgrade.args[0] :]

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self.headers[name] = None if name in self.headers else value.rstrip(b" \t")


def upgrade(data: bytes) -> None:
    """An upgrade request: what is taken for one means the same to a strict parser."""
    found = plain_upgrade(data)
    if found is None:
        return
    heard = _Heard(data)
    assert heard.parser.get_method() == b"GET"
    assert heard.parser.should_upgrade()
    assert (heard.url, heard.behind) == (found.target, found.behind)
    for name, value in found.headers.items():
        assert heard.headers[name.encode()] == value.encode("latin-1")


def _step(subject: Session, step: int, now: float) -> None:
    before = subject.state
    try:
        if step < 7:
            subject.receive(Packet(list(PacketType)[step], ""), now)
            assert subject.state in (before, State.CLOSED)
        elif step < 10:
            complete = subject.probe(("2probe", "5", "4a")[step - 7])
            assert (before, subject.state) == (
                (State.PROBING, State.WEBSOCKET) if complete else (State.POLLING, State.PROBING)
            )
        elif step < 12:
            subject.abandon_probe()
            assert subject.state is (State.POLLING if before is State.PROBING else before)
    except ProtocolError:
        assert subject.state is before


def _check_packet(decoded: socketio.Packet) -> None:
    assert decoded.type in (
        socketio.PacketType.CONNECT,
        socketio.PacketType.DISCONNECT,
        socketio.PacketType.EVENT,
        socketio.PacketType.ACK,
    )
    assert decoded.namespace.startswith("/")
    assert len(decoded.namespace) <= MAX_NAME_LENGTH
    assert not set(decoded.namespace) & set(',?"')
    assert decoded.id is None or 0 <= decoded.id <= MAX_ACK_ID
    _check_value(decoded.data)
    if decoded.type is socketio.PacketType.EVENT:
        assert isinstance(decoded.data[0], str)
        assert decoded.data[0] not in socketio.RESERVED_EVENTS
        _check_round_trip(decoded)


def _check_round_trip(decoded: socketio.Packet) -> None:
    """What was taken can be sent, and is then taken for the same; but for objects that look like placeholders."""
    try:
        outgoing = socketio.encode_args(socketio.PacketType.EVENT, decoded.namespace, decoded.data, decoded.id)
    except UnicodeEncodeError:
        assert any("\ud800" <= character <= "\udfff" for character in decoded.namespace)
        return
    if b"_placeholder" in outgoing.text and len(outgoing.attachments) != outgoing.text.count(b"_placeholder"):
        return
    again = Decoder(BOUND * MAX_ATTACHMENTS)
    result = again.feed(outgoing.text[1:].decode())
    for attachment in outgoing.attachments:
        assert result is None
        result = again.feed(attachment)
    assert result == decoded


def _check_value(value: Any) -> None:
    """JSON's own types (and bytes), finite, and no deeper than allowed."""
    level, depth = [value], 0
    while level:
        depth += any(isinstance(each, list | dict) for each in level)
        for each in level:
            assert isinstance(each, str | int | float | bool | None | list | dict | bytes)
            assert not isinstance(each, float) or math.isfinite(each)
        level = [child for each in level for child in _children(each)]
    assert depth <= MAX_JSON_DEPTH


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _frame(head: int, data: bytes) -> bytes:
    return bytes([head, len(data)]) + data


def _masked(head: int, data: bytes) -> bytes:
    key = b"\x01\x80\x00\xff"
    return bytes([head, 0x80 | len(data)]) + key + bytes(byte ^ key[n % 4] for n, byte in enumerate(data))


_BINARY = b'52-/feed,7["e",{"a":[{"_placeholder":true,"num":1}]},{"_placeholder":true,"num":0}]'

_UPGRADE = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\n"
    b"upgrade: websocket\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-version: 13\r\n\r\n"
)

ENTRIES: dict[str, Entry] = {
    "frames": Entry(
        target=frames,
        seeds=(
            _frame(0x80 | Opcode.TEXT, "größe😀".encode()),
            _frame(Opcode.TEXT, b"\xf0\x9f") + _frame(0, b"\x98") + _frame(0x80, b"\x80"),
            _frame(Opcode.BINARY, b"\xff" * 40) + _frame(0x80, b"\x00" * 24) + _frame(0x80 | Opcode.BINARY, b""),
            _frame(0x80 | Opcode.PING, b"") + _frame(0x80, b"x"),
            _frame(Opcode.TEXT, b"\xed") + _frame(0x80, b"\xa0\x80"),
        ),
    ),
    "client_frames": Entry(
        target=client_frames,
        seeds=(
            _masked(0x81, b"4hello") + _masked(0x89, b"ping") + _masked(0x88, b"\x03\xe8bye"),
            _masked(0x01, b"4he") + _masked(0x8A, b"") + _masked(0x80, b"llo"),
            b"\x82\xfe\x00\x40abcd" + bytes(64) + _masked(0x88, b""),
            b"\x82\xff" + (65_536).to_bytes(8, "big") + b"abcd",
            b"\x82\xfe\x00\x7dabcd" + bytes(125),
            _masked(0x88, b"\x03\xed"),
            _masked(0xC1, b"reserved") + _masked(0x83, b"unknown"),
            b"\x81\x02no",
        ),
    ),
    "packet": Entry(target=packet, seeds=(b"2probe", b"4hello", b"3", b"", b"5", b"4\xff")),
    "payload": Entry(target=payload, seeds=(b"4a\x1e3\x1ebAQID\x1e4", b"b", b"2probe", b"bAQ==\x1ebAQI=", b"\x1e")),
    "socketio": Entry(
        target=socket_io,
        seeds=(
            b"0",
            b'0/feed?a=1,{"token":"t"}',
            b"1/feed,",
            b'2/feed,12["e",{"a":[1,2.5,null,true,"\\ud83d\\ude00"]}]\x1e2["f"]',
            b"3/feed,12[]",
            _BINARY + b'\x1ebzero\x1ebone\x1e2["e"]',
            b'61-1[{"_placeholder":true,"num":0}]\x1eb',
            b'2["e",' + b"[" * 63 + b"]" * 64,
            '2["e","\ud800"]'.encode("utf-8", "surrogatepass"),
            b'2["e",1e999,NaN,123456789012345678901234567890]',
            '2/größe,["ß"]'.encode(),
        ),
    ),
    "json": Entry(
        target=json,
        seeds=(
            b'{"a":[1,-2.5e10,null,true,false,"\\u00df"]}',
            b"[" * 64 + b"]" * 64,
            b"1e400",
            b"1" * 50,
            b'"\\ud800"',
            b'{"a":{"a":{}},"a":1}',
        ),
    ),
    "session": Entry(
        target=session,
        seeds=(
            bytes([0x07, 0x08, 0xF4, 0xF3, 0x43]),
            bytes([0x07, 0x0A, 0x07, 0x01]),
            bytes([0xF4] * 8),
            bytes([0xFF, 0x03] * 8),
        ),
    ),
    "upgrade": Entry(
        target=upgrade,
        seeds=(
            _UPGRADE,
            _UPGRADE + b"\x81\x80abcd",
            _UPGRADE.replace(b"host: a", b"Host:a\r\nCookie: \xc3\xa4=1 "),
            _UPGRADE.replace(b"upgrade\r", b"keep-alive, Upgrade \r"),
            _UPGRADE.replace(b"host", b"Content-Length: 3\r\nhost"),
        ),
    ),
}
