"""RFC 6455 as a server speaks it: unmasked frames out, masked frames in."""

from __future__ import annotations

import itertools

import pytest

from callboard.wire import frames
from callboard.wire.frames import CloseCode, Frame, FrameError, Opcode

TEXT, BINARY, CLOSE, PING = Opcode.TEXT, Opcode.BINARY, Opcode.CLOSE, Opcode.PING
KEY = b"\x37\xfa\x21\x3d"


def masked(opcode: int, payload: bytes, *, head: int = 0x80, length: bytes | None = None) -> bytes:
    """A client's frame. `head`: the other bits of its first byte; `length`: instead of the shortest form."""
    size = frames.encode(TEXT, payload)[1 : -len(payload) or None] if length is None else length
    body = bytes(byte ^ key for byte, key in zip(payload, itertools.cycle(KEY), strict=False))
    return bytes([head | opcode, 0x80 | size[0]]) + size[1:] + KEY + body


def refusal(data: bytes, max_bytes: int = 1_000) -> CloseCode:
    with pytest.raises(FrameError) as refused:
        frames.decode(data, 0, max_bytes)
    return refused.value.close_code


# Out


@pytest.mark.parametrize(
    ("length", "head"),
    [
        (0, b"\x82\x00"),
        (1, b"\x82\x01"),
        (125, b"\x82\x7d"),
        (126, b"\x82\x7e\x00\x7e"),
        (65535, b"\x82\x7e\xff\xff"),
        (65536, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_the_shortest_length_is_written(length: int, head: bytes) -> None:
    data = b"x" * length
    assert frames.encode(BINARY, data) == head + data


@pytest.mark.parametrize("opcode", list(Opcode))
def test_every_frame_is_final_and_unmasked(opcode: Opcode) -> None:
    first, second = frames.encode(opcode, b"abc")[:2]
    assert first == 0x80 | opcode
    assert second < 0x80


# In


def test_the_frame_that_the_specification_shows() -> None:
    """Section 5.7: a single-frame masked text message."""
    data = bytes.fromhex("818537fa213d7f9f4d5158")
    assert frames.decode(data, 0, 1_000) == Frame(TEXT, True, b"Hello", 11)


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 125, 126, 127, 65_535, 65_536, 70_001])
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_frames_of_every_length_one_behind_the_other(size: int, kind: type[bytes] | type[bytearray]) -> None:
    payload = bytes(number % 251 for number in range(size))
    first, second = masked(BINARY, payload, head=0), masked(PING, b"p")
    data = kind(b"before" + first + second)
    frame = frames.decode(data, 6, 100_000)
    assert frame == Frame(BINARY, False, payload, 6 + len(first))
    assert frames.decode(data, frame.end, 100_000) == Frame(PING, True, b"p", len(data))
    assert frames.decode(data, len(data), 100_000) is None


@pytest.mark.parametrize("size", [0, 5, 126, 65_536])
def test_a_frame_of_which_some_has_not_come(size: int) -> None:
    data = masked(TEXT, b"x" * size)
    cuts = {*range(20), size // 2, len(data) - 1} & set(range(len(data)))
    assert [frames.decode(data[:cut], 0, 100_000) for cut in cuts] == [None] * len(cuts)


@pytest.mark.parametrize(
    "data",
    [
        *(masked(TEXT, b"a", head=0x80 | bit) for bit in (0x10, 0x20, 0x40)),
        *(masked(opcode, b"a") for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
        frames.encode(TEXT, b"not masked"),
        masked(PING, b"", head=0),
        masked(CLOSE, b"x" * 126),
        masked(TEXT, b"x", length=b"\x7e\x00\x01"),
        masked(TEXT, b"x" * 125, length=b"\x7e\x00\x7d"),
        masked(TEXT, b"x", length=b"\x7f" + (65_535).to_bytes(8, "big")),
        masked(TEXT, b"x", length=b"\x7f\x80" + bytes(6) + b"\x01"),
    ],
)
def test_no_client_may_send_it(data: bytes) -> None:
    assert refusal(data) == CloseCode.PROTOCOL_ERROR
    head = next(size for size in range(2, 11) if _refused(data[:size]))
    assert head in (2, 4, 10), "it is refused before its payload has come"


def _refused(data: bytes) -> bool:
    try:
        frames.decode(data, 0, 1_000)
    except FrameError:
        return True
    return False


@pytest.mark.parametrize("size", [11, 126, 65_536])
def test_a_payload_over_the_bound_is_refused_by_its_head(size: int) -> None:
    data = masked(BINARY, b"x" * size)
    assert refusal(data[: len(data) - size], 10) == CloseCode.TOO_BIG
    assert frames.decode(masked(BINARY, b"x" * 10), 0, 10) is not None
    assert frames.decode(masked(PING, b"x" * 11), 0, 10) is not None, "control frames have their own bound"


# The close frame


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 4999])
def test_the_code_of_a_close_frame(code: int) -> None:
    assert frames.decode_close(frames.close_payload(code, "größe")) == code
    assert frames.decode_close(frames.close_payload(code, "")) == code


def test_a_close_frame_without_a_code() -> None:
    assert frames.decode_close(b"") is None


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535])
def test_a_code_that_does_not_go_over_the_wire(code: int) -> None:
    with pytest.raises(FrameError, match="close code"):
        frames.decode_close(frames.close_payload(code, ""))


@pytest.mark.parametrize(("payload", "code"), [(b"\x03", 1002), (b"\x03\xe8\xff", 1007)])
def test_a_close_frame_that_says_nothing_readable(payload: bytes, code: int) -> None:
    with pytest.raises(FrameError) as refused:
        frames.decode_close(payload)
    assert refused.value.close_code == code
