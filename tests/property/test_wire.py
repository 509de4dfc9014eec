"""The wire for any input: what is encoded is decoded again, and what is refused is a ProtocolError."""

from __future__ import annotations

import itertools
from contextlib import suppress
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from callboard.errors import ProtocolError
from callboard.wire import engineio, frames, socketio
from callboard.wire.engineio import BinaryMessage, Outgoing, Packet, PacketType, decode_packet, decode_payload
from callboard.wire.fragments import MessageAssembler
from callboard.wire.frames import FrameError, Opcode
from callboard.wire.session import Due, Session, State
from callboard.wire.socketio import MAX_ACK_ID, MAX_ATTACHMENTS, Decoder

MAX = 1_000_000
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=15
)
WITH_BYTES = st.recursive(
    SCALARS | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=MAX_ATTACHMENTS,
)
NAMES = st.text(max_size=128).filter(lambda name: name not in socketio.RESERVED_EVENTS)
NAMESPACES = st.just("/") | st.text(st.characters(codec="utf-8", exclude_characters=',?"'), max_size=100).map(
    "/{}".format
)
IDS = st.none() | st.integers(0, MAX_ACK_ID)
ANY_TEXT = st.text(st.characters(), max_size=200)  # lone surrogates, too


# Frames


def parse(data: bytes) -> list[tuple[int, bool, bytes]]:
    """A plain reader of a server's frames."""
    found = []
    while data:
        first, length, data = data[0], data[1], data[2:]
        width = {126: 2, 127: 8}.get(length, 0)
        if width:
            length, data = int.from_bytes(data[:width], "big"), data[width:]
        found.append((first & 0xF, bool(first & 0x80), data[:length]))
        assert len(data) >= length
        data = data[length:]
    return found


