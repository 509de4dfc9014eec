"""The compact form of a JWS (RFC 7515): whose key a token asks for, and its payload once that key has signed it.

Owns: the way to PyJWT, and a short one past most of it for tokens like those that passed before. Never: a claim, a
choice of algorithms (its caller's), an opinion of its own on what is malformed: the short way only ever says yes.

PyJWT reads a header and makes a key ready anew for each token, which takes ten times as long as the signature. An HMAC
(RFC 2104) begins with the key alone: that part is done once for all tokens, by the standard library as PyJWT does it.
"""

from __future__ import annotations

import binascii
import hmac
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jwt
from jwt.algorithms import Algorithm, HMACAlgorithm

from callboard.auth.keys import Key

MAX_HEADERS = 64
_SIMPLE = frozenset({"alg", "typ", "kid"})
# To the standard alphabet; what a base64url segment does not have becomes what neither has.
_STANDARD = bytes.maketrans(b"-_+/=", b"+/!!!")

# Whether a signature (the second) is the one of these bytes.
Check = Callable[[bytes, bytes], bool]


class Header(NamedTuple):
    """What a header says. `simple`: nothing else, so that its bytes mean the same in any other token."""

    algorithm: object
    kid: str | None
    simple: bool


class CompactJws:
    """Raises of both methods: those of PyJWT (`jwt.PyJWTError`), ValueError, TypeError, RecursionError."""

    def __init__(self, algorithms: Sequence[str]) -> None:
        self._jws = jwt.PyJWS(algorithms=list(algorithms))
        self._headers: dict[bytes, Header] = {}
        self._prepared: tuple[Key, str, Check] | None = None

    def header(self, raw: bytes) -> Header:
        """The header of a token, which is not to be believed before `payload` has returned."""
        known = self._headers.get(raw.partition(b".")[0])
        if known is not None:
            return known
        fields = self._jws.get_unverified_header(raw)
        kid = fields.get("kid")
        return Header(fields.get("alg"), kid if isinstance(kid, str) else None, fields.keys() <= _SIMPLE)

    def payload(self, raw: bytes, header: Header, key: Key, algorithm: str) -> bytes:
        """The payload, signed with `key` by `algorithm`. `header` is the token's own."""
        payload = self._signed(raw, key, algorithm) if header.simple else None
        if payload is None:
            payload = bytes(self._jws.decode_complete(raw, key, algorithms=[algorithm])["payload"])
        # Only headers of signed tokens are kept, so that nobody else can fill the place.
        if header.simple and len(self._headers) < MAX_HEADERS:
            self._headers[raw.partition(b".")[0]] = header
        return payload

    def _signed(self, raw: bytes, key: Key, algorithm: str) -> bytes | None:
        """The payload, if there is nothing unusual about the token at all."""
        signed, _, last = raw.rpartition(b".")
        payload, signature = _decode(signed.partition(b".")[2]), _decode(last)
        if payload is None or signature is None:
            return None
        if self._prepared is None or self._prepared[0] is not key or self._prepared[1] != algorithm:
            self._prepared = key, algorithm, _prepare(self._jws.get_algorithm_by_name(algorithm), key)
        return payload if self._prepared[2](signed, signature) else None


def _prepare(algorithm: Algorithm, key: Key) -> Check:
    prepared: Any = algorithm.prepare_key(key)
    if not isinstance(algorithm, HMACAlgorithm):
        return lambda signed, signature: algorithm.verify(signed, prepared, signature)
    begun = hmac.new(prepared, digestmod=algorithm.hash_alg)

    def check(signed: bytes, signature: bytes) -> bool:
        mac = begun.copy()
        mac.update(signed)
        return hmac.compare_digest(mac.digest(), signature)

    return check


def _decode(segment: bytes) -> bytes | None:
    """The bytes of a base64url segment, if it is the one way to write them."""
    standard = segment.translate(_STANDARD) + b"=" * (-len(segment) % 4)
    try:
        data = binascii.a2b_base64(standard)
    except binascii.Error:
        return None
    return data if binascii.b2a_base64(data, newline=False) == standard else None
