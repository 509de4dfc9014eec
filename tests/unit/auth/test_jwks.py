from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import jwt
import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from tests.clock import TurnedClock

from callboard.auth.jwks import JwksKeys, usable_keys
from callboard.auth.tokens import TokenVerifier, verifier
from callboard.errors import SettingsError, Unauthenticated, Unavailable
from callboard.settings import Settings

URL = "https://issuer.invalid/.well-known/jwks.json"
Logs = list[Any]
Answer = Callable[[], httpx.Response]


def published(key: rsa.RSAPrivateKey, kid: str | None, **extra: object) -> dict[str, object]:
    entry = {
        **RSAAlgorithm.to_jwk(key.public_key(), as_dict=True),
        "alg": "RS256",
        "use": "sig",
        "kid": kid,
        **extra,
    }
    return {name: value for name, value in entry.items() if value is not None}


class Body(httpx.AsyncByteStream):
    """An answer that arrives in two pieces, as from a network."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        middle = len(self._content) // 2
        yield self._content[:middle]
        yield self._content[middle:]


def answering(content: bytes, status: int = 200, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda: httpx.Response(status, headers=named, stream=Body(content))


def away() -> httpx.Response:
    raise httpx.ConnectError("the issuer is away")


class Issuer:
    """The issuer behind a mock transport: counts requests, can hold its answer back, can be away."""

    def __init__(self, *keys: dict[str, object]) -> None:
        self.keys = list(keys)
        self.requests = 0
        self.answer: Answer | None = None
        self.open = asyncio.Event()
        self.open.set()
        self.asked = asyncio.Event()
        self.client = httpx.AsyncClient(transport=httpx.MockTransport(self._handle))

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        self.asked.set()
        await self.open.wait()
        answer = self.answer or answering(json.dumps({"keys": self.keys}).encode())
        return answer()


@pytest.fixture
def checker(configure: Callable[..., Settings], clock: TurnedClock, issuer: Issuer) -> TokenVerifier:
    return verifier(configure(JWT_JWKS_URL=URL), clock=clock, client=issuer.client)


@pytest.fixture
async def issuer(rsa_key: rsa.RSAPrivateKey) -> Issuer:
    return Issuer(published(rsa_key, "k1"))


@pytest.fixture
def logs() -> Iterator[Logs]:
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.fixture
def sign(clock: TurnedClock) -> Callable[..., str]:
    def token(key: rsa.RSAPrivateKey, kid: str | None, sub: str = "u1") -> str:
        payload = {"sub": sub, "exp": int(clock.now().timestamp()) + 86400}
        return jwt.encode(payload, key, algorithm="RS256", headers={"kid": kid} if kid else None)

    return token


Sign = Callable[..., str]


async def code(checker: TokenVerifier, token: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await checker.verify(token)
    return caught.value.code


async def settled(issuer: Issuer, requests: int) -> None:
    """Wait until the issuer was asked `requests` times and the answer is taken in."""
    while issuer.requests < requests:
        issuer.asked.clear()
        await issuer.asked.wait()
    for task in asyncio.all_tasks():
        if task.get_name() == "jwks-fetch":
            await task


async def test_keys_are_fetched_when_first_needed_and_only_once(
    checker: TokenVerifier, issuer: Issuer, rsa_key: rsa.RSAPrivateKey, sign: Sign
) -> None:
    assert issuer.requests == 0
    for sub in ("u1", "u2", "u3"):
        assert (await checker.verify(sign(rsa_key, "k1", sub))).id == sub
    assert (await checker.verify(sign(rsa_key, None))).id == "u1"
    assert issuer.requests == 1
    await checker.aclose()


async def test_all_waiters_share_one_fetch(
    checker: TokenVerifier, issuer: Issuer, rsa_key: rsa.RSAPrivateKey, sign: Sign
) -> None:
    issuer.open.clear()
    waiters = [asyncio.create_task(checker.verify(sign(rsa_key, "k1", f"u{n}"))) for n in range(20)]
    await issuer.asked.wait()
    waiters[0].cancel()
    issuer.open.set()
    done = await asyncio.gather(*waiters, return_exceptions=True)
    assert isinstance(done[0], asyncio.CancelledError)
    assert not any(isinstance(result, BaseException) for result in done[1:])
    assert issuer.requests == 1


async def test_an_unknown_kid_asks_at_most_once_in_30_seconds(
    checker: TokenVerifier,
    issuer: Issuer,
    clock: TurnedClock,
    rsa_key: rsa.RSAPrivateKey,
    other_rsa_key: rsa.RSAPrivateKey,
    sign: Sign,
) -> None:
    await checker.verify(sign(rsa_key, "k1"))
    issuer.keys.append(published(other_rsa_key, "k2"))
    rotated = sign(other_rsa_key, "k2")
    clock.turn(29)
    for _ in range(5):
        assert await code(checker, rotated) == "token_invalid"
    assert issuer.requests == 1
    clock.turn(1)
    assert (await checker.verify(rotated)).id == "u1"
    assert issuer.requests == 2
    clock.turn(29)
    assert await code(checker, sign(rsa_key, "k3")) == "token_invalid"
    assert issuer.requests == 2


async def test_keys_are_refreshed_every_hour_without_holding_anybody_up(
    checker: TokenVerifier, issuer: Issuer, clock: TurnedClock, rsa_key: rsa.RSAPrivateKey, sign: Sign
) -> None:
    token = sign(rsa_key, "k1")
    await checker.verify(token)
    clock.turn(3599)
    await checker.verify(token)
    assert issuer.requests == 1
    clock.turn(1)
    issuer.open.clear()
    await checker.verify(token)
    await issuer.asked.wait()
    issuer.open.set()
    await settled(issuer, 2)
    await checker.verify(token)
    assert issuer.requests == 2


async def test_a_withdrawn_key_ends_its_cached_tokens(
    checker: TokenVerifier,
    issuer: Issuer,
    clock: TurnedClock,
    rsa_key: rsa.RSAPrivateKey,
    other_rsa_key: rsa.RSAPrivateKey,
    sign: Sign,
) -> None:
    token = sign(rsa_key, "k1")
    await checker.verify(token)
    issuer.keys = [published(other_rsa_key, "k2")]
    clock.turn(3600)
    await checker.verify(token)
    await settled(issuer, 2)
    assert await code(checker, token) == "token_invalid"


async def test_after_idling_the_fresh_keys_are_waited_for(
    checker: TokenVerifier,
    issuer: Issuer,
    clock: TurnedClock,
    rsa_key: rsa.RSAPrivateKey,
    other_rsa_key: rsa.RSAPrivateKey,
    sign: Sign,
) -> None:
    token = sign(rsa_key, "k1")
    await checker.verify(token)
    issuer.keys = [published(other_rsa_key, "k2")]
    clock.turn(2 * 3600)
    assert await code(checker, token) == "token_invalid"


@pytest.mark.parametrize(
    "answer",
    [
        away,
        answering(b"", 500),
        answering(b"", 302, location="https://other.invalid/jwks"),
        answering(b"<html>"),
        answering(b"[" * 100_000),
        answering(b"[]"),
        answering(b'{"keys": {}}'),
        answering(b'{"keys": []}'),
        answering(json.dumps({"keys": [{}] * 101}).encode()),
        answering(b" " * 262_145),
        answering(b"\x1f\x8b", content_encoding="gzip"),
    ],
    ids=["away", "500", "302", "html", "nested", "list", "object", "empty", "many", "large", "gzip"],
)
async def test_an_outage_or_a_bad_answer_keeps_the_stale_keys(
    checker: TokenVerifier,
    issuer: Issuer,
    clock: TurnedClock,
    rsa_key: rsa.RSAPrivateKey,
    sign: Sign,
    logs: Logs,
    answer: Answer,
) -> None:
    await checker.verify(sign(rsa_key, "k1"))
    issuer.answer = answer
    clock.turn(3600)
    for n in range(3):
        assert (await checker.verify(sign(rsa_key, "k1", f"u{n}"))).id == f"u{n}"
        await settled(issuer, 2)
    assert issuer.requests == 2
    assert [entry["event"] for entry in logs] == ["jwks.failed"]
    issuer.answer = None
    clock.turn(30)
    await checker.verify(sign(rsa_key, "k1", "u9"))
    await settled(issuer, 3)


async def test_an_issuer_that_was_never_reached_is_an_outage_not_a_bad_token(
    checker: TokenVerifier,
    issuer: Issuer,
    clock: TurnedClock,
    rsa_key: rsa.RSAPrivateKey,
    sign: Sign,
    logs: Logs,
) -> None:
    issuer.answer = away
    for _ in range(3):
        with pytest.raises(Unavailable) as caught:
            await checker.verify(sign(rsa_key, "k1"))
        assert caught.value.retry_after == 30
    assert issuer.requests == 1
    assert len(logs) == 1
    issuer.answer = None
    clock.turn(30)
    await checker.verify(sign(rsa_key, "k1"))


async def test_an_issuer_that_does_not_answer_is_given_up(
    checker: TokenVerifier,
    issuer: Issuer,
    rsa_key: rsa.RSAPrivateKey,
    sign: Sign,
    logs: Logs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("callboard.auth.jwks.FETCH_SECONDS", 0.0)
    issuer.open.clear()
    with pytest.raises(Unavailable):
        await checker.verify(sign(rsa_key, "k1"))
    assert logs[0]["reason"] == "TimeoutError"


async def test_a_redirect_is_not_followed(
    checker: TokenVerifier, issuer: Issuer, rsa_key: rsa.RSAPrivateKey, sign: Sign, logs: Logs
) -> None:
    issuer.client.follow_redirects = True
    issuer.answer = answering(b"", 301, location="https://other.invalid/jwks")
    with pytest.raises(Unavailable):
        await checker.verify(sign(rsa_key, "k1"))
    assert issuer.requests == 1
    assert "301" in logs[0]["reason"]


async def test_only_https_is_fetched(clock: TurnedClock, configure: Callable[..., Settings]) -> None:
    with pytest.raises(SettingsError, match="JWT_JWKS_URL must begin with https://"):
        JwksKeys("http://issuer.invalid/jwks", algorithms=["RS256"], clock=clock)
    with pytest.raises(SettingsError, match="JWT_JWKS_URL must begin with https://"):
        configure(JWT_JWKS_URL="http://issuer.invalid/jwks")


async def test_closing_ends_a_running_fetch(
    checker: TokenVerifier, issuer: Issuer, rsa_key: rsa.RSAPrivateKey, sign: Sign
) -> None:
    issuer.open.clear()
    waiting = asyncio.create_task(checker.verify(sign(rsa_key, "k1")))
    await issuer.asked.wait()
    await checker.aclose()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert issuer.client.is_closed


async def test_a_client_of_its_own_is_closed_too(clock: TurnedClock) -> None:
    await JwksKeys(URL, algorithms=["RS256"], clock=clock).aclose()


async def test_a_kid_names_one_key_and_its_absence_needs_just_one(
    checker: TokenVerifier,
    issuer: Issuer,
    rsa_key: rsa.RSAPrivateKey,
    other_rsa_key: rsa.RSAPrivateKey,
    sign: Sign,
) -> None:
    issuer.keys.append(published(other_rsa_key, "k2"))
    assert (await checker.verify(sign(other_rsa_key, "k2"))).id == "u1"
    assert await code(checker, sign(other_rsa_key, "k1")) == "token_invalid"
    assert await code(checker, sign(rsa_key, None)) == "token_invalid"


def test_keys_that_must_not_verify_are_ignored(rsa_key: rsa.RSAPrivateKey, ec_key: ec.EllipticCurvePrivateKey) -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    curve = ECAlgorithm.to_jwk(ec_key.public_key(), as_dict=True)
    entries = [
        published(rsa_key, "good"),
        published(rsa_key, "untyped", alg=None, use=None),
        published(rsa_key, "verifies", key_ops=["verify"]),
        published(rsa_key, "encrypts", use="enc"),
        published(rsa_key, "another algorithm", alg="RS512"),
        published(rsa_key, "signs", key_ops=["sign"]),
        published(rsa_key, "private", d="AQAB"),
        published(weak, "weak"),
        published(rsa_key, "broken", n="!"),
        {**curve, "kid": "wrong curve", "alg": "RS256"},
        {**curve, "kid": "not pinned"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "symmetric", "alg": "RS256"},
        {"kty": ["RSA"], "kid": "no type"},
        {**published(rsa_key, None), "kid": 7},
        "no object",
    ]
    document = json.dumps({"keys": entries}).encode()
    assert [key.kid for key in usable_keys(document, ["RS256"])] == ["good", "untyped", "verifies"]
