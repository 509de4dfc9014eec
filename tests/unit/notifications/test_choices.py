"""notifications.choices: what is checked, and what is handed to the store."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest
from tests.rest_client import NoDatabase

from callboard.auth.access import DefaultAccess
from callboard.auth.principal import Principal
from callboard.errors import Forbidden, Invalid, NotFound
from callboard.notifications.choices import ChoiceService
from callboard.notifications.model import FollowedResource
from callboard.notifications.preferences import PreferencesUpdate
from callboard.notifications.preferences_store import Chosen, NotificationSettings, PreferencesStore
from callboard.notifications.store import ListedPage
from callboard.store.database import Queries

EPISODE = FollowedResource(resource_type="episode", resource_id="4")
U1 = Principal(id="u1")


class Store(PreferencesStore):
    """Keeps what it is asked for."""

    def __init__(self, *, following: bool = True) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.following = following

    async def update(self, queries: Queries, user_id: str, chosen: Chosen) -> bytes:
        self.calls.append((user_id, chosen))
        return b"{}"

    async def follow(self, queries: Queries, user_id: str, resource_type: str, resource_id: str) -> bytes:
        self.calls.append((user_id, resource_type, resource_id))
        return b"{}"

    async def unfollow(self, queries: Queries, user_id: str, resource_type: str, resource_id: str) -> bool:
        self.calls.append((user_id, resource_type, resource_id))
        return self.following

    async def subscriptions(
        self, queries: Queries, user_id: str, at: datetime | None, id_: UUID | None, limit: int
    ) -> ListedPage:
        self.calls.append((user_id, at, id_, limit))
        return ListedPage(b"[]", None, None, "e.1")

    async def configure(self, queries: Queries, settings: NotificationSettings) -> None:
        self.calls.append((settings,))


class Closed:
    def may(self, principal: Principal, verb: str, type: str, id: str) -> bool:  # noqa: A002  the contract's names
        return False


def service(store: Store, **options: Any) -> ChoiceService:
    return ChoiceService(NoDatabase(), options.pop("access", DefaultAccess()), store=store, **options)


async def update(store: Store, **changes: Any) -> Chosen:
    await service(store).update("u1", msgspec.convert(changes, PreferencesUpdate))
    ((user, chosen),) = store.calls
    assert user == "u1"
    assert isinstance(chosen, Chosen)
    return chosen


async def test_what_is_absent_stays() -> None:
    assert await update(Store()) == Chosen(None, None, False, None, None)


async def test_what_is_given_is_stored_once_each() -> None:
    chosen = await update(
        Store(), muted_types=["b", "a", "b"], muted_resources=[{"type": "episode", "id": "4"}], types={"a": {}}
    )
    assert chosen.muted_types == ["b", "a"]
    assert json.loads(chosen.muted_resources or "") == [{"type": "episode", "id": "4"}]
    assert json.loads(chosen.types or "") == {"a": {"muted": False, "quiet_hours": True, "attention": True}}


async def test_null_ends_quiet_hours() -> None:
    assert (await update(Store(), quiet_hours=None))[2:4] == (True, None)
    chosen = await update(Store(), quiet_hours={"start": "22:00", "end": "07:00", "timezone": "UTC"})
    assert chosen.set_quiet_hours
    assert json.loads(chosen.quiet_hours or "")["timezone"] == "UTC"


async def test_what_is_wrong_is_not_stored() -> None:
    store = Store()
    with pytest.raises(Invalid):
        await service(store, types=frozenset({"a"})).update("u1", PreferencesUpdate(muted_types=["b"]))
    assert store.calls == []


async def test_who_may_not_read_it_may_not_follow_it() -> None:
    store = Store()
    with pytest.raises(Forbidden, match="episode 4"):
        await service(store, access=Closed()).follow(U1, EPISODE)
    assert store.calls == []
    assert await service(store).follow(U1, EPISODE) == b"{}"
    assert store.calls == [("u1", "episode", "4")]


async def test_unfollowing_needs_no_access_but_a_subscription() -> None:
    await service(Store(), access=Closed()).unfollow("u1", EPISODE)
    with pytest.raises(NotFound):
        await service(Store(following=False)).unfollow("u1", EPISODE)


async def test_a_page_begins_at_its_place() -> None:
    store = Store()
    place = (datetime(2026, 1, 1), UUID(int=7))
    for before in (None, place):
        await service(store).subscriptions("u1", limit=5, before=before)
    assert store.calls == [("u1", None, None, 5), ("u1", *place, 5)]


async def test_settings_are_handed_on() -> None:
    store, settings = Store(), NotificationSettings(1, "fold", 2, 3, ["a"])
    await service(store).configure(settings)
    assert store.calls == [(settings,)]
