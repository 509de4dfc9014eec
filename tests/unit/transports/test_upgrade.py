"""The HTTP of a WebSocket's beginning."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.transports.handshake import Refusal, RefusalCode
from callboard.transports.upgrade import refused, switching, take_apart

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HEADERS = {"sec-websocket-version": "13", "sec-websocket-key": KEY}


def test_a_request_as_uvicorn_hands_it_over() -> None:
    head = b"GET /a?b=%20c HTTP/1.1\r\nHost: app.example:80\r\nx-forwarded-for:  1.2.3.4 \r\ncookie: \xe4=:\r\n\r\n"
    headers = {"host": "app.example:80", "x-forwarded-for": "1.2.3.4", "cookie": "ä=:"}
    assert take_apart(head) == (b"GET", b"/a?b=%20c", headers)


def test_the_answer_that_the_specification_shows() -> None:
    """RFC 6455, section 1.3."""
    lines = switching(HEADERS).split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 101 Switching Protocols"
    assert set(lines[1:]) == {
        b"Upgrade: websocket",
        b"Connection: upgrade",
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        b"",
    }


@pytest.mark.parametrize("asked", [{}, *({"sec-websocket-version": version} for version in ("", "8", "013", "13, 8"))])
def test_another_version_is_told_which_one_is_spoken(asked: dict[str, str]) -> None:
    with pytest.raises(Refusal) as refusal:
        switching({"sec-websocket-key": KEY, **asked})
    head, _, body = refused(refusal.value).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 426 Upgrade Required\r\n")
    assert b"\r\nSec-WebSocket-Version: 13" in head
    assert json.loads(body) == {"code": RefusalCode.BAD_REQUEST, "message": "WebSocket version 13 is required"}


IN_BASE64 = st.binary(max_size=20).map(lambda data: base64.b64encode(data).decode())


@given(st.text(st.characters(max_codepoint=255)) | IN_BASE64)
def test_a_key_is_sixteen_bytes_in_base64(key: str) -> None:
    try:
        nonce = base64.b64decode(key, validate=True)
    except ValueError:
        nonce = b""
    headers = {**HEADERS, "sec-websocket-key": key}
    if len(nonce) == 16 and base64.b64encode(nonce).decode() == key:
        assert switching(headers).startswith(b"HTTP/1.1 101 ")
    elif len(nonce) != 16:
        with pytest.raises(Refusal, match="16 bytes"):
            switching(headers)


def test_a_refusal_says_why_when_to_come_back_and_that_it_is_the_end() -> None:
    answer = refused(Refusal(RefusalCode.FORBIDDEN, "all connections are in use", status=503, retry_after=5))
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 503 Service Unavailable"
    assert {b"Retry-After: 5", b"Connection: close", b"Content-Length: %d" % len(body)} <= set(lines)
    assert json.loads(body) == {"code": 4, "message": "all connections are in use"}
