"""notifications.model: the rules of what one may say, as a body meets them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from callboard.errors import Invalid
from callboard.notifications.model import CreateBatch, CreateNotification, FollowedResource, check_type, recipients_of
from callboard.rest.body import decode

CREATE = msgspec.json.Decoder(CreateNotification)
BATCH = msgspec.json.Decoder(CreateBatch)
GOOD = {"user_id": "u1", "type": "episode:updated", "title": "Rough cut ready", "message": ""}


def create(**changes: Any) -> CreateNotification:
    return decode(msgspec.json.encode({**GOOD, **changes}), CREATE)


def test_the_least_that_can_be_said() -> None:
    request = create()
    assert (request.priority, bytes(request.data), request.expires_in, request.resource) == (
        "normal",
        b"{}",
        None,
        None,
    )
    assert recipients_of(request) == "u1"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"type": ""}, "type"),
        ({"type": "Episode"}, "type"),
        ({"type": "a" * 65}, "type"),
        ({"type": "a b"}, "type"),
        ({"type": "a\n"}, "type"),
        ({"type": ":a"}, "type"),
        ({"title": ""}, "title"),
        ({"title": "x" * 201}, "title"),
        ({"title": " \n\t\u00a0\u2003\u3000"}, "title"),
        ({"title": "\u200b\u202e\x07"}, "title"),
        ({"message": None}, "message"),
        ({"message": "x" * 2001}, "message"),
        ({"priority": "critical"}, "priority"),
        ({"expires_in": 0}, "expires_in"),
        ({"expires_in": 1.5}, "expires_in"),
        ({"expires_in": 315_360_001}, "expires_in"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": "u" * 256}, "user_id"),
        ({"user_id": "u\n"}, "user_id"),
        ({"user_id": "u\x85"}, "user_id"),
        ({"user_ids": ["u1", "u\t2"]}, "user_ids[1]"),
        ({"user_ids": []}, "user_ids"),
        ({"user_ids": ["u"] * 10_001}, "user_ids"),
        ({"resource": {"type": "episode"}}, "resource.id"),
        ({"resource": {"type": "Episode", "id": "4"}}, "resource.type"),
        ({"resource": {"type": "episode", "id": ""}}, "resource.id"),
        ({"actor": "a\0b"}, "actor"),
        ({"group_key": ""}, "group_key"),
        ({"group_key": "~a"}, "group_key"),
        ({"group_key": "x" * 201}, "group_key"),
    ],
)
def test_what_may_not_be_said(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        create(**changes)
    assert refused.value.field == field


@pytest.mark.parametrize("missing", ["type", "title", "message"])
def test_what_must_be_said(missing: str) -> None:
    body = {name: value for name, value in GOOD.items() if name != missing}
    with pytest.raises(Invalid) as refused:
        decode(msgspec.json.encode(body), CREATE)
    assert refused.value.field == missing


def test_the_bounds_themselves_pass() -> None:
    request = create(title="é" * 200, message="é" * 2000, type="a" * 64, user_id="日" * 255, expires_in=1)
    assert len(request.title) == 200


def test_recipients_are_named_one_way() -> None:
    followed = {"resource_type": "episode", "resource_id": "4"}
    for wrong in (create(user_ids=["u2"]), create(user_id=None), create(subscribers_of=followed)):
        with pytest.raises(Invalid) as refused:
            recipients_of(wrong)
        assert refused.value.field == "user_id"
    assert recipients_of(create(user_id=None, user_ids=["b", "a"])) == ["b", "a"]
    assert recipients_of(create(user_id=None, subscribers_of=followed)) == FollowedResource(**followed)


def test_a_batch_needs_user_ids() -> None:
    with pytest.raises(Invalid) as refused:
        decode(msgspec.json.encode({name: GOOD[name] for name in ("type", "title", "message")}), BATCH)
    assert refused.value.field == "user_ids"


def test_types_may_be_listed_by_a_setting() -> None:
    check_type("any:thing", None)
    check_type("a", frozenset({"a", "b"}))
    with pytest.raises(Invalid) as refused:
        check_type("c", frozenset({"b", "a"}))
    assert refused.value.field == "type"
    assert "a, b" in refused.value.message
