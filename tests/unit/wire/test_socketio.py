"""Socket.IO packets: the grammar, what is refused, and the encoders."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from callboard.errors import ProtocolError
from callboard.wire import socketio
from callboard.wire.engineio import Outgoing
from callboard.wire.socketio import (
    MAX_ACK_ID,
    MAX_ATTACHMENTS,
    MAX_JSON_DEPTH,
    MAX_NAME_LENGTH,
    Decoder,
    Packet,
    PacketType,
    decode_head,
)

CONNECT, DISCONNECT, EVENT, ACK = PacketType.CONNECT, PacketType.DISCONNECT, PacketType.EVENT, PacketType.ACK


def decode(text: str) -> Packet:
    packet = Decoder(1000).feed(text)
    assert packet is not None
    return packet


def refused(text: str) -> str:
    with pytest.raises(ProtocolError) as refusal:
        Decoder(1000).feed(text)
    return refusal.value.message


def nested(depth: int) -> str:
    """An event's data, a list `depth` deep."""
    return '["e",' + "[" * (depth - 1) + "]" * depth


@pytest.mark.parametrize(
    ("text", "packet"),
    [
        ("0", Packet(CONNECT, "/", None, None)),
        ("0{}", Packet(CONNECT, "/", None, {})),
        ('0/feed,{"token":"t"}', Packet(CONNECT, "/feed", None, {"token": "t"})),
        ("0/feed,", Packet(CONNECT, "/feed", None, None)),
        ("0/feed", Packet(CONNECT, "/feed", None, None)),
        ('0/feed?a=1&b=/2,{"c":1}', Packet(CONNECT, "/feed", None, {"c": 1})),
        ("0/größe,", Packet(CONNECT, "/größe", None, None)),
        ("1", Packet(DISCONNECT, "/", None, None)),
        ("1/feed,", Packet(DISCONNECT, "/feed", None, None)),
        ("1/feed", Packet(DISCONNECT, "/feed", None, None)),
        ('2["e"]', Packet(EVENT, "/", None, ["e"])),
        ('2/feed,["e",1,null,true,"x"]', Packet(EVENT, "/feed", None, ["e", 1, None, True, "x"])),
        ('20["e"]', Packet(EVENT, "/", 0, ["e"])),
        ('2/feed,456["e",{"a":{"b":[]}}]', Packet(EVENT, "/feed", 456, ["e", {"a": {"b": []}}])),
        ('2007["e"]', Packet(EVENT, "/", 7, ["e"])),
        (f'2{MAX_ACK_ID}["e"]', Packet(EVENT, "/", MAX_ACK_ID, ["e"])),
        ('2 ["e"] ', Packet(EVENT, "/", None, ["e"])),
        ('2["2-3,/x"]', Packet(EVENT, "/", None, ["2-3,/x"])),
        ('2["\\ud83d\\ude00\\u0000"]', Packet(EVENT, "/", None, ["😀\0"])),
        (f'2["{"n" * MAX_NAME_LENGTH}"]', Packet(EVENT, "/", None, ["n" * MAX_NAME_LENGTH])),
        ('2["e",{"_placeholder":true,"num":0}]', Packet(EVENT, "/", None, ["e", {"_placeholder": True, "num": 0}])),
        ("312[]", Packet(ACK, "/", 12, [])),
        ('3/feed,12["ok"]', Packet(ACK, "/feed", 12, ["ok"])),
        (f"0/{'n' * (MAX_NAME_LENGTH - 1)},", Packet(CONNECT, "/" + "n" * (MAX_NAME_LENGTH - 1), None, None)),
    ],
)
def test_packets_that_are_taken(text: str, packet: Packet) -> None:
    assert decode(text) == packet


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "9[]",
        "x",
        " 0",
        "-1",
        "\u0662[]",  # a digit, but not of ASCII
        # CONNECT
        "0[]",
        "01",
        "01{}",
        "0null",
        '0"token"',
        "0{",
        "0{}x",
        '0/feed{"token":"t"}',
        "00-{}",
        # DISCONNECT
        "1{}",
        "1[]",
        "1null",
        "15",
        # EVENT
        "2",
        "2null",
        "2{}",
        '2"e"',
        "2[]",
        "2[1]",
        "2[null]",
        '2[["e"]]',
        '2[{"a":1}]',
        "25",
        '2["e"',
        '2["e"]]',
        '2["e",]',
        "2['e']",
        '2-1["e"]',
        '21.5["e"]',
        '21-["e"]',
        f'2{MAX_ACK_ID + 1}["e"]',
        '2123456789012345678901["e"]',
        '2/feed["e"]',
        '2feed,["e"]',
        f'2["{"n" * (MAX_NAME_LENGTH + 1)}"]',
        # ACK
        "3[]",
        "31",
        "31{}",
        "31null",
        # CONNECT_ERROR is the server's
        "4",
        '4{"message":"no"}',
        "4/feed,",
        # BINARY_
        '5["e"]',
        '50-["e"]',
        '5-["e"]',
        '51["e"]',
        "51-",
        '511-["e"]',
        '59999999-["e"]',
        f'5{MAX_ATTACHMENTS + 1}-["e"]',
        "6[]",
        "61-[]",
        '61-1{"_placeholder":true,"num":0}',
        # namespaces
        f"0/{'n' * MAX_NAME_LENGTH},",
        f"0/{'n' * 600},",
        f"0/{'n' * 600}",
    ],
)
def test_packets_that_are_refused(text: str) -> None:
    refused(text)


