"""Tokens: a JWT (RFC 7519) becomes a principal, and, with a secret, a principal becomes a JWT.

Owns: what makes a token acceptable, and the cache of those already checked. Never: a token, or a piece of
one, in a message, a log line or the cache (which keeps hashes); an algorithm that the settings did not pin.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import timedelta

import httpx
import jwt
import msgspec

from callboard.auth.jwks import JwksKeys
from callboard.auth.jws import CompactJws, Header
from callboard.auth.keys import Keys, StaticKeys, pinned, public_key, secret_key
from callboard.auth.principal import Principal, numeric_date, principal_from_claims
from callboard.auth.revocations import Revocations
from callboard.clock import Clock
from callboard.errors import Invalid, SettingsError, Unauthenticated
from callboard.settings import Settings

MAX_TOKEN_BYTES = 8192
CACHE_ENTRIES = 10_000
LEEWAY_SECONDS = 10.0
MAX_TTL = timedelta(days=3650)

_TTL = re.compile(r"([0-9]{1,9})([smhd])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_BEARER = re.compile(r"bearer[ \t]+(\S.*)", re.IGNORECASE)
_AGAIN = "sign in again for a new one"


class _Checked(msgspec.Struct, frozen=True):
    principal: Principal
    expires: float
    issued: float | None


class TokenVerifier:
    """Turns tokens into principals.

    The 10,000 tokens used last are remembered by their SHA-256 until they expire or the issuer's keys change,
    since a check costs ten times as much as a look-up. Refusals are not remembered. Expiry and revocation are
    asked on each use.
    """

    def __init__(
        self,
        keys: Keys,
        *,
        settings: Settings,
        clock: Clock,
        revocations: Revocations | None = None,
        cache_entries: int = CACHE_ENTRIES,
    ) -> None:
        self._keys = keys
        self._revocations = revocations or Revocations()
        self._algorithms = settings.jwt_algorithms
        self._issuer = settings.jwt_issuer
        self._audience = settings.jwt_audience
        self._clock = clock
        self._jws = CompactJws(self._algorithms)
        self._checked: OrderedDict[bytes, _Checked] = OrderedDict()
        self._cache_entries = cache_entries
        self._cache_revision = keys.revision

    async def verify(self, token: object) -> Principal:
        """The principal of `token`, as it came from a header or a CONNECT packet.

        Raises Unauthenticated: `token_missing` for None or "", `token_expired`, `token_invalid` for all else.
        Raises Unavailable only while an issuer's keys have never been reached.
        """
        raw = _raw(token)
        digest = hashlib.sha256(raw).digest()
        if await self._keys.current() != self._cache_revision:
            self._forget()
        checked = self._checked.get(digest)
        if checked is None:
            checked = await self._check(raw)
            self._remember(digest, checked)
        else:
            self._checked.move_to_end(digest)
        if self._clock.timestamp() >= checked.expires:
            self._checked.pop(digest, None)
            raise Unauthenticated(f"The token has expired: {_AGAIN}", code="token_expired")
        if self._revocations.refuses(checked.principal.id, checked.issued):
            self._checked.pop(digest, None)
            raise Unauthenticated(f"The token was revoked: {_AGAIN}", code="token_invalid")
        return checked.principal

    async def aclose(self) -> None:
        """Close the key source."""
        await self._keys.aclose()

    def _forget(self) -> None:
        self._checked.clear()
        self._cache_revision = self._keys.revision

    def _remember(self, digest: bytes, checked: _Checked) -> None:
        # The check may have fetched a new set of keys.
        if self._keys.revision != self._cache_revision:
            self._forget()
        self._checked[digest] = checked
        if len(self._checked) > self._cache_entries:
            self._checked.popitem(last=False)

    async def _check(self, raw: bytes) -> _Checked:
        """All but expiry and revocation."""
        header = self._header(raw)
        algorithm = pinned(self._algorithms, header.algorithm)
        if algorithm is None:
            raise _invalid(f"its algorithm is not accepted here; use {' or '.join(self._algorithms)}")
        key = await self._keys.find(algorithm, header.kid)
        if key is None:
            raise _invalid("it is signed with a key that is not known here")
        try:
            payload = self._jws.payload(raw, header, key, algorithm)
        except jwt.InvalidSignatureError:
            raise _invalid("its signature does not match") from None
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise _invalid("it is malformed") from None
        return self._accept(_object(payload))

    def _header(self, raw: bytes) -> Header:
        try:
            return self._jws.header(raw)
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise _invalid("it is malformed") from None

    def _accept(self, claims: Mapping[str, object]) -> _Checked:
        try:
            principal = principal_from_claims(claims)
            self._past(claims, "nbf")
            issued = self._past(claims, "iat")
        except Invalid as problem:
            raise _invalid(problem.message) from None
        if self._issuer is not None and claims.get("iss") != self._issuer:
            raise _invalid("it comes from another issuer (iss)")
        if self._audience is not None and not _addressed(claims.get("aud"), self._audience):
            raise _invalid("it is meant for another audience (aud)")
        assert principal.expires is not None  # it was made of claims
        return _Checked(principal, principal.expires, issued)

    def _past(self, claims: Mapping[str, object], claim: str) -> float | None:
        """A time that may not lie in the future; None if the claim is absent. Raises Invalid, Unauthenticated."""
        if claim not in claims:
            return None
        at = numeric_date(claims[claim], claim)
        if at > self._clock.timestamp() + LEEWAY_SECONDS:
            raise _invalid(f"its claim {claim} lies in the future; compare the clocks")
        return at


class TokenSigner:
    """Signs tokens with the server's secret, for `callboard token` and the demo."""

    def __init__(self, settings: Settings, *, clock: Clock) -> None:
        """Raises SettingsError when the tokens come from an issuer: this server has nothing to sign with."""
        for name, value in (
            ("JWT_PUBLIC_KEY", settings.jwt_public_key),
            ("JWT_JWKS_URL", settings.jwt_jwks_url),
        ):
            if value is not None:
                raise SettingsError(f"{name} is set: tokens come from the issuer, and this server cannot sign any")
        self._key = secret_key(settings)
        self._settings = settings
        self._clock = clock

    def sign(
        self,
        sub: str,
        name: str | None = None,
        roles: Iterable[str] = (),
        teams: Iterable[str] = (),
        *,
        ttl: timedelta,
    ) -> str:
        """A token that this server accepts for `ttl`. Raises Invalid for claims that it would refuse.

        `iat` is to the microsecond: in whole seconds, one issued right after a revocation would seem to be from before.
        """
        issued = self._clock.now().timestamp()
        claims: dict[str, object] = {
            "sub": sub,
            "name": name,
            "roles": sorted(roles),
            "teams": sorted(teams),
            "iss": self._settings.jwt_issuer,
            "aud": self._settings.jwt_audience,
            "iat": issued,
            "exp": int(issued) + int(ttl.total_seconds()),
        }
        claims = {claim: value for claim, value in claims.items() if value is not None}
        principal_from_claims(claims)
        token = jwt.encode(claims, self._key, algorithm=self._settings.jwt_algorithms[0])
        if len(token) > MAX_TOKEN_BYTES:
            raise Invalid(f"the token would be longer than {MAX_TOKEN_BYTES} bytes: name fewer teams", field="teams")
        return token


