from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import timedelta

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.clock import TurnedClock
from tests.unit.auth.conftest import SECRET

from callboard.auth.keys import StaticKeys
from callboard.auth.principal import Principal
from callboard.auth.tokens import TokenSigner, TokenVerifier, bearer_token, parse_ttl, verifier
from callboard.clock import Clock
from callboard.errors import Invalid, SettingsError, Unauthenticated
from callboard.settings import Settings

Configure = Callable[..., Settings]


class CountingKeys(StaticKeys):
    """Counts the signature checks that ask for a key, and can pretend that the keys changed."""

    def __init__(self) -> None:
        super().__init__(SECRET.encode())
        self.asked = 0
        self.revision = 0

    async def find(self, algorithm: str, kid: str | None) -> bytes:
        self.asked += 1
        return SECRET.encode()


def claims(clock: Clock, **changes: object) -> dict[str, object]:
    now = int(clock.now().timestamp())
    return {"sub": "u1", "name": "Mira", "roles": ["admin"], "exp": now + 60, **changes}


def signed(payload: dict[str, object], key: str | rsa.RSAPrivateKey = SECRET, algorithm: str = "HS256") -> str:
    return jwt.encode(payload, key, algorithm=algorithm)


def hand_made(header: object, payload: bytes, key: bytes = SECRET.encode()) -> str:
    """A token whose signature is right whatever the header and the payload are."""

    def part(data: bytes) -> bytes:
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    signing_input = part(json.dumps(header).encode()) + b"." + part(payload)
    signature = hmac.new(key, signing_input, hashlib.sha256).digest()
    return (signing_input + b"." + part(signature)).decode()


async def refusal(checker: TokenVerifier, token: object) -> Unauthenticated:
    with pytest.raises(Unauthenticated) as caught:
        await checker.verify(token)
    if isinstance(token, str) and token:
        assert token not in caught.value.message
    return caught.value


@pytest.fixture
def checker(configure: Configure, clock: TurnedClock) -> TokenVerifier:
    return verifier(configure(JWT_SECRET=SECRET), clock=clock)


async def test_a_signed_token_gives_its_principal(
    configure: Configure, clock: TurnedClock, checker: TokenVerifier
) -> None:
    signer = TokenSigner(configure(JWT_SECRET=SECRET), clock=clock)
    token = signer.sign("u1", "Mira Okafor", ["admin"], ["direction"], ttl=timedelta(hours=1))
    assert await checker.verify(token) == Principal(
        id="u1",
        name="Mira Okafor",
        roles=frozenset({"admin"}),
        teams=frozenset({"direction"}),
        expires=clock.timestamp() + 3600,
    )


@pytest.mark.parametrize("token", [None, ""])
async def test_no_token_is_token_missing(checker: TokenVerifier, token: str | None) -> None:
    refused = await refusal(checker, token)
    assert refused.code == "token_missing"
    assert "Authorization: Bearer" in refused.message


@pytest.mark.parametrize("token", [7, {"token": "x"}, "x", "a.b.c", "..", "é.é.é", "\ud800", "x" * 8193])
async def test_what_is_no_jwt_is_token_invalid(checker: TokenVerifier, token: object) -> None:
    assert (await refusal(checker, token)).code == "token_invalid"


async def test_an_oversize_token_is_refused_before_its_signature(checker: TokenVerifier, clock: TurnedClock) -> None:
    assert "8192 bytes" in (await refusal(checker, signed(claims(clock, pad="x" * 8192)))).message


async def test_a_wrong_signature_is_said(checker: TokenVerifier, clock: TurnedClock) -> None:
    refused = await refusal(checker, signed(claims(clock), key="another secret that is long enough too"))
    assert refused.code == "token_invalid"
    assert "signature does not match" in refused.message


@pytest.mark.parametrize("algorithm", ["none", "None", "HS384", "RS256", "", None, 7, ["HS256"], {}])
async def test_only_the_pinned_algorithm_passes(checker: TokenVerifier, clock: TurnedClock, algorithm: object) -> None:
    refused = await refusal(checker, hand_made({"alg": algorithm}, json.dumps(claims(clock)).encode()))
    assert refused.code == "token_invalid"


async def test_an_unsigned_token_is_refused(checker: TokenVerifier, clock: TurnedClock) -> None:
    unsigned = hand_made({"alg": "none"}, json.dumps(claims(clock)).encode()).rpartition(".")[0]
    refused = await refusal(checker, unsigned + ".")
    assert "algorithm is not accepted here; use HS256" in refused.message