@pytest.mark.parametrize("name", sorted(socketio.RESERVED_EVENTS))
def test_reserved_names_are_refused(name: str) -> None:
    assert "reserved" in refused(f'2["{name}"]')
    assert "reserved" in refused(f'51-["{name}",{{"_placeholder":true,"num":0}}]')


@pytest.mark.parametrize(
    "number",
    [
        "NaN",
        "-NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "-1e999",
        "1e99999999999999999999",
        "01",
        "+1",
        "1.",
        ".5",
        "0x1",
    ],
)
def test_numbers_that_are_not_json_or_not_finite_are_refused(number: str) -> None:
    refused(f'2["e",{number}]')


def test_a_huge_number_is_a_number_or_refused() -> None:
    assert decode(f'2["e",{"9" * 400}]').data == ["e", int("9" * 400)]
    refused(f'2["e",{"9" * 10_000}]')
    refused(f'2["e",{"9" * 400}.0]')


@pytest.mark.parametrize("text", ['"\\ud800"', '"\\udc00\\ud800"', '"\\ud800x"', '"\\x00"', '"\0"', '"\n"', '"\ud800"'])
def test_lone_surrogates_and_control_characters_are_refused(text: str) -> None:
    refused(f'2["e",{text}]')


def test_json_may_be_nested_64_deep() -> None:
    assert decode("2" + nested(MAX_JSON_DEPTH)).data[0] == "e"
    assert "deeper" in refused("2" + nested(MAX_JSON_DEPTH + 1))
    objects = '{"a":' * MAX_JSON_DEPTH + "1" + "}" * MAX_JSON_DEPTH
    assert decode(f"0{objects}").type is CONNECT
    assert "deeper" in refused(f'0{{"a":{objects}}}')


def test_brackets_in_texts_and_side_by_side_are_no_depth() -> None:
    assert decode('2["e","' + "[{" * 500 + '"]').data == ["e", "[{" * 500]
    assert len(decode('2["e"' + ",[]" * 500 + "]").data) == 501


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
@pytest.mark.parametrize("closed", [False, True])
def test_hostile_depth_is_refused_soon_and_without_exhausting_the_stack(opening: str, closed: bool) -> None:
    closing = "".join({"[": "]", "{": "}"}.get(character, "") for character in reversed(opening))
    text = opening * 100_000 + ("1" + closing * 100_000 if closed else "")
    before = time.process_time()
    refused("2" + text)
    with pytest.raises(ProtocolError):
        socketio.decode_json(text.encode())
    assert time.process_time() - before < 5.0


def test_json_alone_is_decoded_by_the_same_rules() -> None:
    assert socketio.decode_json('{"a":[1.5,null]}') == {"a": [1.5, None]}
    assert socketio.decode_json(b'"x"') == "x"
    for text in (b"NaN", b"", b"\xff", b"1 2", nested(MAX_JSON_DEPTH + 1).encode()):
        with pytest.raises(ProtocolError):
            socketio.decode_json(text)


def test_attachments_replace_their_placeholders() -> None:
    decoder = Decoder(1000)
    text = '52-/feed,7["e",{"a":[{"_placeholder":true,"num":1}]},{"_placeholder":true,"num":0},{"_placeholder":false}]'
    assert decoder.feed(text) is None
    assert decoder.feed(b"zero") is None
    packet = decoder.feed(b"one")
    assert packet == Packet(EVENT, "/feed", 7, ["e", {"a": [b"one"]}, b"zero", {"_placeholder": False}])
    assert decoder.feed('2["next"]') == Packet(EVENT, "/", None, ["next"])


def test_a_binary_acknowledgement_is_an_acknowledgement() -> None:
    decoder = Decoder(1000)
    assert decoder.feed('61-3[{"_placeholder":true,"num":0}]') is None
    assert decoder.feed(b"") == Packet(ACK, "/", 3, [b""])


def test_the_greatest_number_of_attachments() -> None:
    decoder = Decoder(1000)
    placeholders = ",".join(f'{{"_placeholder":true,"num":{n}}}' for n in range(MAX_ATTACHMENTS))
    assert decoder.feed(f'5{MAX_ATTACHMENTS}-["e",{placeholders}]') is None
    for n in range(MAX_ATTACHMENTS - 1):
        assert decoder.feed(bytes([n])) is None
    packet = decoder.feed(b"\x09")
    assert packet is not None
    assert packet.data == ["e", *(bytes([n]) for n in range(MAX_ATTACHMENTS))]


