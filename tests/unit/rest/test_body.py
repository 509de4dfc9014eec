"""rest.body: what is refused, as what, and naming which field."""

from __future__ import annotations

from typing import Annotated

import msgspec
import pytest
from tests.rest_client import feeder

from callboard.errors import Invalid, Malformed, TooLarge
from callboard.rest.body import decode, object_bytes, read_body


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    kind: str


class Shape(msgspec.Struct, forbid_unknown_fields=True):
    title: Annotated[str, msgspec.Meta(min_length=1, max_length=5)]
    ids: list[str] = []
    inner: Inner | None = None
    data: msgspec.Raw = msgspec.Raw(b"{}")


DECODER = msgspec.json.Decoder(Shape)


def test_a_valid_body_is_decoded_and_raw_bytes_stay_as_they_came() -> None:
    shape = decode(b'{"title": "a", "data": { "b" : 1.50 }}', DECODER)
    assert shape.title == "a"
    assert object_bytes(shape.data, "data", 100) == b'{ "b" : 1.50 }'


def test_of_duplicate_keys_the_last_counts() -> None:
    assert decode(b'{"title":"a","title":"b"}', DECODER).title == "b"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"title":"a"} x',
        b'{"title":"a","data":{"x":NaN}}',
        b'{"title":"a","data":{"x":Infinity}}',
        b'{"title":"a","data":{"x":-Infinity}}',
        b'{"title":"\xff"}',
        b'{"title":"a","data":{"x":"\xff"}}',
        b'{"title":"\xed\xa0\x80"}',
        b'{"title":"\\ud800"}',
        b'{"title":"a","data":{"x":"\\udc00"}}',
        b'{"title":"\x00"}',
        b'\xef\xbb\xbf{"title":"a"}',
        # A wrong value in what is no JSON: the syntax is told first.
        b'{"title":5',
        b'{"title":"\\u0000"',
        b'{"title":"a","data":' + b"[" * 64 + b"]" * 64 + b"}",
        b"[" * 100_000,
    ],
)
def test_what_is_no_json_of_ours_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        decode(body, DECODER)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{}", "title"),
        (b'{"title":5}', "title"),
        (b'{"title":""}', "title"),
        (b'{"title":"123456"}', "title"),
        (b'{"title":null}', "title"),
        (b'{"title":"a","ids":["b",1]}', "ids[1]"),
        (b'{"title":"a","inner":{}}', "inner.kind"),
        (b'{"title":"a","inner":{"kind":1}}', "inner.kind"),
        (b'{"title":"a","inner":{"kind":"b","more":1}}', "inner.more"),
        (b'{"title":"a","nope":1}', "nope"),
        (b"[]", None),
        (b'"text"', None),
        (b'{"title":"\\u0000"}', "title"),
        (b'{"title":"a","data":{"b":["\\\\\\u0000"]}}', "data"),
        (b'{"title":"a","data":{"\\u0000":1}}', "data"),
    ],
)
def test_a_wrong_value_is_invalid_and_named(body: bytes, field: str | None) -> None:
    with pytest.raises(Invalid) as refused:
        decode(body, DECODER)
    assert refused.value.field == field


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    assert decode(b'{"title":"\\\\u0000"}'.replace(b"0000", b"00"), DECODER).title == "\\u00"
    assert decode(b'{"title":"a","data":{"b":"\\\\u0000"}}', DECODER).title == "a"


def test_depth_64_passes_and_brackets_in_text_do_not_count() -> None:
    deep = b'{"title":"a","data":' + b"[" * 63 + b"]" * 63 + b"}"
    assert decode(deep, DECODER).title == "a"
    assert decode(b'{"title":"a","ids":["' + b"[{\\" + b'"' + b"{" * 200 + b'"]}', DECODER).title == "a"


@pytest.mark.parametrize(
    "data", [b"[]", b"1", b"null", b'"{}"', b'{"a":1e999}', b'{"a":-1E400}', b'{"a":' + b"9" * 5000 + b"}"]
)
def test_data_must_be_an_object_with_numbers_that_exist(data: bytes) -> None:
    with pytest.raises(Invalid) as refused:
        object_bytes(msgspec.Raw(data), "data", 10_000)
    assert refused.value.field == "data"


def test_data_has_a_bound() -> None:
    with pytest.raises(Invalid):
        object_bytes(msgspec.Raw(b'{"a":"' + b"x" * 100 + b'"}'), "data", 100)


async def test_a_body_in_parts_is_joined() -> None:
    assert await read_body(feeder(b"a", b"", b"bc"), None) == b"abc"


async def test_too_large_is_refused_by_its_announcement_alone() -> None:
    with pytest.raises(TooLarge):
        await read_body(feeder(b""), b"11", limit=10)


async def test_an_absurd_announcement_is_too_large() -> None:
    with pytest.raises(TooLarge):
        await read_body(feeder(b""), b"9" * 10_000, limit=10)


async def test_too_large_without_announcement_stops_reading_at_the_bound() -> None:
    parts = [b"x" * 6, b"x" * 6]
    with pytest.raises(TooLarge):
        # The feeder has nothing after these: reading on would fail otherwise.
        await read_body(feeder(*parts, then={"type": "unread"}), None, limit=10)


async def test_one_part_over_the_bound_is_refused() -> None:
    with pytest.raises(TooLarge):
        await read_body(feeder(b"x" * 11), None, limit=10)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "The body is empty: send a JSON object"),
        (b" \n", "The body is empty: send a JSON object"),
        (rb'{"a": "\ud800"}', "The body is not valid JSON: a \\u escape is half of a surrogate pair"),
    ],
)
def test_it_says_what_is_missing(body: bytes, said: str) -> None:
    with pytest.raises(Malformed) as refused:
        decode(body, msgspec.json.Decoder(dict[str, str]))
    assert refused.value.message == said


async def test_a_client_that_leaves_is_malformed() -> None:
    with pytest.raises(Malformed):
        await read_body(feeder(b"x", then={"type": "http.disconnect"}), None)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"title":""}', "title: give at least 1 character"),
        (b'{"title":"123456"}', "title: give at most 5 characters"),
        (b'{"title":5}', "title: expected text, got int"),
    ],
)
def test_a_wrong_value_is_told_in_plain_words(body: bytes, message: str) -> None:
    with pytest.raises(Invalid) as refused:
        decode(body, DECODER)
    assert refused.value.message == message


def test_json_keeps_its_capitals() -> None:
    with pytest.raises(Malformed, match="JSON is malformed"):
        decode(b'{"title":}', DECODER)
