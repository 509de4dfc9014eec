"""What one entry of the message catalogue says.

Owns: `Message`, the form in which a slice's `payloads.py` lists what it sends and what it takes, and `Time`, the
form of every moment in it. The reference page, the TypeScript types and the fixtures are generated from the entries.
Never: an entry; they belong to slices, and those of every namespace to `realtime/payloads.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Time = Annotated[
    str,
    Meta(
        pattern=r"^\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$",
        description="UTC, ISO 8601 with milliseconds",
        examples=["2026-01-31T09:30:00.000Z"],
    ),
]

EVERY = "*"


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message: its name, where it goes, and its only argument.

    `namespace`: EVERY for a message that each of them takes. `kind`: durable (through the log, recovered), volatile
    (newest wins) or client (sent by clients). `rooms`: who gets it, in words; for a client's message, who may send it.
    `fields`: the shape of the one object it carries. `acknowledgement`: for a client's message, what answers it. `key`:
    for a volatile one, what it is the state of.
    """

    name: str
    namespace: str
    kind: Literal["durable", "volatile", "client"]
    rooms: str
    summary: str
    fields: type[msgspec.Struct]
    acknowledgement: type[msgspec.Struct] | None = None
    key: str | None = None
