"""RFC 6455 as a server speaks it: unmasked frames out, masked frames in.

Owns: encoding and decoding of one frame (section 5.2) with its bounds, and the close frame's code and text (section
5.5.1). Never: reading from a socket, what several frames make together (see `fragments.py`), or extensions (none is
negotiated).
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from callboard.errors import ProtocolError, TooLarge

MAX_CONTROL = 125


class Opcode(IntEnum):
    """Frame opcodes (section 5.2)."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


class CloseCode(IntEnum):
    """Close codes that a server sends (section 7.4.1)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    INVALID_TEXT = 1007
    POLICY_VIOLATION = 1008
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    TRY_AGAIN_LATER = 1013


class FrameError(ProtocolError):
    """A peer broke RFC 6455, or a bound. `close_code` is what to close with."""

    def __init__(self, message: str, close_code: CloseCode = CloseCode.PROTOCOL_ERROR) -> None:
        super().__init__(message, code=TooLarge.code if close_code is CloseCode.TOO_BIG else None)
        self.close_code = close_code


def encode(opcode: Opcode, data: bytes) -> bytes:
    """One final, unmasked frame with the shortest length encoding (section 5.2)."""
    length = len(data)
    if length < 126:
        return bytes((0x80 | opcode, length)) + data
    if length < 1 << 16:
        return bytes((0x80 | opcode, 126)) + length.to_bytes(2, "big") + data
    return bytes((0x80 | opcode, 127)) + length.to_bytes(8, "big") + data


class Frame(msgspec.Struct, frozen=True):
    """A frame of a client: its payload, unmasked, and where in the bytes the next frame begins."""

    opcode: int
    fin: bool
    payload: bytes
    end: int


def decode(data: bytes | bytearray, start: int, max_bytes: int) -> Frame | None:
    """The client's frame that begins at `start`; None if not all of it has come.

    Raises FrameError, as soon as its head has come, for a frame that no client may send or whose payload is over
    `max_bytes`.
    """
    if len(data) < start + 2:
        return None
    first, second = data[start], data[start + 1]
    if first not in _FIRST_BYTES or second < _MASKED:
        raise _head_error(first)
    length, key = second & 0x7F, start + 2
    if length > MAX_CONTROL:
        if first & _CONTROL:
            raise FrameError("a control frame is too long")
        key += 2 if length == 126 else 8
        if len(data) < key:
            return None
        length = _extended_length(data[start + 2 : key])
    if length > max_bytes and not first & _CONTROL:
        raise FrameError(f"the frame is over {max_bytes} bytes", CloseCode.TOO_BIG)
    payload = key + 4
    end = payload + length
    if len(data) < end:
        return None
    return Frame(first & 0x0F, first >= _FIN, _unmask(data[payload:end], data[key:payload]), end)


def close_payload(code: int, text: str) -> bytes:
    """What a close frame holds. `text`: at most 123 bytes."""
    return code.to_bytes(2, "big") + text.encode()


def decode_close(payload: bytes) -> int | None:
    """The code of a client's close frame; None if it has none. Raises FrameError for what may not stand there."""
    if not payload:
        return None
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not (code in _CLOSE_CODES or 3000 <= code <= 4999):
        raise FrameError("invalid close code")
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        raise FrameError("the close frame's text is not UTF-8", CloseCode.INVALID_TEXT) from None
    return code


def _head_error(first: int) -> FrameError:
    if first & 0x70:
        return FrameError("a reserved bit is set")
    if first & 0x0F not in _OPCODES:
        return FrameError("unknown opcode")
    if first & _CONTROL and first < _FIN:
        return FrameError("a control frame is fragmented")
    return FrameError("a client's frame must be masked")


def _extended_length(field: bytes | bytearray) -> int:
    length = int.from_bytes(field, "big")
    if length >> 63 or length < (126 if len(field) == 2 else 1 << 16):
        raise FrameError("the length is not in its shortest form")
    return length


def _unmask(payload: bytes | bytearray, key: bytes | bytearray) -> bytes:
    """The XOR of section 5.3, as one of two long numbers; of a long payload, piece by piece."""
    size = len(payload)
    if size > _PIECE:
        return b"".join([_unmask(payload[at : at + _PIECE], key) for at in range(0, size, _PIECE)])
    keys = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(keys, "little")).to_bytes(size, "little")


# What stays in the processor's caches while it is unmasked; whole keys.
_PIECE = 16_384
# Bits of a frame's first byte, and of its second.
_FIN, _CONTROL, _MASKED = 0x80, 0x08, 0x80
_OPCODES = frozenset(Opcode)
_FIRST_BYTES = frozenset(_FIN | opcode for opcode in Opcode) | {Opcode.CONTINUATION, Opcode.TEXT, Opcode.BINARY}
# Those that section 7.4.1 and its registry let an endpoint send; 3000 to 4999 are applications' own.
_CLOSE_CODES = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})
