"""What passed through one engine since it was made.

Owns: five numbers, added to by whoever moves the messages: once a write, a read or an envelope, never once a
receiver. Never: a lock, a label, a rate; who asks takes the difference of two readings.
"""

from __future__ import annotations


class Traffic:
    """Totals. They only grow.

    `messages_in`: messages of clients that were handled. `messages_out`: messages queued to clients, each receiver
    counting; acknowledgements and heartbeats are none. `dropped`: volatile ones of these that were not written, the
    client having too much unsent or a newer one of the same key. `bytes_in`, `bytes_out`: Engine.IO content from
    clients, and WebSocket frames (on ASGI their content only) and long-polling bodies to them; HTTP heads and TCP are
    not counted.
    """

    __slots__ = ("bytes_in", "bytes_out", "dropped", "messages_in", "messages_out")

    def __init__(self) -> None:
        self.messages_in = 0
        self.messages_out = 0
        self.dropped = 0
        self.bytes_in = 0
        self.bytes_out = 0
