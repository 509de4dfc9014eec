"""`serve --demo`: example users, and tokens for whoever asks.

Owns: three people and two endpoints without authentication, which is why it runs on loopback only. Never: a
token for anybody who is not in the list.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from callboard.auth.tokens import TokenSigner
from callboard.clock import Clock
from callboard.errors import NotFound
from callboard.rest.endpoint import Call, Endpoint

TOKEN_LIFE = timedelta(hours=12)


class DemoUser(msgspec.Struct, frozen=True, kw_only=True):
    """An example person."""

    id: str
    name: str
    roles: tuple[str, ...]
    teams: tuple[str, ...]


class DemoUsers(msgspec.Struct, frozen=True, kw_only=True):
    """All of them."""

    users: tuple[DemoUser, ...]


class TokenRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Whose token is wanted."""

    id: str


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A signed token and when it ends (UTC)."""

    token: str
    expires_at: datetime


USERS = (
    DemoUser(id="u1", name="Mira Okafor", roles=("admin",), teams=("direction",)),
    DemoUser(id="u2", name="Jonas Weber", roles=(), teams=("art",)),
    DemoUser(id="u3", name="Aiko Tan", roles=(), teams=("art", "editorial")),
)


class Demo:
    """See the module."""

    def __init__(self, signer: TokenSigner, clock: Clock) -> None:
        self._signer = signer
        self._clock = clock

    def endpoints(self) -> list[Endpoint]:
        """The public endpoints."""
        return [
            Endpoint(
                method="GET",
                path="/demo/users",
                handler=self._users,
                summary="The example users",
                tag="demo",
                answers=(DemoUsers,),
            ),
            Endpoint(
                method="POST",
                path="/demo/token",
                handler=self._token,
                summary="A token for an example user",
                tag="demo",
                body=TokenRequest,
                answers=(Token,),
            ),
        ]

    async def _users(self, call: Call) -> bytes:
        return msgspec.json.encode(DemoUsers(users=USERS))

    async def _token(self, call: Call) -> bytes:
        user = next((user for user in USERS if user.id == call.body.id), None)
        if user is None:
            raise NotFound("there is no such example user")
        token = self._signer.sign(user.id, name=user.name, roles=user.roles, teams=user.teams, ttl=TOKEN_LIFE)
        expires_at = (self._clock.now() + TOKEN_LIFE).astimezone(UTC).replace(microsecond=0)
        return msgspec.json.encode(Token(token=token, expires_at=expires_at))