@pytest.mark.parametrize(
    "placeholders",
    [
        [],
        ['{"_placeholder":true,"num":0}', '{"_placeholder":true,"num":0}'],
        ['{"_placeholder":true,"num":0}', '{"_placeholder":true,"num":2}'],
        ['{"_placeholder":true,"num":0}', '{"_placeholder":true,"num":-1}'],
        ['{"_placeholder":true,"num":0}', '{"_placeholder":true,"num":1}', '{"_placeholder":true,"num":1}'],
        ['{"_placeholder":true,"num":0}'],
        ['{"_placeholder":true,"num":false}', '{"_placeholder":true,"num":true}'],
        ['{"_placeholder":true,"num":0.0}', '{"_placeholder":true,"num":1.0}'],
        ['{"_placeholder":true,"num":"0"}', '{"_placeholder":true,"num":"1"}'],
        ['{"_placeholder":true,"num":[0]}', '{"_placeholder":true,"num":{}}'],
        ['{"_placeholder":true}', '{"_placeholder":true,"num":1}'],
        ['{"_placeholder":1,"num":0}', '{"_placeholder":"true","num":1}'],
        ['{"_placeholder":true,"num":0,"x":{"_placeholder":true,"num":1}}'],
    ],
)
def test_forged_placeholders_are_refused_with_the_head(placeholders: list[str]) -> None:
    args = ",".join(['"e"', *placeholders])
    assert "placeholders" in refused(f"52-[{args}]")


def test_an_attachment_nobody_announced_is_refused() -> None:
    with pytest.raises(ProtocolError):
        Decoder(1000).feed(b"")


def test_text_between_attachments_is_refused() -> None:
    decoder = Decoder(1000)
    decoder.feed('51-["e",{"_placeholder":true,"num":0}]')
    with pytest.raises(ProtocolError):
        decoder.feed('2["e"]')


def test_attachments_are_bounded_together() -> None:
    text = '52-["e",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'
    decoder = Decoder(4)
    assert decoder.feed(text) is None
    assert decoder.feed(b"12") is None
    assert decoder.feed(b"34") is not None
    assert decoder.feed(text) is None
    assert decoder.feed(b"123") is None
    with pytest.raises(ProtocolError):
        decoder.feed(b"45")


def test_a_head_says_how_many_attachments_follow() -> None:
    assert decode_head('2["e"]')[1] == 0
    assert decode_head('51-["e",{"_placeholder":true,"num":0}]')[1] == 1


@pytest.mark.parametrize(
    ("outgoing", "text"),
    [
        (socketio.encode_event("/", "n", b"{}"), '42["n",{}]'),
        (socketio.encode_event("/feed", 'a"ß', b'{"a":1}'), '42/feed,["a\\"ß",{"a":1}]'),
        (socketio.encode_event("/feed", "n", b"{}", "e1.7"), '42/feed,["n",{},"e1.7"]'),
        (socketio.encode_ack("/", 0, b'{"ok":true}'), '430[{"ok":true}]'),
        (socketio.encode_ack("/feed", 12, b"1"), "43/feed,12[1]"),
        (socketio.encode_connect("/", "s1"), '40{"sid":"s1"}'),
        (socketio.encode_connect("/feed", "s1", "p1"), '40/feed,{"sid":"s1","pid":"p1"}'),
        (socketio.encode_connect_error("/", "no"), '44{"message":"no"}'),
        (socketio.encode_connect_error("/x", "no", {"code": "c"}), '44/x,{"message":"no","data":{"code":"c"}}'),
        (socketio.encode_disconnect("/"), "41"),
        (socketio.encode_disconnect("/feed"), "41/feed,"),
        (socketio.encode_args(EVENT, "/", ["e", None, 1.5]), '42["e",null,1.5]'),
        (socketio.encode_args(EVENT, "/feed", ["e"], 3), '42/feed,3["e"]'),
        (socketio.encode_args(ACK, "/", [], 3), "433[]"),
    ],
)
def test_encoders(outgoing: Outgoing, text: str) -> None:
    assert outgoing.text.decode() == text
    assert outgoing.attachments == ()


def test_bytes_become_attachments_in_order() -> None:
    args: list[Any] = ["e", b"zero", {"a": [b"one", 1], "b": b""}]
    outgoing = socketio.encode_args(EVENT, "/feed", args, 9)
    head, _, data = outgoing.text.decode().partition(",9")
    assert head == "453-/feed"
    assert json.loads(data)[1:] == [
        {"_placeholder": True, "num": 0},
        {"a": [{"_placeholder": True, "num": 1}, 1], "b": {"_placeholder": True, "num": 2}},
    ]
    assert outgoing.attachments == (b"zero", b"one", b"")
    assert args == ["e", b"zero", {"a": [b"one", 1], "b": b""}]
    assert socketio.encode_args(ACK, "/", [b"x"], 1).text == b'461-1[{"_placeholder":true,"num":0}]'


def test_no_infinity_leaves() -> None:
    text = socketio.encode_args(EVENT, "/", ["e", float("nan"), float("inf")]).text
    assert text == b'42["e",null,null]'