async def test_a_detached_payload_is_refused(checker: TokenVerifier) -> None:
    header = {"alg": "HS256", "b64": False, "crit": ["b64"]}
    refused = await refusal(checker, hand_made(header, b""))
    assert "malformed" in refused.message


async def test_the_public_key_does_not_pass_as_a_secret(
    configure: Configure, clock: TurnedClock, rsa_key: rsa.RSAPrivateKey
) -> None:
    pem = rsa_key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    checker = verifier(configure(JWT_PUBLIC_KEY=pem.decode()), clock=clock)
    payload = json.dumps(claims(clock)).encode()
    for algorithm in ("HS256", "RS256"):
        assert (await refusal(checker, hand_made({"alg": algorithm}, payload, key=pem))).code == "token_invalid"
    assert (await checker.verify(signed(claims(clock), rsa_key, "RS256"))).id == "u1"


@pytest.mark.parametrize("payload", [b"", b"[]", b'"u1"', b"{", b"\xff", b"[" * 5000, b'{"exp": 1e999, "sub": "u"}'])
async def test_claims_that_are_no_object_are_refused(checker: TokenVerifier, payload: bytes) -> None:
    assert (await refusal(checker, hand_made({"alg": "HS256"}, payload))).code == "token_invalid"


@pytest.mark.parametrize("other", ['"\\ud800"', "NaN", "1" * 400, '{"a": [1e2, {}]}'])
async def test_claims_that_nobody_looks_at_may_be_anything(
    checker: TokenVerifier, clock: TurnedClock, other: str
) -> None:
    payload = json.dumps(claims(clock, other="?")).replace('"?"', other)
    assert (await checker.verify(hand_made({"alg": "HS256"}, payload.encode()))).id == "u1"


async def test_a_deeply_nested_header_is_refused(checker: TokenVerifier) -> None:
    header = base64.urlsafe_b64encode(b"[" * 6000).rstrip(b"=").decode()
    assert (await refusal(checker, f"{header}.e30.AAAA")).code == "token_invalid"


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("sub", ""),
        ("sub", 1),
        ("roles", "admin"),
        ("teams", [1]),
        ("name", []),
        ("exp", "soon"),
        ("nbf", "x"),
        ("iat", []),
    ],
)
async def test_a_claim_of_a_wrong_type_is_named(
    checker: TokenVerifier, clock: TurnedClock, claim: str, value: object
) -> None:
    refused = await refusal(checker, hand_made({"alg": "HS256"}, json.dumps(claims(clock, **{claim: value})).encode()))
    assert refused.code == "token_invalid"
    assert f"claim {claim}" in refused.message


@pytest.mark.parametrize("claim", ["sub", "exp"])
async def test_sub_and_exp_are_required(checker: TokenVerifier, clock: TurnedClock, claim: str) -> None:
    payload = claims(clock)
    del payload[claim]
    assert f"claim {claim}" in (await refusal(checker, signed(payload))).message


async def test_a_token_expires_on_its_second_also_when_cached(checker: TokenVerifier, clock: TurnedClock) -> None:
    token = signed(claims(clock))
    clock.turn(59)
    await checker.verify(token)
    clock.turn(1)
    refused = await refusal(checker, token)
    assert refused.code == "token_expired"
    assert "sign in again" in refused.message
    assert (await refusal(checker, token)).code == "token_expired"


@pytest.mark.parametrize("claim", ["nbf", "iat"])
async def test_a_token_from_the_future_waits_but_for_the_leeway(
    checker: TokenVerifier, clock: TurnedClock, claim: str
) -> None:
    now = int(clock.now().timestamp())
    await checker.verify(signed(claims(clock, **{claim: now + 10})))
    early = signed(claims(clock, **{claim: now + 11}))
    assert f"claim {claim} lies in the future" in (await refusal(checker, early)).message
    clock.turn(1)
    await checker.verify(early)


async def test_issuer_and_audience_are_checked_if_configured(configure: Configure, clock: TurnedClock) -> None:
    checker = verifier(configure(JWT_SECRET=SECRET, JWT_ISSUER="our issuer", JWT_AUDIENCE="callboard"), clock=clock)
    for audience in ("callboard", ["other", "callboard"]):
        await checker.verify(signed(claims(clock, iss="our issuer", aud=audience)))
    for iss in ("another", None, ["our issuer"]):
        token = hand_made({"alg": "HS256"}, json.dumps(claims(clock, iss=iss, aud="callboard")).encode())
        assert "(iss)" in (await refusal(checker, token)).message
    audiences: tuple[object, ...] = ("another", None, [], {"callboard": 1})
    for aud in audiences:
        token = hand_made({"alg": "HS256"}, json.dumps(claims(clock, iss="our issuer", aud=aud)).encode())
        assert "(aud)" in (await refusal(checker, token)).message
    assert "(iss)" in (await refusal(checker, signed(claims(clock, aud="callboard")))).message
    assert "(aud)" in (await refusal(checker, signed(claims(clock, iss="our issuer")))).message


