"""REST of what a person chose: preferences and subscriptions.

Owns: the operations under /notifications/preferences and /subscriptions. Never: SQL, a rule, state.
"""

from __future__ import annotations

from callboard.notifications.choices import ChoiceService
from callboard.notifications.model import FollowedResource
from callboard.notifications.payloads import Preferences, Subscription, SubscriptionPage
from callboard.notifications.preferences import PreferencesUpdate
from callboard.notifications.routes import listed_bytes
from callboard.rest.endpoint import Call, Endpoint
from callboard.rest.pagination import PageQuery, decode_cursor


class ChoiceRoutes:
    """The handlers; see `routes`."""

    def __init__(self, service: ChoiceService) -> None:
        self._service = service

    async def preferences(self, call: Call) -> bytes:
        return await self._service.preferences(call.principal.id)

    async def update(self, call: Call) -> bytes:
        return await self._service.update(call.principal.id, call.body)

    async def subscriptions(self, call: Call) -> bytes:
        query: PageQuery = call.query
        listed = await self._service.subscriptions(
            call.principal.id, limit=query.limit, before=decode_cursor(query.cursor)
        )
        return listed_bytes(listed)

    async def follow(self, call: Call) -> bytes:
        return await self._service.follow(call.principal, call.body)

    async def unfollow(self, call: Call) -> bytes:
        await self._service.unfollow(call.principal.id, call.body)
        return b""


def routes(service: ChoiceService) -> list[Endpoint]:
    """The endpoints."""
    do = ChoiceRoutes(service)
    return [
        Endpoint(
            method="GET",
            path="/notifications/preferences",
            handler=do.preferences,
            summary="What the caller chose; the defaults at first",
            tag="preferences",
            answers=(Preferences,),
        ),
        Endpoint(
            method="POST",
            path="/notifications/preferences",
            handler=do.update,
            summary="Change what is given; what is held is decided again",
            tag="preferences",
            body=PreferencesUpdate,
            answers=(Preferences,),
        ),
        Endpoint(
            method="GET",
            path="/subscriptions",
            handler=do.subscriptions,
            summary="The resources that the caller follows, the newest first",
            tag="subscriptions",
            query=PageQuery,
            answers=(SubscriptionPage,),
        ),
        Endpoint(
            method="POST",
            path="/subscriptions",
            handler=do.follow,
            summary="Follow a resource; twice is as once",
            tag="subscriptions",
            status=201,
            body=FollowedResource,
            answers=(Subscription,),
        ),
        Endpoint(
            method="DELETE",
            path="/subscriptions",
            handler=do.unfollow,
            summary="Stop following a resource",
            tag="subscriptions",
            status=204,
            body=FollowedResource,
        ),
    ]
