"""Bodies: from bytes of a client to a checked Struct.

Owns: the bounds and the strictness of JSON that comes in, and how a wrong value is named. Malformed (400)
means that the bytes are no JSON of ours: bad syntax or UTF-8, NaN or Infinity, deeper than 64. Invalid
(422) names the field of the first wrong value; NUL, which PostgreSQL cannot store, is one. Duplicate keys
are fine, the last counts. Never: a repair of what came.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec

from callboard.errors import Invalid, Malformed, TooLarge

MAX_BODY_BYTES = 1 << 20
MAX_DEPTH = 64

T = TypeVar("T")
Receive = Callable[[], Awaitable[Any]]

# The closing quote is optional and nothing backtracks: an unclosed string costs one pass, not one for each
# quote.
_BRACKETS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*+\\u0000")
_AT = re.compile(r" - at (?:`key` in )?`([^`]*)`\Z")
_HALF_PAIR = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])")
_NAMED = re.compile(r"Object (?:missing required|contains unknown) field `([^`]*)`")


async def read_body(receive: Receive, declared: bytes | None, limit: int = MAX_BODY_BYTES) -> bytes:
    """The whole body. `declared` is the Content-Length header's value.

    Raises TooLarge as soon as more than `limit` bytes are announced or have come.
    """
    if declared is not None and declared.isdigit() and int(declared[:20]) > limit:
        raise _too_large(limit)
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        _check_message(message, len(body), limit)
        return body
    parts, size = [body], len(body)
    while message.get("more_body", False):
        message = await receive()
        part = message.get("body", b"")
        parts.append(part)
        size += len(part)
        _check_message(message, size, limit)
    return b"".join(parts)


def decode(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """The value that `body` is the JSON of. Raises Malformed or Invalid, never anything else."""
    _check_bytes(body)
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as problem:
        # Values are checked while they are read: whether the rest is JSON at all is not known yet.
        _parse(body)
        raise invalid(problem) from None
    except (msgspec.DecodeError, ValueError, RecursionError) as problem:
        raise _malformed(problem, body) from None


def object_bytes(raw: msgspec.Raw, field: str, limit: int) -> bytes:
    """The bytes of `raw`, a field of a decoded Struct, as they came. Raises Invalid unless they are a JSON
    object of at most `limit` bytes whose numbers all exist as doubles or 64-bit integers."""
    text = bytes(raw)
    if len(text) > limit:
        raise Invalid(f"{field} must have at most {limit:,} bytes of JSON", field=field)
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, ValueError) as problem:
        raise Invalid(f"{field}: {_sentence(str(problem))}", field=field) from None
    if not isinstance(value, dict):
        raise Invalid(f"{field} must be a JSON object", field=field)
    return text


def invalid(problem: msgspec.ValidationError) -> Invalid:
    """msgspec's complaint as one of ours, with the path of the value ("resource.type") as `field`."""
    text = str(problem)
    at = _AT.search(text)
    path = at[1].removeprefix("$").replace("[...]", "").strip(".") if at else ""
    named = _NAMED.match(text)
    if named:
        path = f"{path}.{named[1]}" if path else named[1]
        kind = "is missing" if text.startswith("Object missing") else "is not a known field"
        return Invalid(f"{path} {kind}", field=path)
    said = _plain(_sentence(text[: at.start()] if at else text))
    return Invalid(f"{path or 'the body'}: {said}", field=path or None)


def _check_message(message: Mapping[str, Any], size: int, limit: int) -> None:
    if message["type"] == "http.disconnect":
        raise Malformed("The client left before its body was complete")
    if size > limit:
        raise _too_large(limit)


def _check_bytes(body: bytes) -> None:
    if not body.strip():
        raise Malformed("The body is empty: send a JSON object")
    if not body.isascii():
        try:
            str(body, "utf-8")
        except UnicodeDecodeError as problem:
            raise Malformed(f"The body is not UTF-8: {problem.reason} at byte {problem.start}") from None
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        _check_depth(body)
    if b"\\u0000" in body and _NUL.search(body):
        _parse(body)
        raise Invalid("Text must not hold the character NUL (\\u0000)", field=_field_with_nul(body))


def _check_depth(body: bytes) -> None:
    depth = 0
    for match in _BRACKETS.finditer(body):
        token = match[0]
        if token in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise Malformed(f"The JSON is nested deeper than {MAX_DEPTH}")
        elif token in b"]}":
            depth -= 1


def _parse(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except msgspec.ValidationError:
        return None  # JSON, with a number that is out of range
    except (msgspec.DecodeError, ValueError, RecursionError) as problem:
        raise _malformed(problem, body) from None


def _field_with_nul(body: bytes) -> str | None:
    """The member of the outermost object that holds NUL."""
    value = _parse(body)
    if isinstance(value, dict):
        for name, member in value.items():
            if "\\u0000" in msgspec.json.encode(member).decode():
                return name if "\0" not in name else None
    return None


def _malformed(problem: Exception, body: bytes) -> Malformed:
    if _HALF_PAIR.search(body):  # msgspec's word for it is "truncated"
        return Malformed("The body is not valid JSON: a \\u escape is half of a surrogate pair")
    return Malformed(f"The body is not valid JSON: {_sentence(str(problem))}")


def _sentence(text: str) -> str:
    first = text[:1] if text[:4].isupper() else text[:1].lower()
    return (first + text[1:]).replace("`", "")


def _plain(text: str) -> str:
    """msgspec's words in those of the documentation."""
    for theirs, ours in _WORDS:
        text = re.sub(theirs, ours, text)
    return text


_WORDS = (
    (r"expected str of length >= (\d+)", r"give at least \1 character"),
    (r"expected str of length <= (\d+)", r"give at most \1 characters"),
    (r"expected array of length >= (\d+)", r"give at least \1"),
    (r"expected array of length <= (\d+)", r"give at most \1"),
    (r"expected str matching regex '\^?(.*?)\$?(\(\?!.*\))?'", r"it must match \1"),
    (r"expected str, got", "expected text, got"),
    (r"expected int >= (-?\d+)", r"it must be \1 or more"),
    (r"expected int <= (-?\d+)", r"it must be \1 or less"),
    (r"expected int(?: \| null)?, got \w+", "it must be a whole number"),
    (r"expected bool(?: \| null)?, got \w+", "it must be true or false"),
)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The body is larger than {limit:,} bytes")
