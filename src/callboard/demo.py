"""`serve --demo`: example users, and tokens for whoever asks.

Owns: three people, two endpoints without authentication, and who may ask: this machine. `serve` listens on
loopback only, and `for_this_machine` refuses pages that reach loopback by a name of their own. Never: a token for
anybody who is not in the list.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from callboard.auth.tokens import TokenSigner
from callboard.clock import Clock
from callboard.errors import Forbidden, NotFound
from callboard.rest.endpoint import Call, Endpoint
from callboard.rest.problem import answer_to

TOKEN_LIFE = timedelta(hours=12)
LOOPBACK_NAMES = frozenset({b"localhost", b"127.0.0.1", b"[::1]"})

App = Callable[[Any, Any, Any], Awaitable[None]]

_PORT = re.compile(rb":[0-9]*\Z")


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


def for_this_machine(app: App) -> App:
    """`app`, with /demo/ closed to a request whose Host is not a name of loopback.

    A page elsewhere can have its own name resolve to 127.0.0.1 (DNS rebinding), and would then read the tokens.
    """

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/demo/") or _is_local(scope["headers"]):
            await app(scope, receive, send)
            return
        error = Forbidden("The demo answers to localhost, 127.0.0.1 and [::1] only")
        status, headers, body = answer_to(error, scope["method"], scope["path"])
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    return guarded


def _is_local(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    hosts = [value for name, value in headers if name == b"host"]
    return all(_PORT.sub(b"", host).lower() in LOOPBACK_NAMES for host in hosts)