def verifier(
    settings: Settings,
    *,
    clock: Clock,
    client: httpx.AsyncClient | None = None,
    revocations: Revocations | None = None,
) -> TokenVerifier:
    """The verifier that `settings` describe. Reads or makes the key now, and fetches nothing.

    `client` is for the JWK Set only. `revocations` is shared with whoever fills it. Raises SettingsError or
    StartError when the key cannot be used.
    """
    keys: Keys
    if settings.jwt_jwks_url is not None:
        keys = JwksKeys(settings.jwt_jwks_url, algorithms=settings.jwt_algorithms, clock=clock, client=client)
    elif settings.jwt_public_key is not None:
        keys = StaticKeys(public_key(settings))
    else:
        keys = StaticKeys(secret_key(settings))
    return TokenVerifier(keys, settings=settings, clock=clock, revocations=revocations)


def bearer_token(authorization: str | None) -> str | None:
    """The token in an Authorization header's value (RFC 6750, section 2.1); None if it carries none."""
    match = _BEARER.fullmatch((authorization or "").strip())
    return match[1] if match else None


def parse_ttl(text: str) -> timedelta:
    """A duration such as 30s, 15m, 24h or 7d: more than nothing, at most 3,650 days. Raises Invalid."""
    match = _TTL.fullmatch(text.strip())
    ttl = timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else timedelta(0)
    if not timedelta(0) < ttl <= MAX_TTL:
        raise Invalid("A lifetime is a number and a unit, such as 30s, 15m, 24h or 7d, up to 3650d", field="ttl")
    return ttl


def _raw(token: object) -> bytes:
    if token is None or token == "":
        raise Unauthenticated(
            "There is no token: send one as 'Authorization: Bearer …', or as auth.token on a socket",
            code="token_missing",
        )
    if not isinstance(token, str) or len(token) > MAX_TOKEN_BYTES or not token.isascii():
        raise _invalid(f"it is no JWT of at most {MAX_TOKEN_BYTES} bytes")
    return token.encode("ascii")


def _object(payload: bytes) -> Mapping[str, object]:
    try:
        claims = _decoded(payload)
    except (ValueError, RecursionError):
        raise _invalid("its claims are not JSON") from None
    if not isinstance(claims, dict):
        raise _invalid("its claims are no JSON object")
    return claims


def _decoded(payload: bytes) -> object:
    """What `json.loads` makes of it; msgspec, which is faster and stricter, is asked first."""
    try:
        return msgspec.json.decode(payload)
    except (msgspec.DecodeError, ValueError):
        return json.loads(payload)


def _addressed(audience: object, wanted: str) -> bool:
    return audience == wanted or (isinstance(audience, list) and wanted in audience)


def _invalid(reason: str) -> Unauthenticated:
    return Unauthenticated(f"The token is not valid: {reason}. Check it, or {_AGAIN}", code="token_invalid")
