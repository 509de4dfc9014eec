"""RFC 6455: the frames of a message, joined."""

from __future__ import annotations

import pytest

from callboard.wire.fragments import MAX_FRAGMENTS, MessageAssembler, decode_text
from callboard.wire.frames import CloseCode, FrameError, Opcode

CONTINUATION, TEXT, BINARY = Opcode.CONTINUATION, Opcode.TEXT, Opcode.BINARY


def assembler(max_bytes: int = 1_000_000) -> MessageAssembler:
    return MessageAssembler(max_bytes)


def refusal(opcode: int, data: bytes, *, fin: bool = True, of: MessageAssembler | None = None) -> CloseCode:
    with pytest.raises(FrameError) as refused:
        (of or assembler()).feed(opcode, fin, data)
    return refused.value.close_code


def test_a_whole_message_in_one_frame() -> None:
    subject = assembler()
    assert subject.feed(TEXT, True, "größe".encode()) == "größe"
    assert subject.feed(BINARY, True, b"\xff\x00") == b"\xff\x00"
    assert subject.feed(TEXT, True, b"") == ""
    assert not subject.in_message


def test_a_fragmented_message_is_joined_and_the_next_one_begins_anew() -> None:
    subject = assembler()
    for _ in range(2):
        assert subject.feed(BINARY, False, b"a") is None
        assert subject.in_message
        assert subject.feed(CONTINUATION, False, b"") is None
        assert subject.feed(CONTINUATION, True, b"b") == b"ab"
        assert not subject.in_message
    assert subject.feed(TEXT, False, b"") is None
    assert subject.feed(CONTINUATION, True, b"") == ""


def test_a_character_may_be_split_between_fragments() -> None:
    subject = assembler()
    data = "a😀ß".encode()
    pieces = [subject.feed(TEXT if i == 0 else CONTINUATION, False, data[i : i + 1]) for i in range(len(data))]
    assert pieces == [None] * len(data)
    assert subject.feed(CONTINUATION, True, b"") == "a😀ß"


@pytest.mark.parametrize(
    "data",
    [
        b"\xff",
        b"\xc0\xaf",  # an overlong "/"
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\xaf",
        b"\xed\xa0\x80",  # a surrogate
        b"\xed\xbf\xbf",
        b"\xf4\x90\x80\x80",  # beyond U+10FFFF
        b"a\x80",
        b"\xe2\x82",  # the message ends inside of a character
    ],
)
def test_what_is_not_utf8_is_refused(data: bytes) -> None:
    assert refusal(TEXT, data) is CloseCode.INVALID_TEXT
    subject = assembler()
    assert subject.feed(TEXT, False, b"fine ") is None
    assert refusal(CONTINUATION, data, of=subject) is CloseCode.INVALID_TEXT
    with pytest.raises(FrameError):
        decode_text(data)


def test_a_bad_byte_fails_at_its_own_fragment() -> None:
    subject = assembler()
    assert subject.feed(TEXT, False, b"\xe2") is None
    assert refusal(CONTINUATION, b"(", fin=False, of=subject) is CloseCode.INVALID_TEXT


def test_binary_is_not_checked_as_text() -> None:
    subject = assembler()
    assert subject.feed(BINARY, False, b"\xff") is None
    assert subject.feed(CONTINUATION, True, b"\xfe") == b"\xff\xfe"


@pytest.mark.parametrize("opcode", [CONTINUATION, 0x3, 0x7, Opcode.CLOSE, Opcode.PING, Opcode.PONG, 0xF])
def test_a_message_begins_with_text_or_binary(opcode: int) -> None:
    assert refusal(opcode, b"") is CloseCode.PROTOCOL_ERROR


@pytest.mark.parametrize("opcode", [TEXT, BINARY, 0x3, Opcode.PING])
def test_only_a_continuation_goes_on_with_a_fragmented_message(opcode: int) -> None:
    subject = assembler()
    subject.feed(TEXT, False, b"a")
    assert refusal(opcode, b"b", of=subject) is CloseCode.PROTOCOL_ERROR


def test_the_bound_counts_all_fragments() -> None:
    subject = assembler(4)
    assert subject.feed(BINARY, True, b"1234") == b"1234"
    assert refusal(BINARY, b"12345", of=subject) is CloseCode.TOO_BIG
    subject = assembler(4)
    assert subject.feed(TEXT, False, b"12") is None
    assert subject.feed(CONTINUATION, False, b"34") is None
    assert refusal(CONTINUATION, b"5", fin=False, of=subject) is CloseCode.TOO_BIG


def test_the_bound_counts_bytes_and_not_characters() -> None:
    assert assembler(4).feed(TEXT, True, "ßß".encode()) == "ßß"
    assert refusal(TEXT, "ßßß".encode(), of=assembler(5)) is CloseCode.TOO_BIG


def test_the_number_of_fragments_is_bounded() -> None:
    subject = assembler()
    subject.feed(BINARY, False, b"")
    for _ in range(MAX_FRAGMENTS - 2):
        subject.feed(CONTINUATION, False, b"")
    assert subject.feed(CONTINUATION, True, b"") == b""
    subject.feed(BINARY, False, b"")
    for _ in range(MAX_FRAGMENTS - 1):
        subject.feed(CONTINUATION, False, b"")
    assert refusal(CONTINUATION, b"", of=subject) is CloseCode.POLICY_VIOLATION
