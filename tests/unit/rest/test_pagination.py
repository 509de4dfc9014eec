"""rest.pagination: cursors survive, and what is no cursor is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.errors import Malformed
from callboard.rest.pagination import Page, Place, decode_cursor, encode_cursor, page_bytes

PLACE = Place(datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC), UUID(int=7))


@given(st.datetimes(timezones=st.just(UTC)), st.uuids())
def test_a_cursor_names_its_place(at: datetime, id_: UUID) -> None:
    cursor = encode_cursor(Place(at, id_))
    assert len(cursor) == 32
    assert decode_cursor(cursor) == Place(at, id_)


def test_no_cursor_is_no_place() -> None:
    assert decode_cursor(None) is None


@pytest.mark.parametrize("cursor", ["", "a", "!" * 32, "A" * 31, "A" * 40, "é" * 32, "f" + "_" * 31])
def test_what_is_no_cursor_is_malformed(cursor: str) -> None:
    with pytest.raises(Malformed):
        decode_cursor(cursor)


def test_an_empty_cursor_is_told_to_be_left_out() -> None:
    with pytest.raises(Malformed, match="cursor is empty: leave it out for the first page"):
        decode_cursor("")


@given(st.text())
def test_any_text_is_a_place_or_malformed(text: str) -> None:
    try:
        place = decode_cursor(text)
    except Malformed:
        return
    assert place is not None
    assert encode_cursor(place) == text


def test_a_page_carries_its_items_as_they_are() -> None:
    last = msgspec.json.decode(page_bytes(Page(b'[{"a" : 1}]', PLACE, "e.5")))
    assert last == {"items": [{"a": 1}], "next_cursor": encode_cursor(PLACE), "position": "e.5"}
    assert msgspec.json.decode(page_bytes(Page(b"[]", None, "e.5")))["next_cursor"] is None
