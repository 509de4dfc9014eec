"""Messages that clients send in /admin.

Owns: the meaning of `stats`. Never: state; admission is the namespace's.
"""

from __future__ import annotations

import msgspec

from callboard.realtime.namespace import Member, Namespace, check_fields
from callboard.sockets.statistics import StatisticsReader


def register(admin: Namespace, statistics: StatisticsReader) -> None:
    """Let clients of `admin` send the slice's messages."""

    async def stats(member: Member, data: dict[str, object]) -> dict[str, object]:
        check_fields(data)
        return {"stats": msgspec.to_builtins(statistics.read())}

    admin.on("stats", stats)
