from __future__ import annotations

from collections.abc import Callable

import jwt
import pytest
from tests.unit.auth.conftest import SECRET

from callboard.auth.jws import MAX_HEADERS, CompactJws

KEY = SECRET.encode()
OTHER_KEY = KEY[::-1]


def token(payload: bytes = b"{}", key: bytes = KEY, **header: object) -> bytes:
    return jwt.PyJWS().encode(payload, key, "HS256", headers=header).encode()


def payload(signatures: CompactJws, raw: bytes, key: bytes = KEY) -> bytes:
    return signatures.payload(raw, signatures.header(raw), key, "HS256")


@pytest.fixture
def signatures() -> CompactJws:
    """One that has seen a token, so that its short way is open."""
    signatures = CompactJws(["HS256"])
    assert payload(signatures, token(b"first")) == b"first"
    return signatures


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which of PyJWT's long ways were gone."""
    asked: list[str] = []

    def counted(name: str) -> Callable[..., object]:
        original: Callable[..., object] = getattr(jwt.PyJWS, name)

        def call(*args: object, **kwargs: object) -> object:
            asked.append(name)
            return original(*args, **kwargs)

        return call

    for name in ("get_unverified_header", "decode_complete"):
        monkeypatch.setattr(jwt.PyJWS, name, counted(name))
    return asked


def test_a_token_like_one_that_passed_takes_the_short_way(signatures: CompactJws, asked: list[str]) -> None:
    assert payload(signatures, token(b'{"sub":"u2"}')) == b'{"sub":"u2"}'
    assert signatures.header(token()) == ("HS256", None, True)
    assert asked == []


def test_a_key_id_is_read_from_a_header_seen_before(signatures: CompactJws, asked: list[str]) -> None:
    for _ in range(2):
        assert signatures.header(token(kid="k1")).kid == "k1"
        payload(signatures, token(kid="k1"))
    assert asked == ["get_unverified_header"] * 2


def test_a_wrong_signature_is_refused_on_the_short_way_too(signatures: CompactJws) -> None:
    for raw in (token(key=OTHER_KEY), token()[:-4] + b"AAAA", token().rpartition(b".")[0] + b"."):
        with pytest.raises(jwt.InvalidSignatureError):
            payload(signatures, raw)


def test_another_key_is_another_key(signatures: CompactJws) -> None:
    assert payload(signatures, token(b"a", OTHER_KEY), OTHER_KEY) == b"a"
    assert payload(signatures, token(b"b")) == b"b"
    with pytest.raises(jwt.InvalidSignatureError):
        payload(signatures, token(), OTHER_KEY)


@pytest.mark.parametrize("header", [{"crit": ["exp"], "exp": 1}, {"b64": False}, {"crit": "b64"}])
def test_what_changes_the_meaning_of_a_token_is_left_to_pyjwt(
    signatures: CompactJws, header: dict[str, object], asked: list[str]
) -> None:
    for _ in range(2):
        with pytest.raises(jwt.PyJWTError):
            payload(signatures, jwt.PyJWS().encode(b"{}", KEY, "HS256", headers=header).encode())
    assert asked.count("get_unverified_header") == 2


def test_a_padded_segment_is_left_to_pyjwt(signatures: CompactJws, asked: list[str]) -> None:
    raw = token(b"a")
    assert payload(signatures, raw + b"=" * (-len(raw.rpartition(b".")[2]) % 4)) == b"a"
    assert asked == ["decode_complete"]


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("length", [64, 128, 200])
def test_an_hmac_of_any_hash_and_any_length_of_key(algorithm: str, length: int) -> None:
    signatures, key = CompactJws([algorithm]), bytes(range(length))
    for text in (b"first", b"second"):
        raw = jwt.PyJWS().encode(text, key, algorithm).encode()
        header = signatures.header(raw)
        assert signatures.payload(raw, header, key, algorithm) == text
        with pytest.raises(jwt.InvalidSignatureError):
            signatures.payload(raw.replace(b".", b".AAAA", 1), header, key, algorithm)


def test_a_segment_that_could_be_written_otherwise_is_refused(signatures: CompactJws, asked: list[str]) -> None:
    raw = token(b"a")
    last = raw[-1:]
    for other in (chr(last[0] + 1).encode(), last + b"A", last + b"\n", b"+", b"/"):
        with pytest.raises(jwt.PyJWTError):
            payload(signatures, raw[:-1] + other)
    assert asked == ["decode_complete"] * 5


def test_headers_of_tokens_that_nobody_signed_are_not_kept(signatures: CompactJws, asked: list[str]) -> None:
    for _ in range(2):
        with pytest.raises(jwt.InvalidSignatureError):
            payload(signatures, token(key=OTHER_KEY, kid="k2"))
    assert asked.count("get_unverified_header") == 2


def test_the_headers_that_are_kept_are_bounded(signatures: CompactJws, asked: list[str]) -> None:
    for number in [*range(MAX_HEADERS), MAX_HEADERS - 1]:
        payload(signatures, token(kid=str(number)))
    assert asked == ["get_unverified_header"] * (MAX_HEADERS + 1)
