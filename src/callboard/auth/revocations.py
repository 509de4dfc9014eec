"""Revocations: the tokens that count no more although they are signed and have not expired.

Owns: since when each user's tokens count, as this node knows it. Never: a query (the store fills it, the relay keeps
it current), a connection.
"""

from __future__ import annotations

from collections.abc import Iterable


class Revocations:
    """By user, the moment of the last revocation, in seconds since 1970. Moments only move forward."""

    def __init__(self) -> None:
        self._not_before: dict[str, float] = {}

    def add(self, user_id: str, not_before: float) -> None:
        """The user's tokens that were issued before this moment count no more."""
        self._not_before[user_id] = max(not_before, self._not_before.get(user_id, not_before))

    def add_all(self, known: Iterable[tuple[str, float]]) -> None:
        """Several at once."""
        for user_id, not_before in known:
            self.add(user_id, not_before)

    def refuses(self, user_id: str, issued_at: float | None) -> bool:
        """Whether a token counts no more: issued before the moment, or, of a revoked user, without saying when.

        Most issuers give whole seconds, which cannot tell whether a token from the very second of the revocation was
        issued before it: it is refused, since a thief's token that counts costs more than to sign in again.
        """
        not_before = self._not_before.get(user_id)
        return not_before is not None and (issued_at is None or issued_at < not_before)