async def test_a_token_is_checked_once(configure: Configure, clock: TurnedClock) -> None:
    keys = CountingKeys()
    checker = TokenVerifier(keys, settings=configure(JWT_SECRET=SECRET), clock=clock)
    token = signed(claims(clock))
    assert await checker.verify(token) is await checker.verify(token)
    assert keys.asked == 1
    keys.revision = 1
    await checker.verify(token)
    assert keys.asked == 2


async def test_refusals_are_checked_each_time(configure: Configure, clock: TurnedClock) -> None:
    keys = CountingKeys()
    checker = TokenVerifier(keys, settings=configure(JWT_SECRET=SECRET), clock=clock)
    expired, wrong = signed(claims(clock, exp=1)), signed(claims(clock, sub=""))
    for _ in range(2):
        await refusal(checker, expired)
        await refusal(checker, wrong)
    assert keys.asked == 4


async def test_the_cache_drops_the_token_used_longest_ago(configure: Configure, clock: TurnedClock) -> None:
    keys = CountingKeys()
    checker = TokenVerifier(keys, settings=configure(JWT_SECRET=SECRET), clock=clock, cache_entries=2)
    first, second, third = (signed(claims(clock, sub=f"u{n}")) for n in range(3))
    for token in (first, second, first, third, first):
        await checker.verify(token)
    assert keys.asked == 3
    await checker.verify(second)
    assert keys.asked == 4


async def test_the_kept_secret_serves_signer_and_verifier(configure: Configure, clock: TurnedClock) -> None:
    settings = configure(JWT_ISSUER="us", JWT_AUDIENCE="callboard", JWT_ALGORITHMS="HS512")
    token = TokenSigner(settings, clock=clock).sign("u1", ttl=timedelta(seconds=30))
    checker = verifier(settings, clock=clock)
    assert (await checker.verify(token)).id == "u1"
    assert jwt.get_unverified_header(token)["alg"] == "HS512"
    await checker.aclose()


@pytest.mark.parametrize(
    ("name", "value"), [("JWT_PUBLIC_KEY", "key.pem"), ("JWT_JWKS_URL", "https://issuer.invalid/jwks")]
)
def test_no_token_is_signed_when_an_issuer_does(
    configure: Configure, clock: TurnedClock, name: str, value: str
) -> None:
    with pytest.raises(SettingsError, match=f"{name} is set: tokens come from the issuer"):
        TokenSigner(configure(**{name: value}), clock=clock)


def test_the_signer_refuses_what_the_verifier_would(configure: Configure, clock: TurnedClock) -> None:
    signer = TokenSigner(configure(JWT_SECRET=SECRET), clock=clock)
    with pytest.raises(Invalid) as caught:
        signer.sign("", ttl=timedelta(hours=1))
    assert caught.value.field == "sub"
    with pytest.raises(Invalid) as caught:
        signer.sign("u1", teams=[f"{n:0>200}" for n in range(60)], ttl=timedelta(hours=1))
    assert caught.value.field == "teams"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("15m", 900), ("24h", 86400), ("7d", 604800), (" 1s ", 1), ("3650d", 315360000)],
)
def test_a_lifetime_is_read(text: str, seconds: int) -> None:
    assert parse_ttl(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "0s", "-1h", "24", "h", "1.5h", "1w", "24 h", "3651d", "9999999999s", "٣s", "1h\n2"]
)
def test_a_wrong_lifetime_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="30s, 15m, 24h or 7d") as caught:
        parse_ttl(text)
    assert caught.value.field == "ttl"


@pytest.mark.parametrize(
    ("value", "token"),
    [
        (None, None),
        ("", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("Basic dTE6cHc=", None),
        ("Bearerabc", None),
        ("Bearer a.b.c", "a.b.c"),
        ("bearer \t a.b.c ", "a.b.c"),
    ],
)
def test_a_bearer_token_is_found(value: str | None, token: str | None) -> None:
    assert bearer_token(value) == token
