"""Many writes with one system call: Linux's io_uring.

Owns: the ring's memory as the kernel lays it out (io_uring_setup(2), io_uring_enter(2)), and what became of each
write. Never: a write that waits (a socket takes what it takes at once), another operation, a thread of the kernel's.

Entries are not made one by one, which would cost what the system calls do: three assignments make all of a batch.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import struct
import sys
import weakref
from array import array
from collections.abc import Sequence

# Of one system call; a power of two. A ring of these fits into the 64 KB that a process may always lock.
ENTRIES = 512

_SETUP, _ENTER = 425, 426  # on every architecture
# A wrong entry stops no other; one thread enters, and completions are made when it does: Linux 6.1.
_FLAGS = 1 << 7 | 1 << 12 | 1 << 13
_GET_EVENTS = 1
_ENTRIES_OFFSET = 0x10000000
_SEND = 26
_NO_SIGNAL, _DO_NOT_WAIT = 0x4000, 0x40

# struct io_uring_params: what is asked for, and where in the memory of the rings is what.
_PARAMS_SIZE, _FLAGS_AT, _SUBMISSION_AT, _COMPLETION_AT = 120, 8, 40, 80
# struct io_uring_sqe: opcode, socket, address and length of the data, flags of the send, the number to answer with.
_ENTRY = struct.Struct("=B3xi8xQIIQ24x")
_ALL = list(range(ENTRIES))
_NUMBERS = array("I", _ALL)
_WORD = 0xFFFFFFFF

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _system_call(number: int, *arguments: int) -> int:
    """Raises OSError."""
    result: int = -1 if _libc is None else _libc.syscall(*[ctypes.c_long(value) for value in (number, *arguments)])
    if result < 0:
        code = errno.ENOSYS if _libc is None else ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


class Ring:
    """A ring, until the object goes. To be used by one thread, the one that makes it.

    `failure`: what has ended it; from then on it takes nothing.
    """

    def __init__(self) -> None:
        """Raises OSError where the kernel has none, is older than 6.1, or lets nobody have one."""
        self.failure: OSError | None = None
        params = ctypes.create_string_buffer(_PARAMS_SIZE)
        struct.pack_into("=I", params, _FLAGS_AT, _FLAGS)
        self._file = _system_call(_SETUP, ENTRIES, ctypes.addressof(params))
        weakref.finalize(self, os.close, self._file)

        _, completions = struct.unpack_from("=2I", params)
        _, tail, _, _, _, _, places = struct.unpack_from("=7I", params, _SUBMISSION_AT)
        head, ready, _, _, _, results = struct.unpack_from("=6I", params, _COMPLETION_AT)
        memory = mmap.mmap(self._file, max(places + 4 * ENTRIES, results + 16 * completions))
        words = memoryview(memory).cast("I")
        # Each is one number: how many were handed in, how many completions were taken, how many there are.
        self._handed, self._taken, self._ready = (words[at // 4 : at // 4 + 1] for at in (tail, head, ready))
        self._places = words[places // 4 : places // 4 + ENTRIES]
        self._completions = completions
        self._numbers = words[results // 4 : results // 4 + 4 * completions : 4]
        self._results = memoryview(memory).cast("i")[results // 4 + 2 : results // 4 + 4 * completions : 4]

        entries = mmap.mmap(self._file, _ENTRY.size * ENTRIES, offset=_ENTRIES_OFFSET)
        for number in _ALL:
            _ENTRY.pack_into(entries, _ENTRY.size * number, _SEND, -1, 0, 0, _NO_SIGNAL | _DO_NOT_WAIT, number)
        self._sockets = memoryview(entries).cast("i")[1::16]
        self._addresses = memoryview(entries).cast("Q")[2::8]
        self._lengths = memoryview(entries).cast("I")[6::16]

    def send(self, sockets: Sequence[int], data: bytes) -> list[int]:
        """Write `data` to each socket, in order: how many bytes it took, or the error's number, negative."""
        taken: list[int] = []
        for start in range(0, len(sockets), ENTRIES):
            taken += self._send(sockets[start : start + ENTRIES], data)
        return taken

    def _send(self, sockets: Sequence[int], data: bytes) -> list[int]:
        count = len(sockets)
        if self.failure is not None:
            return [0] * count
        self._sockets[:count] = array("i", sockets)
        self._addresses[:count] = array("Q", [ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0]) * count
        self._lengths[:count] = array("I", [len(data)]) * count
        handed = self._handed[0]
        first, behind = _parts(handed, count, ENTRIES)
        self._places[first] = _NUMBERS[: first.stop - first.start]
        self._places[behind] = _NUMBERS[first.stop - first.start : count]
        self._handed[0] = handed + count & _WORD
        try:
            self._enter(count)
        except OSError as error:
            self.failure = error
        return self._take(count)

    def _enter(self, count: int) -> None:
        """Have so many entries done. They are when this returns: none of them waits for its socket."""
        left = count
        while (missing := count - self._completed()) > 0:
            try:
                left -= _system_call(_ENTER, self._file, left, missing, _GET_EVENTS, 0, 0)
            except InterruptedError:
                continue

    def _completed(self) -> int:
        return self._ready[0] - self._taken[0] & _WORD

    def _take(self, count: int) -> list[int]:
        """The result of each entry, by its number; of one that was not done, 0."""
        completed = self._completed()
        parts = _parts(self._taken[0], completed, self._completions)
        numbers, results = (
            view[parts[0]].tolist() + view[parts[1]].tolist() for view in (self._numbers, self._results)
        )
        self._taken[0] = self._taken[0] + completed & _WORD
        if numbers == _ALL[:count]:
            return results
        taken = [0] * count
        for number, result in zip(numbers, results, strict=True):
            taken[number] = result
        return taken


def _parts(at: int, count: int, size: int) -> tuple[slice, slice]:
    """Where `count` things lie from a position on, in a ring of `size`: up to its end, and from its beginning."""
    start = at % size
    end = min(start + count, size)
    return slice(start, end), slice(0, start + count - end)
