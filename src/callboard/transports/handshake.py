"""What all transports ask of a request before it may touch a session.

Owns: the query's meaning, the refusals of Engine.IO with their codes, origins, and the client's address behind
trusted proxies. Never: a body, a session's state after it is found.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from urllib.parse import parse_qs

import msgspec

from callboard import telemetry
from callboard.errors import Unavailable
from callboard.realtime.connection import Connection
from callboard.realtime.engine import Engine
from callboard.wire.session import State

# What every new WebSocket of the stock client asks for.
_USUAL = "EIO=4&transport=websocket"


class RefusalCode(IntEnum):
    """The error codes of the Engine.IO protocol's reference implementation."""

    UNKNOWN_TRANSPORT = 0
    UNKNOWN_SID = 1
    BAD_METHOD = 2
    BAD_REQUEST = 3
    FORBIDDEN = 4
    UNSUPPORTED_VERSION = 5


class Refusal(Exception):
    """A handshake that is answered with an error and leaves no trace."""

    def __init__(self, code: RefusalCode, message: str, *, status: int = 400, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.retry_after = retry_after

    @property
    def body(self) -> bytes:
        """The JSON that the stock client understands."""
        return msgspec.json.encode({"code": int(self.code), "message": self.message})


class Request(msgspec.Struct, frozen=True):
    """The parts of an HTTP request that matter here. Header names are lower case."""

    method: str
    query: str
    headers: Mapping[str, str]
    peer: str
    scheme: str


@dataclass(frozen=True)
class Policy:
    """Which origins may connect, and which peers' forwarding headers are believed.

    `trusted_proxies`: addresses or networks (`10.0.0.0/8`). Exact origins only: no wildcards.
    """

    origins: frozenset[str] = frozenset()
    credentials: bool = True
    trusted_proxies: tuple[str, ...] = ()
    _networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        networks = tuple(ipaddress.ip_network(proxy, strict=False) for proxy in self.trusted_proxies)
        object.__setattr__(self, "_networks", networks)

    def allows(self, request: Request) -> bool:
        """Whether the request's origin may use the sockets: none, our own, or a listed one."""
        origin = request.headers.get("origin")
        if origin is None or origin in self.origins:
            return True
        return origin == f"{self._scheme(request)}://{request.headers.get('host', '')}"

    def address(self, request: Request) -> str:
        """The client's address: the last one in X-Forwarded-For that is not a trusted proxy's.

        The peer's own if the header holds something else than an address before that.
        """
        if not self._networks or not self._trusts(request.peer):
            return request.peer
        for hop in reversed(request.headers.get("x-forwarded-for", "").split(",")):
            address = _ip_address(hop.strip())
            if address is None:
                break
            if not self._trusts(str(address)):
                return str(address)
        return request.peer

    def _scheme(self, request: Request) -> str:
        forwarded = request.headers.get("x-forwarded-proto")
        if forwarded in ("http", "https") and self._trusts(request.peer):
            return forwarded
        return request.scheme

    def _trusts(self, peer: str) -> bool:
        address = _ip_address(peer) if self._networks else None
        return address is not None and any(address in network for network in self._networks)


def _ip_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address as peers and proxies write it: perhaps with a port, perhaps IPv4 inside of IPv6."""
    bracketed = text.startswith("[")
    if bracketed or text.count(":") == 1:
        text = text[1:].partition("]")[0] if bracketed else text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def admit(engine: Engine, policy: Policy, request: Request, *, upgrade: bool) -> Connection | None:
    """Check a request: the session it names, or None if it may open one. Raises Refusal.

    `upgrade`: whether the request is a WebSocket's. A WebSocket that names a session gets it in whatever state;
    the caller ends it if the session has no use for it. A refusal is logged here.
    """
    try:
        return _admit(engine, policy, request, upgrade)
    except Refusal as refusal:
        note(refusal, policy.address(request))
        raise


def note(refusal: Refusal, address: str) -> None:
    """Log a refusal and count it."""
    code = "unavailable" if refusal.status == 503 else refusal.code.name.lower()
    telemetry.socket_refused(code, address, refusal.message)


def _admit(engine: Engine, policy: Policy, request: Request, upgrade: bool) -> Connection | None:
    if upgrade and request.query == _USUAL:
        _check_origin(policy, request)
        _admit_new(engine, policy.address(request))
        return None
    query = _parsed(request.query)
    transport, sid = query.get("transport", [""])[0], query.get("sid", [None])[0]
    if transport not in ("polling", "websocket"):
        raise Refusal(RefusalCode.UNKNOWN_TRANSPORT, "Transport unknown")
    _check_origin(policy, request)
    if query.get("EIO") != ["4"]:
        raise Refusal(RefusalCode.UNSUPPORTED_VERSION, "Unsupported protocol version")
    if upgrade != (transport == "websocket"):
        raise Refusal(RefusalCode.BAD_REQUEST, "Bad request")
    if sid is not None:
        return _find(engine, sid, upgrade)
    if request.method != "GET":
        raise Refusal(RefusalCode.BAD_METHOD, "Bad handshake method")
    _admit_new(engine, policy.address(request))
    return None


def _check_origin(policy: Policy, request: Request) -> None:
    if not policy.allows(request):
        raise Refusal(RefusalCode.FORBIDDEN, "this origin may not connect (SOCKET_CORS_ORIGIN)", status=403)


def _parsed(query: str) -> Mapping[str, list[str]]:
    try:
        return parse_qs(query, keep_blank_values=True, max_num_fields=32)
    except ValueError:
        raise Refusal(RefusalCode.BAD_REQUEST, "the query has too many fields") from None


def _find(engine: Engine, sid: str, upgrade: bool) -> Connection:
    connection = engine.connections.get(sid)
    if connection is not None:
        connection.check()
    if connection is None or connection.closed:
        raise Refusal(RefusalCode.UNKNOWN_SID, "Session ID unknown")
    if not upgrade and connection.session.state is State.WEBSOCKET:
        raise Refusal(RefusalCode.BAD_REQUEST, "Bad request")
    return connection


def _admit_new(engine: Engine, address: str) -> None:
    try:
        engine.admit(address)
    except Unavailable as problem:
        raise Refusal(RefusalCode.FORBIDDEN, problem.message, status=503, retry_after=problem.retry_after) from None
