"""Whatever a client sends as a token, the answer is a principal or Unauthenticated."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path

import jwt
from hypothesis import example, given
from hypothesis import strategies as st

from callboard import settings
from callboard.auth.jws import CompactJws
from callboard.auth.principal import Principal
from callboard.auth.tokens import TokenVerifier, bearer_token, verifier
from callboard.clock import SystemClock
from callboard.errors import Unauthenticated

SECRET = "a secret that only this test knows, and long enough"
CHECKER: TokenVerifier = verifier(settings.load({"JWT_SECRET": SECRET}, data_dir=Path("unused")), clock=SystemClock())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(["sub", "name", "roles", "teams", "exp", "nbf", "iat", "iss", "aud"])
HEADERS = st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "cty"]), JSON)


async def check(token: object) -> None:
    try:
        principal = await CHECKER.verify(token)
    except Unauthenticated as refused:
        answer: object = refused.code
    else:
        answer = type(principal)
    assert answer in {"token_missing", "token_invalid", "token_expired", Principal}


def part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(header: object, payload: bytes) -> str:
    signing_input = f"{part(json.dumps(header).encode())}.{part(payload)}"
    digest = hmac.new(SECRET.encode(), signing_input.encode(), hashlib.sha256).digest()
    return f"{signing_input}.{part(digest)}"


@given(st.text() | st.none() | JSON)
@example("a.b.c\x00")
@example("." * 8192)
async def test_any_value_as_a_token(token: object) -> None:
    await check(token)


@given(st.binary(), st.binary(), st.binary())
async def test_any_three_parts(header: bytes, payload: bytes, signature: bytes) -> None:
    await check(f"{part(header)}.{part(payload)}.{part(signature)}")


@given(HEADERS, st.binary())
async def test_any_header_and_payload_with_a_right_signature(header: dict[str, object], payload: bytes) -> None:
    await check(signed({"alg": "HS256", **header}, payload))
    await check(signed({**header, "alg": "HS256"}, payload))


@given(st.dictionaries(NAMES, JSON))
@example({"sub": "u1", "exp": 10**4000})
@example({"sub": "u1", "exp": -(10**17)})
async def test_any_claims_with_a_right_signature(claims: dict[str, object]) -> None:
    token = signed({"alg": "HS256"}, json.dumps(claims).encode())
    await check(token)
    await check(signed({"alg": "HS256"}, json.dumps({"sub": "u1", "exp": 4e9, **claims}).encode()))


@given(st.binary(max_size=40), st.data())
def test_the_short_way_agrees_with_pyjwt(payload: bytes, data: st.DataObject) -> None:
    jws, key = CompactJws(["HS256"]), SECRET.encode()
    token = signed({"alg": "HS256", "typ": "JWT"}, payload)
    assert jws.payload(token.encode(), jws.header(token.encode()), key, "HS256") == payload
    place = data.draw(st.integers(0, len(token)))
    piece = data.draw(st.text("AZaz09-_=.+/ \n", max_size=2))
    altered = (token[:place] + piece + token[place + data.draw(st.integers(0, 2)) :]).encode()
    try:
        expected = jwt.PyJWS(algorithms=["HS256"]).decode_complete(altered, key, algorithms=["HS256"])["payload"]
    except jwt.PyJWTError as error:
        expected = type(error)
    try:
        found: object = jws.payload(altered, jws.header(altered), key, "HS256")
    except jwt.PyJWTError as error:
        found = type(error)
    assert found == expected


@given(st.text() | st.none())
def test_any_authorization_header(value: str | None) -> None:
    token = bearer_token(value)
    assert token is None or (value is not None and token in value)
