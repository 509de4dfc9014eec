"""The HTTP of a WebSocket's beginning (RFC 6455, section 4.2).

Owns: what an upgrade request must ask for, and the bytes of both answers. Never: whether the client may have a
session (see `handshake.py`), a socket.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from http import HTTPStatus

from callboard.transports.handshake import Refusal, RefusalCode

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %b\r\n\r\n"
)


def take_apart(head: bytes) -> tuple[bytes, bytes, dict[str, str]]:
    """Method, target and headers, names in lower case, of a request as uvicorn hands it to its WebSockets."""
    request_line, *lines = head.rstrip(b"\r\n").split(b"\r\n")
    method, target, _ = request_line.split(b" ", 2)
    fields = [line.partition(b":") for line in lines]
    headers = {name.decode("latin-1").lower(): value.strip().decode("latin-1") for name, _, value in fields}
    return method, target, headers


def switching(headers: Mapping[str, str]) -> bytes:
    """The answer that accepts the request with these headers. Raises Refusal if RFC 6455 forbids it."""
    if headers.get("sec-websocket-version") != "13":
        raise Refusal(RefusalCode.BAD_REQUEST, "WebSocket version 13 is required", status=426)
    key = headers.get("sec-websocket-key", "").encode("latin-1")
    try:
        nonce = binascii.a2b_base64(key, strict_mode=True)
    except binascii.Error:
        nonce = b""
    if len(nonce) != 16:
        raise Refusal(RefusalCode.BAD_REQUEST, "Sec-WebSocket-Key must be 16 bytes in base64")
    return _SWITCHING % base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def refused(refusal: Refusal) -> bytes:
    """The answer to a request that is refused; the connection is to be closed behind it."""
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(refusal.body)),
        "Connection": "close",
    }
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(refusal.retry_after)
    if refusal.status == HTTPStatus.UPGRADE_REQUIRED:
        headers["Sec-WebSocket-Version"] = "13"
    status = HTTPStatus(refusal.status)
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + refusal.body
