"""A TCP proxy whose line can be cut, kept down, sliced and delayed.

Owns: the sockets between a client and a server, and a seeded choice of what happens to the bytes. Never: knowledge of
what they mean.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

_CHUNK = 1 << 16
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, kw_only=True)
class Weather:
    """What a line does to the bytes on it.

    `slice_bytes`: at most so many leave together; `delay`: up to so many seconds before each slice; `reset_after`: a
    line is reset after a number of bytes of up to this. Zero means never.
    """

    slice_bytes: int = 0
    delay: float = 0.0
    reset_after: int = 0


FAIR = Weather()


class LineReset(Exception):
    """The weather has reset a line."""


class Proxy:
    """Listens on a loopback port. `down`: who connects is reset at once. `resets` counts the lines it has reset."""

    def __init__(self, target: int, *, weather: Weather = FAIR, seed: int = 0) -> None:
        self.target = target
        self.weather = weather
        self.down = False
        self.resets = 0
        self.port = 0
        self._random = random.Random(seed)
        self._lines: set[asyncio.Task[None]] = set()
        self._was_reset = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def lines(self) -> int:
        """How many lines are up."""
        return len(self._lines)

    async def cut(self, *, stay_down: bool = False) -> None:
        """Reset every line; with `stay_down`, also every new one until `down` is unset."""
        self.down = stay_down
        lines = list(self._lines)
        for line in lines:
            line.cancel()
        await asyncio.gather(*lines, return_exceptions=True)

    async def until_resets(self, times: int) -> None:
        """Wait until so many lines were reset."""
        while self.resets < times:
            self._was_reset.clear()
            await self._was_reset.wait()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of our own: asyncio's, for a coroutine given to start_server, may not be cancelled.
        line = asyncio.get_running_loop().create_task(self._line(reader, writer))
        self._lines.add(line)
        line.add_done_callback(self._lines.discard)
        # Here and not in the task, which does not run at all if it is cancelled before its first step.
        line.add_done_callback(lambda _: _reset(writer))

    async def _line(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far: asyncio.StreamWriter | None = None
        try:
            if self.down:
                return
            far_reader, far = await asyncio.open_connection("127.0.0.1", self.target)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry(reader, far))
                both.create_task(self._carry(far_reader, writer))
        except* LineReset:
            self.resets += 1
            self._was_reset.set()
        except* OSError:
            pass  # an end went away by itself
        finally:
            if far is not None:
                _reset(far)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        weather, carried = self.weather, 0
        reset_at = self._random.randint(1, weather.reset_after) if weather.reset_after else 0
        while data := await reader.read(_CHUNK):
            for part in self._sliced(data):
                if weather.delay:
                    await asyncio.sleep(self._random.uniform(0, weather.delay))
                writer.write(part)
                await writer.drain()
                carried += len(part)
                if reset_at and carried >= reset_at:
                    raise LineReset
        writer.write_eof()

    def _sliced(self, data: bytes) -> list[bytes]:
        if not self.weather.slice_bytes:
            return [data]
        parts = []
        while data:
            size = self._random.randint(1, self.weather.slice_bytes)
            parts.append(data[:size])
            data = data[size:]
        return parts


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST, as a line that breaks."""
    end = writer.get_extra_info("socket")
    if end is not None and end.fileno() >= 0:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


@asynccontextmanager
async def proxied(target: int, *, weather: Weather = FAIR, seed: int = 0) -> AsyncIterator[Proxy]:
    """A proxy to a port of this machine."""
    proxy = Proxy(target, weather=weather, seed=seed)
    server = await asyncio.start_server(proxy._accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.cut(stay_down=True)