def fragments(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@given(st.sampled_from(list(Opcode)), st.binary() | st.integers(120, 70_000).map(bytes))
@example(Opcode.BINARY, bytes(65535))
@example(Opcode.BINARY, bytes(65536))
def test_a_frame_is_read_by_any_peer(opcode: Opcode, data: bytes) -> None:
    assert parse(frames.encode(opcode, data)) == [(opcode, True, data)]


def masked(opcode: Opcode, fin: bool, data: bytes, key: bytes) -> bytes:
    """A plain writer of a client's frames."""
    head = frames.encode(opcode, data)[: -len(data) or None]
    body = bytes(byte ^ key[place % 4] for place, byte in enumerate(data))
    return bytes([head[0] & (0xFF if fin else 0x7F), head[1] | 0x80]) + head[2:] + key + body


CLIENT_FRAMES = st.tuples(
    st.sampled_from([Opcode.CONTINUATION, Opcode.TEXT, Opcode.BINARY]),
    st.booleans(),
    st.binary() | st.integers(120, 70_000).map(lambda size: bytes(range(256)) * (size // 256 + 1)),
    st.binary(min_size=4, max_size=4),
)


@given(st.lists(CLIENT_FRAMES, max_size=4), st.integers(0, 400_000))
def test_the_frames_of_any_client_are_read_wherever_what_has_come_ends(
    sent: list[tuple[Opcode, bool, bytes, bytes]], cut: int
) -> None:
    whole = [masked(*frame) for frame in sent]
    data = b"".join(whole)[:cut]
    read, place = [], 0
    while (frame := frames.decode(data, place, 100_000)) is not None:
        read.append((frame.opcode, frame.fin, frame.payload))
        place = frame.end
    ends = list(itertools.accumulate(map(len, whole)))
    assert read == [frame[:3] for frame, end in zip(sent, ends, strict=True) if end <= cut]


@given(st.text() | st.binary(), st.lists(st.integers(0, 500), max_size=10))
def test_a_message_is_the_same_however_it_is_fragmented(message: str | bytes, cuts: list[int]) -> None:
    opcode, data = (Opcode.TEXT, message.encode()) if isinstance(message, str) else (Opcode.BINARY, message)
    assembler = MessageAssembler(MAX)
    pieces = fragments(data, cuts)
    answers = [
        assembler.feed(opcode if n == 0 else Opcode.CONTINUATION, n == len(pieces) - 1, piece)
        for n, piece in enumerate(pieces)
    ]
    assert answers == [None] * (len(pieces) - 1) + [message]


@given(st.binary(), st.lists(st.integers(0, 500), max_size=10))
def test_bytes_are_text_fragmented_or_not_at_all(data: bytes, cuts: list[int]) -> None:
    def text(pieces: list[bytes]) -> str | bytes | None:
        assembler = MessageAssembler(MAX)
        try:
            return [
                assembler.feed(Opcode.TEXT if n == 0 else Opcode.CONTINUATION, n == len(pieces) - 1, piece)
                for n, piece in enumerate(pieces)
            ][-1]
        except FrameError:
            return None

    assert text(fragments(data, cuts)) == text([data])


@given(st.lists(st.tuples(st.integers(0, 15), st.booleans(), st.binary(max_size=30)), max_size=30))
def test_any_frames_make_bounded_messages_or_an_error(sent: list[tuple[int, bool, bytes]]) -> None:
    assembler = MessageAssembler(50)
    with suppress(FrameError):
        for opcode, fin, data in sent:
            message = assembler.feed(opcode, fin, data)
            assert message is None or len(message) <= 50


# Engine.IO

PACKETS = st.one_of(
    st.builds(Packet, st.sampled_from(list(PacketType)), st.text().map(lambda text: text.replace("\x1e", ""))),
    st.builds(Packet, st.just(PacketType.MESSAGE), st.binary()),
)


@given(st.lists(PACKETS, min_size=1, max_size=20))
def test_payloads_come_back(packets: list[Packet]) -> None:
    outgoing = [
        BinaryMessage(packet.data)
        if isinstance(packet.data, bytes)
        else Outgoing((packet.type.value + packet.data).encode())
        for packet in packets
    ]
    assert decode_payload(engineio.encode_payload(outgoing)) == packets


@given(ANY_TEXT)
def test_any_text_is_a_packet_or_refused(text: str) -> None:
    try:
        packet = decode_packet(text)
    except ProtocolError:
        return
    assert packet == (text[0], text[1:])


@given(st.binary() | st.text().map(str.encode))
def test_any_body_is_a_payload_or_refused(body: bytes) -> None:
    with suppress(ProtocolError):
        assert decode_payload(body)


# Socket.IO


def received(outgoing: Outgoing) -> socketio.Packet | None:
    """What a receiver makes of a message."""
    decoder = Decoder(MAX)
    packet = decoder.feed(outgoing.text[1:].decode())
    for attachment in outgoing.attachments:
        assert packet is None
        packet = decoder.feed(attachment)
    return packet


@given(NAMESPACES, NAMES, st.lists(WITH_BYTES, max_size=3), IDS)
def test_events_come_back_with_their_attachments(
    namespace: str, name: str, args: list[Any], packet_id: int | None
) -> None:
    outgoing = socketio.encode_args(socketio.PacketType.EVENT, namespace, [name, *args], packet_id)
    if len(outgoing.attachments) <= MAX_ATTACHMENTS:
        expected = socketio.Packet(socketio.PacketType.EVENT, namespace, packet_id, [name, *args])
        assert received(outgoing) == expected


@given(NAMESPACES, st.lists(WITH_BYTES, max_size=1), st.integers(0, MAX_ACK_ID))
def test_acknowledgements_come_back(namespace: str, args: list[Any], packet_id: int) -> None:
    outgoing = socketio.encode_args(socketio.PacketType.ACK, namespace, args, packet_id)
    if len(outgoing.attachments) <= MAX_ATTACHMENTS:
        expected = socketio.Packet(socketio.PacketType.ACK, namespace, packet_id, args)
        assert received(outgoing) == expected


@given(NAMESPACES, NAMES, st.dictionaries(st.text(), JSON), st.none() | st.text())
def test_a_servers_message_is_an_event(
    namespace: str, name: str, payload: dict[str, Any], position: str | None
) -> None:
    encoded = socketio.encode_args(socketio.PacketType.EVENT, "/", [payload]).text[3:-1]
    args = [name, payload] if position is None else [name, payload, position]
    expected = socketio.Packet(socketio.PacketType.EVENT, namespace, None, args)
    assert received(socketio.encode_event(namespace, name, encoded, position)) == expected


MESSAGES = ANY_TEXT | st.binary(max_size=30)
HEADS = st.tuples(
    st.sampled_from("0123456789"),
    st.sampled_from(["", "0-", "1-", "2-", "11-", "-", "1-1-"]),
    st.sampled_from(["", "/", "/,", "/feed,", "/feed?a=1,", "feed,", "/" + "n" * 200 + ","]),
    st.sampled_from(["", "0", "12", "-1", "1.5", "9" * 16, "9" * 30]),
    st.sampled_from(
        [
            "",
            "[]",
            "{}",
            "null",
            '["e"]',
            '["e",{"_placeholder":true,"num":0}]',
            '["e",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]',
            '["connect"]',
            "[[" * 40 + "]]" * 40,
            "[NaN]",
            '["e"',
            '["\\ud800"]',
        ]
    ),
).map("".join)


@given(st.lists(MESSAGES | HEADS, max_size=5))
@example(["0{", b""])
@example(['51-["e",{"_placeholder":true,"num":0}]', b"", b""])
def test_any_messages_are_packets_or_refused(messages: list[str | bytes]) -> None:
    decoder = Decoder(40)
    with suppress(ProtocolError):
        for message in messages:
            packet = decoder.feed(message)
            assert packet is None or packet.namespace.startswith("/")


@given(
    NAMESPACES,
    NAMES,
    st.lists(WITH_BYTES, max_size=2),
    IDS,
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 3), st.text(max_size=3)), min_size=1, max_size=3),
)
def test_a_damaged_packet_is_a_packet_or_refused(
    namespace: str, name: str, args: list[Any], packet_id: int | None, damages: list[tuple[int, int, str]]
) -> None:
    outgoing = socketio.encode_args(socketio.PacketType.EVENT, namespace, [name, *args], packet_id)
    text = outgoing.text[1:].decode()
    for at, length, put in damages:
        at %= len(text) + 1
        text = text[:at] + put + text[at + length :]
    decoder = Decoder(MAX)
    with suppress(ProtocolError):
        decoder.feed(text)
        for attachment in outgoing.attachments:
            decoder.feed(attachment)


