"""The principal: who is asking, as the verified claims of a token say.

Owns: `Principal` and the rules that turn claims into one. Never: a signature, a key, a clock; a value
that was checked only in part.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from callboard.errors import Invalid

ADMIN_ROLE = "admin"
MAX_TEXT = 255
MAX_ROLES = 64
MAX_TEAMS = 256

_FIRST_SECOND = datetime(1, 1, 1, tzinfo=UTC).timestamp()
_LAST_SECOND = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()

# Control characters, NUL among them, have no place in an id; lone surrogates cannot be stored as UTF-8.
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """An authenticated caller.

    `id` has 1 to 255 characters, none of them a control character. `expires` (seconds since 1970) is the end of
    the token it came from; None for a principal that no token made (the process itself).
    """

    id: str
    name: str | None = None
    roles: frozenset[str] = frozenset()
    teams: frozenset[str] = frozenset()
    expires: float | None = None

    @property
    def expires_at(self) -> datetime | None:
        """`expires` as an aware time in UTC."""
        return None if self.expires is None else datetime.fromtimestamp(self.expires, UTC)

    @property
    def is_admin(self) -> bool:
        """Whether the principal has the role `admin`."""
        return ADMIN_ROLE in self.roles


def principal_from_claims(claims: Mapping[str, object]) -> Principal:
    """The principal that verified `claims` describe.

    Raises Invalid, with the claim's name as `field`, for the first claim that is absent though required
    (`sub`, `exp`), of a wrong type or out of bounds. The message never repeats a claim's value.
    """
    return Principal(
        id=_subject(claims.get("sub")),
        name=_name(claims.get("name")),
        roles=_words(claims.get("roles"), "roles", MAX_ROLES),
        teams=_words(claims.get("teams"), "teams", MAX_TEAMS),
        expires=_instant(claims.get("exp")),
    )


def numeric_date(value: object, claim: str) -> float:
    """Seconds since 1970 (RFC 7519, NumericDate). Raises Invalid for anything but a finite number."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            seconds = float(value)
        except OverflowError:
            seconds = math.inf
        if math.isfinite(seconds):
            return seconds
    raise Invalid(f"the claim {claim} must be a number of seconds since 1970", field=claim)


def _subject(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise Invalid("the claim sub, the user's id, must be a non-empty string", field="sub")
    return _text(value, "sub")


def _name(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise Invalid("the claim name must be a string", field="name")
    return _text(value, "name") or None


def _words(value: object, claim: str, limit: int) -> frozenset[str]:
    if value is None or value == []:
        return frozenset()
    if not isinstance(value, list) or not all(isinstance(word, str) and word for word in value):
        raise Invalid(f"the claim {claim} must be a list of non-empty strings", field=claim)
    if len(value) > limit:
        raise Invalid(f"the claim {claim} has more than {limit} entries", field=claim)
    return frozenset(_text(word, claim) for word in value)


def _text(value: str, claim: str) -> str:
    if len(value) > MAX_TEXT:
        raise Invalid(f"the claim {claim} is longer than {MAX_TEXT} characters", field=claim)
    if not value.isprintable() and _FORBIDDEN.search(value):
        raise Invalid(f"the claim {claim} has control characters", field=claim)
    return value


def _instant(value: object) -> float:
    """Seconds that a datetime can hold too."""
    seconds = numeric_date(value, "exp")
    if not _FIRST_SECOND <= seconds <= _LAST_SECOND:
        raise Invalid("the claim exp is out of range", field="exp")
    return seconds
