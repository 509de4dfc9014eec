"""The same bytes to many sockets.

Owns: the way they are written: with one system call where the kernel lets us and there are enough of them, else with
one for each. Never: which sockets, what waits for one that does not take all.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from callboard import telemetry
from callboard.realtime.ring import Ring

# To fewer, a ring costs more than it saves.
ENOUGH = 16


class Writer:
    """`ring`: whether to use io_uring where it can be had; it is asked for when it is first needed."""

    def __init__(self, *, ring: bool = True) -> None:
        self._wanted = ring
        self._ring: Ring | None = None

    def write(self, sockets: Sequence[int], data: bytes) -> Sequence[int]:
        """Write to each socket, in order: how many bytes it took. After an error 0: the socket's transport meets it."""
        ring = self._ring or self._open() if self._wanted and len(sockets) >= ENOUGH else None
        if ring is None:
            return _write_each(sockets, data)
        taken = ring.send(sockets, data)
        if ring.failure is not None:
            self._give_up(ring.failure)
        return taken if min(taken) >= 0 else [max(0, each) for each in taken]

    def close(self) -> None:
        """Give the ring back. What is written from here on goes without."""
        self._wanted, self._ring = False, None

    def _open(self) -> Ring | None:
        try:
            self._ring = Ring()
        except OSError as error:
            self._give_up(error)
        return self._ring

    def _give_up(self, error: OSError) -> None:
        telemetry.log.info("socket.no_ring", reason=str(error))
        self.close()


def _write_each(sockets: Sequence[int], data: bytes) -> list[int]:
    taken, write = [], os.write
    for socket in sockets:
        try:
            taken.append(write(socket, data))
        except OSError:
            taken.append(0)
    return taken
