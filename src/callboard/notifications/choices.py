"""Use cases of what a person chose: preferences, and the resources that they follow.

Owns: what is checked before it is stored. Never: SQL, a JSON shape, the decision.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import UNSET

from callboard.auth.access import Access
from callboard.auth.principal import Principal
from callboard.errors import Forbidden, NotFound
from callboard.notifications.model import FollowedResource
from callboard.notifications.preferences import PreferencesUpdate, check_preferences
from callboard.notifications.preferences_store import Chosen, NotificationSettings, PreferencesStore
from callboard.notifications.store import ListedPage
from callboard.store.database import Queries


class ChoiceService:
    """`types`: the types that NOTIFICATION_TYPES allows; None allows any. `access`: who may follow what."""

    def __init__(
        self,
        queries: Queries,
        access: Access,
        *,
        types: frozenset[str] | None = None,
        store: PreferencesStore | None = None,
    ) -> None:
        self._queries = queries
        self._access = access
        self._types = types
        self._store = store or PreferencesStore()

    async def preferences(self, user_id: str) -> bytes:
        """A user's preferences as JSON; the defaults are stored when there are none."""
        return await self._store.preferences(self._queries, user_id)

    async def update(self, user_id: str, update: PreferencesUpdate) -> bytes:
        """Change what is given; the preferences as JSON. What is held is decided again. Raises Invalid."""
        check_preferences(update, self._types)
        return await self._store.update(
            self._queries,
            user_id,
            Chosen(
                muted_types=None if update.muted_types is UNSET else list(dict.fromkeys(update.muted_types)),
                muted_resources=_json(update.muted_resources),
                set_quiet_hours=update.quiet_hours is not UNSET,
                quiet_hours=None if update.quiet_hours is None else _json(update.quiet_hours),
                types=_json(update.types),
            ),
        )

    async def follow(self, principal: Principal, resource: FollowedResource) -> bytes:
        """Follow a resource that the user may read; twice is as once. Raises Forbidden."""
        if not self._access.may(principal, "read", resource.resource_type, resource.resource_id):
            raise Forbidden(f"you may not read {resource.resource_type} {resource.resource_id}")
        return await self._store.follow(self._queries, principal.id, resource.resource_type, resource.resource_id)

    async def unfollow(self, user_id: str, resource: FollowedResource) -> None:
        """Stop following. Raises NotFound if the user did not."""
        if not await self._store.unfollow(self._queries, user_id, resource.resource_type, resource.resource_id):
            raise NotFound(f"you do not follow {resource.resource_type} {resource.resource_id}")

    async def subscriptions(self, user_id: str, *, limit: int, before: tuple[datetime, UUID] | None) -> ListedPage:
        """What a user follows, the newest first."""
        at, id_ = before or (None, None)
        return await self._store.subscriptions(self._queries, user_id, at, id_, limit)

    async def configure(self, settings: NotificationSettings) -> None:
        """Write the settings that SQL callers meet too."""
        await self._store.configure(self._queries, settings)


def _json(value: object) -> str | None:
    return None if value is UNSET else msgspec.json.encode(value).decode()
