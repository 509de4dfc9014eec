"""Engine.IO packets and payloads."""

from __future__ import annotations

import json

import pytest

from callboard.errors import ProtocolError
from callboard.wire import engineio, frames
from callboard.wire.engineio import (
    MAX_PACKETS_PER_PAYLOAD,
    BinaryMessage,
    Handshake,
    Outgoing,
    Packet,
    PacketType,
    decode_packet,
    decode_payload,
    encode_payload,
)
from callboard.wire.frames import Opcode


@pytest.mark.parametrize("kind", list(PacketType))
def test_every_packet_type_is_decoded(kind: PacketType) -> None:
    assert decode_packet(kind.value) == Packet(kind, "")
    assert decode_packet(f"{kind.value}data\x1eß") == Packet(kind, "data\x1eß")


@pytest.mark.parametrize("text", ["", "7", "9x", "x", "b", "bAAA=", " 4", "\u0664", "-1", "\ud800"])
def test_an_unknown_packet_type_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError):
        decode_packet(text)


def test_a_payload_is_split_at_the_record_separator() -> None:
    assert decode_payload(b"4a\x1e3\x1ebAQID\x1e4") == [
        Packet(PacketType.MESSAGE, "a"),
        Packet(PacketType.PONG, ""),
        Packet(PacketType.MESSAGE, b"\x01\x02\x03"),
        Packet(PacketType.MESSAGE, ""),
    ]
    assert decode_payload(b"b") == [Packet(PacketType.MESSAGE, b"")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x1e",
        b"4a\x1e",
        b"\x1e4a",
        b"4a\x1e\x1e4b",
        b"4\xff",
        b"4\xed\xa0\x80",
        b"abc",
        b"bAQI",  # its length
        b"bAQ=I",
        b"b====",
        b"bAQ ID",
        b"bAQID\n",
        b"b-_-_",  # the URL's alphabet
        "bÄQID".encode(),
        b"4a\x1eb!!!!",
    ],
)
def test_a_payload_that_is_not_all_packets_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_payload(body)


def test_the_number_of_packets_in_a_payload_is_bounded() -> None:
    assert len(decode_payload(b"\x1e".join([b"4"] * MAX_PACKETS_PER_PAYLOAD))) == MAX_PACKETS_PER_PAYLOAD
    with pytest.raises(ProtocolError, match="more than 1000 packets"):
        decode_payload(b"\x1e".join([b"4"] * (MAX_PACKETS_PER_PAYLOAD + 1)))


def test_a_message_is_framed_and_packed_once() -> None:
    outgoing = Outgoing("451-[ß]".encode(), (b"\x01", b""))
    text = frames.encode(Opcode.TEXT, "451-[ß]".encode())
    assert outgoing.frame == text + frames.encode(Opcode.BINARY, b"\x01") + frames.encode(Opcode.BINARY, b"")
    assert outgoing.payload == "451-[ß]\x1ebAQ==\x1eb".encode()
    assert outgoing.frame is outgoing.frame
    assert outgoing.payload is outgoing.payload
    assert outgoing.size == len("451-[ß]".encode()) + 1


def test_a_binary_message_stands_alone() -> None:
    binary = BinaryMessage(b"\x01\x02\x03")
    assert binary.frame == b"\x82\x03\x01\x02\x03"
    assert binary.payload == b"bAQID"
    assert binary.size == 3


def test_a_payload_joins_the_messages() -> None:
    assert encode_payload([engineio.PING, Outgoing(b"4a", (b"\x01",)), engineio.CLOSE]) == b"2\x1e4a\x1ebAQ==\x1e1"
    assert encode_payload([engineio.NOOP]) == b"6"


def test_the_open_packet_says_what_the_client_must_know() -> None:
    handshake = Handshake(
        sid="s1", upgrades=("websocket",), ping_interval=25000, ping_timeout=20000, max_payload=1_000_000
    )
    text = engineio.open_packet(handshake).text
    assert text[:1] == b"0"
    assert json.loads(text[1:]) == {
        "sid": "s1",
        "upgrades": ["websocket"],
        "pingInterval": 25000,
        "pingTimeout": 20000,
        "maxPayload": 1000000,
    }
