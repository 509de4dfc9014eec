"""RFC 6455: the frames of a message, joined.

Owns: `MessageAssembler`, which turns frames into whole messages by the rules of sections 5.4 (fragmentation) and 8.1
(UTF-8), and the bound of a message. Never: a frame's own form (see `frames.py`).
"""

from __future__ import annotations

import codecs

from callboard.wire.frames import CloseCode, FrameError, Opcode

MAX_FRAGMENTS = 1_024

_TEXT = int(Opcode.TEXT)  # an enum's members are looked up by Python code


class MessageAssembler:
    """Joins the data frames of one connection into messages.

    Holds no more than `max_bytes` and `max_fragments` fragments of one message. Text is checked as UTF-8 while
    it arrives, so that a bad byte fails at its own fragment and a character may be split between two.
    """

    __slots__ = ("_decoder", "_fragments", "_max_bytes", "_max_fragments", "_opcode", "_parts", "_size", "_texts")

    def __init__(self, max_bytes: int, max_fragments: int = MAX_FRAGMENTS) -> None:
        self._max_bytes = max_bytes
        self._max_fragments = max_fragments
        self._opcode: Opcode | None = None
        self._parts: list[bytes] = []
        self._texts: list[str] = []
        self._decoder: codecs.IncrementalDecoder | None = None
        self._size = 0
        self._fragments = 0

    @property
    def in_message(self) -> bool:
        """Whether a fragmented message is under way."""
        return self._opcode is not None

    def feed(self, opcode: int, fin: bool, data: bytes) -> str | bytes | None:
        """Take one data frame; return the message it completes, else None. Raises FrameError."""
        if self._opcode is None:
            return self._begin(opcode, fin, data)
        if opcode != Opcode.CONTINUATION:
            raise FrameError("a new message began inside a fragmented one")
        return self._add(fin, data)

    def _begin(self, opcode: int, fin: bool, data: bytes) -> str | bytes | None:
        if opcode not in (Opcode.TEXT, Opcode.BINARY):
            raise FrameError("a continuation frame has nothing to continue")
        if fin:
            return whole_message(opcode, data, self._max_bytes)
        self._opcode = Opcode(opcode)
        self._decoder = _UTF8() if opcode == Opcode.TEXT else None
        self._size = self._fragments = 0
        return self._add(fin, data)

    def _add(self, fin: bool, data: bytes) -> str | bytes | None:
        self._size += len(data)
        self._fragments += 1
        self._bound(self._size)
        if self._fragments > self._max_fragments:
            raise FrameError(f"more than {self._max_fragments} fragments in one message", CloseCode.POLICY_VIOLATION)
        if self._decoder is None:
            self._parts.append(data)
        else:
            self._texts.append(_decode_part(self._decoder, data, fin))
        return self._finish() if fin else None

    def _finish(self) -> str | bytes:
        message: str | bytes = b"".join(self._parts) if self._decoder is None else "".join(self._texts)
        self._opcode = self._decoder = None
        self._parts, self._texts = [], []
        return message

    def _bound(self, size: int) -> None:
        _bound(size, self._max_bytes)


def whole_message(opcode: int, data: bytes, max_bytes: int) -> str | bytes:
    """The message of a data frame that is all of one: TEXT or BINARY, final. Raises FrameError."""
    _bound(len(data), max_bytes)
    return decode_text(data) if opcode == _TEXT else data


def decode_text(data: bytes) -> str:
    """The text of a whole message. Raises FrameError 1007 if it is not UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise FrameError("the text is not UTF-8", CloseCode.INVALID_TEXT) from None


def _bound(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise FrameError(f"the message is over {max_bytes} bytes", CloseCode.TOO_BIG)


def _decode_part(decoder: codecs.IncrementalDecoder, data: bytes, final: bool) -> str:
    try:
        return decoder.decode(data, final)
    except UnicodeDecodeError:
        raise FrameError("the text is not UTF-8", CloseCode.INVALID_TEXT) from None


_UTF8 = codecs.getincrementaldecoder("utf-8")
