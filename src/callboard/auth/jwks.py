"""Verification keys that the issuer publishes (RFC 7517, JWK Set).

Owns: when the set is fetched, what is refused in it, and what stays in force while the issuer is away. Never:
http, a redirect, an unbounded answer, two fetches at once, a symmetric or private key.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httpx
import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from callboard.auth.keys import PublicKey, key_fits
from callboard.clock import Clock
from callboard.errors import SettingsError, Unavailable
from callboard.telemetry import log

REFRESH_SECONDS = 3600.0
RETRY_SECONDS = 30.0
# Nobody asked for so long: the keys may have been withdrawn, so the caller waits for the fresh ones.
IDLE_SECONDS = 300.0
FETCH_SECONDS = 5.0
MAX_BYTES = 256 * 1024
MAX_KEYS = 100

_READERS = {"RSA": RSAAlgorithm.from_jwk, "EC": ECAlgorithm.from_jwk, "OKP": OKPAlgorithm.from_jwk}


@dataclass(frozen=True, kw_only=True)
class PublishedKey:
    """One usable key of the set. `algorithm` is None when the issuer leaves it to the key's type."""

    kid: str | None
    algorithm: str | None
    key: PublicKey
    fingerprint: str


class JwksKeys:
    """The issuer's keys, fetched when first needed, every hour, and when a token names an unknown one.

    At most one fetch runs at a time and all who need it wait for that one; after a fetch, good or bad, an
    unknown `kid` or an outage starts the next one no sooner than 30 s later. An hourly refresh is waited for
    only if the server was idle past it. Keys stay in force until a fetch brings a new set.
    """

    def __init__(
        self, url: str, *, algorithms: Sequence[str], clock: Clock, client: httpx.AsyncClient | None = None
    ) -> None:
        """Take over `client` (`aclose` closes it) or make one. Raises SettingsError unless https."""
        if not url.startswith("https://"):
            raise SettingsError("JWT_JWKS_URL must begin with https://")
        self._url = url
        self._algorithms = tuple(algorithms)
        self._clock = clock
        self._client = client or httpx.AsyncClient()
        self._keys: tuple[PublishedKey, ...] = ()
        self._loaded = False
        self._revision = 0
        self._asked: float | None = None
        self._due: float | None = None
        self._fetch: asyncio.Task[None] | None = None

    @property
    def revision(self) -> int:
        return self._revision

    async def current(self) -> int:
        late = -1.0 if self._due is None else self._clock.monotonic() - self._due
        if late >= 0:
            fetch = self._start()
            if late > IDLE_SECONDS:
                await asyncio.shield(fetch)
        return self._revision

    async def find(self, algorithm: str, kid: str | None) -> PublicKey | None:
        """The issuer's key for `algorithm`; without a `kid`, only if just one fits.

        Raises Unavailable while the issuer has never answered: the token may well be good.
        """
        found = self._match(algorithm, kid)
        if found is None and self._may_ask():
            await asyncio.shield(self._start())
            found = self._match(algorithm, kid)
        if found is None and not self._loaded:
            raise Unavailable(
                "The token issuer's keys cannot be fetched: try again shortly", retry_after=int(RETRY_SECONDS)
            )
        return found

    async def aclose(self) -> None:
        """End a running fetch and close the client."""
        if self._fetch is not None:
            self._fetch.cancel()
            await asyncio.wait([self._fetch])
        await self._client.aclose()

    def _match(self, algorithm: str, kid: str | None) -> PublicKey | None:
        matches = [
            published.key
            for published in self._keys
            if (kid is None or published.kid == kid)
            and published.algorithm in (None, algorithm)
            and key_fits(published.key, algorithm)
        ]
        if not matches or (kid is None and len(matches) > 1):
            return None
        return matches[0]

    def _may_ask(self) -> bool:
        running = self._fetch is not None and not self._fetch.done()
        return running or self._asked is None or self._clock.monotonic() - self._asked >= RETRY_SECONDS

    def _start(self) -> asyncio.Task[None]:
        """The running fetch, or a new one."""
        if self._fetch is None or self._fetch.done():
            self._asked = self._clock.monotonic()
            self._due = self._asked + RETRY_SECONDS
            self._fetch = asyncio.create_task(self._refresh(), name="jwks-fetch")
        return self._fetch

    async def _refresh(self) -> None:
        """Replace the keys, or log why the old ones stay."""
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                keys = usable_keys(await self._download(), self._algorithms)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as problem:
            log.warning("jwks.failed", reason=str(problem) or type(problem).__name__)
            return
        if [key.fingerprint for key in keys] != [key.fingerprint for key in self._keys]:
            self._revision += 1
        self._keys = keys
        self._loaded = True
        self._due = self._clock.monotonic() + REFRESH_SECONDS

    async def _download(self) -> bytes:
        # A compressed answer could unfold past the bound, so none is asked for and none is taken.
        headers = {"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "identity"}
        request = self._client.build_request("GET", self._url, headers=headers, timeout=FETCH_SECONDS)
        response = await self._client.send(request, stream=True, follow_redirects=False)
        try:
            if response.status_code != httpx.codes.OK:
                raise ValueError(
                    f"the issuer answered {response.status_code}; 200 is needed, redirects are not followed"
                )
            if response.headers.get("content-encoding", "identity") != "identity":
                raise ValueError("the issuer's answer is compressed")
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise ValueError(f"the issuer's answer is larger than {MAX_BYTES} bytes")
            return bytes(body)
        finally:
            await response.aclose()


def usable_keys(document: bytes, algorithms: Sequence[str]) -> tuple[PublishedKey, ...]:
    """The public signature keys in a JWK Set that some pinned algorithm can use; the rest is ignored.

    Raises ValueError if it is no JWK Set, or none of its keys is usable: then the old set is better.
    """
    try:
        parsed = json.loads(document)
    except (ValueError, RecursionError):
        raise ValueError("the issuer's answer is not JSON") from None
    entries = parsed.get("keys") if isinstance(parsed, dict) else None
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise ValueError(f"the issuer's answer is not a JWK Set of at most {MAX_KEYS} keys")
    keys = tuple(
        key for entry in entries if isinstance(entry, dict) for key in [_usable(entry, algorithms)] if key is not None
    )
    if not keys:
        raise ValueError("the issuer's JWK Set has no key for the pinned algorithms")
    return keys


def _usable(entry: Mapping[str, object], algorithms: Sequence[str]) -> PublishedKey | None:
    kid, algorithm = entry.get("kid"), entry.get("alg")
    if entry.get("use", "sig") != "sig" or "d" in entry or not _verifies(entry.get("key_ops")):
        return None
    if not (kid is None or isinstance(kid, str)) or not (algorithm is None or algorithm in algorithms):
        return None
    key = _read(entry)
    named = [str(algorithm)] if algorithm is not None else list(algorithms)
    if key is None or not any(key_fits(key, name) for name in named):
        return None
    return PublishedKey(
        kid=kid,
        algorithm=None if algorithm is None else str(algorithm),
        key=key,
        fingerprint=json.dumps(entry, sort_keys=True),
    )


def _verifies(key_ops: object) -> bool:
    return key_ops is None or (isinstance(key_ops, list) and "verify" in key_ops)


def _read(entry: Mapping[str, object]) -> PublicKey | None:
    """The key of one entry, or None if it is symmetric, of an unknown type or broken."""
    reader = _READERS.get(str(entry.get("kty")))
    if reader is None:
        return None
    try:
        key = reader(dict(entry))
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, OverflowError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, PublicKey) else None