@given(st.binary() | st.text().map(str.encode))
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
def test_any_bytes_are_json_or_refused(data: bytes) -> None:
    with suppress(ProtocolError):
        socketio.decode_json(data)


# The session

STEPS = st.lists(
    st.one_of(
        st.sampled_from(list(PacketType)).map(lambda kind: Packet(kind, "")),
        st.sampled_from(["2probe", "5", "x"]),
        st.just(None),
        st.floats(0.0, 60.0),
    ),
    max_size=40,
)


@given(STEPS, st.sampled_from([State.POLLING, State.WEBSOCKET]))
def test_a_session_is_never_stuck(steps: list[Packet | str | float | None], state: State) -> None:
    now = 0.0
    session = Session("s1", state, now=now, ping_interval=25.0, ping_timeout=20.0)
    for step in steps:
        with suppress(ProtocolError):
            if isinstance(step, Packet):
                session.receive(step, now)
            elif isinstance(step, str):
                session.probe(step)
            elif step is None:
                session.abandon_probe()
            else:
                now += step
                if session.due(now) is Due.TIMEOUT:
                    return
    # From anywhere: a client that answers lives on, ping after ping, and one that does not is found out.
    for _ in range(3):
        now = max(now, session.deadline)
        if session.due(now) is Due.TIMEOUT:
            return
        assert session.due(now) is Due.NOTHING
        session.receive(Packet(PacketType.PONG, ""), now)
        assert session.deadline == now + 25.0
    now = session.deadline
    assert session.due(now) is Due.PING
    assert session.due(session.deadline) is Due.TIMEOUT
    assert session.deadline == now + 20.0
    # And unless it is over, an upgrade is still possible from long-polling.
    session.abandon_probe()
    if session.state is State.POLLING:
        session.probe("2probe")
        assert session.probe("5")
