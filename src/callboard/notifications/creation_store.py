"""New notifications in PostgreSQL, and what was decided for them: one method, one statement.

Owns: the SQL of creating, of a dry run and of the stored decision; what SQL callers share with it is in the migrations.
Content, copies and message are one statement, so they commit together. Never: a rule, a transaction, a JSON shape of
its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from callboard.errors import Invalid
from callboard.store.database import Queries
from callboard.store.outbox import Sending


class Created(NamedTuple):
    """What became of a new notification. `payload`: it as JSON, the same for every recipient.

    `created` arrived at once. `id` is None if nothing was stored, because the only recipient is over the limit.
    `outcome`, `rule` and `held_until` are the only recipient's; with several they are None.
    `repeated`: an earlier call with the same key made it.
    """

    id: UUID | None
    created: int
    held: int
    folded: int
    muted: int
    rate_limited: int
    payload: bytes
    outcome: str | None
    rule: str | None
    held_until: datetime | None
    repeated: bool = False


class Decided(NamedTuple):
    """What would become of it for one recipient. `used` is JSON text."""

    user_id: str
    outcome: str
    rule: str | None
    held_until: datetime | None
    used: str | None


class Content(NamedTuple):
    """A new notification, without its recipients. `data` is JSON text."""

    type: str
    title: str
    message: str
    data: str
    priority: str
    actor: str | None
    resource_type: str | None
    resource_id: str | None
    group_key: str | None
    expires_in: int | None


class Recipients(NamedTuple):
    """Either people or everybody who follows a resource."""

    user_ids: Sequence[str] | None
    followed_type: str | None = None
    followed_id: str | None = None

    def arguments(self) -> tuple[str | None, str | None, str | None]:
        """As statements take them: user ids one a line, see `_lines`."""
        return None if self.user_ids is None else _lines(self.user_ids), self.followed_type, self.followed_id


class Key(NamedTuple):
    """Whose call it is, by which Idempotency-Key, with what body. `endpoint`: as in "POST /api/v1/notifications"."""

    caller: str
    key: str
    fingerprint: bytes
    endpoint: str


class ToOne(NamedTuple):
    """A new notification for one person."""

    user_id: str
    content: Content


class CreationStore:
    """Statements; each takes what it runs on, or what sends the messages that it writes."""

    async def create(
        self, outbox: Sending, recipients: Recipients, content: Content, *, refuse_over_limit: bool = False
    ) -> Created:
        """Content, copies and message. Raises Invalid naming the first wrong argument, Locked as `create_each`."""
        (row,) = await outbox.send(CREATE, *recipients.arguments(), *content, refuse_over_limit)
        return Created(*row)

    async def create_within(
        self, queries: Queries, recipients: Recipients, content: Content, refuse_over_limit: bool
    ) -> Created:
        """The same in somebody's transaction: the relay is woken by its commit. Raises Invalid."""
        row = await queries.fetchrow(CREATE_WITHIN, *recipients.arguments(), *content, refuse_over_limit)
        assert row is not None
        return Created(*row)

    async def create_each(self, outbox: Sending, calls: Sequence[ToOne]) -> list[Created]:
        """Several notifications of one recipient each, in this order; all of them or none. Raises Invalid.

        Calls in the order of their user ids and then of their group keys do not deadlock with others. One that is over
        the limit stores nothing. Raises Locked where a transaction that decides for one of them stays open.
        """
        columns = zip(*((call.user_id, *call.content) for call in calls), strict=True)
        return [Created(*row) for row in await outbox.send(CREATE_EACH, *columns)]

    async def create_once(
        self, outbox: Sending, key: Key, recipients: Recipients, content: Content, *, refuse_over_limit: bool
    ) -> Created:
        """The same for a caller's key: again it gives the first answer. Raises as `create`; Conflict for another call.

        While a call with the same key is under way it raises Locked too.
        """
        (row,) = await outbox.send(CREATE_ONCE, *key, *recipients.arguments(), *content, refuse_over_limit)
        return Created(*row)

    async def decide(self, queries: Queries, recipients: Recipients, content: Content) -> list[Decided]:
        """What would become of it, by user id; nothing is stored. Raises Invalid."""
        return [Decided(*row) for row in await queries.fetch(DECIDE, *recipients.arguments(), *content)]

    async def explain(self, queries: Queries, user_id: str, id_: UUID) -> bytes | None:
        """The stored decision as a JSON object, also of a copy that is not in the inbox; None if there is none."""
        explained: bytes | None = await queries.fetchval(EXPLAIN, user_id, id_)
        return explained


def _lines(user_ids: Sequence[str]) -> str:
    """User ids as one text, one a line. Of an array asyncpg asks whether each element is one too: 0.3 ms for 500.

    Raises Invalid for what is not a line each, in the statement's words for other wrong ids.
    """
    try:
        lines = "\n".join(user_ids)
    except TypeError:
        lines = ""
    if user_ids and (not lines or lines.count("\n") >= len(user_ids)):
        raise Invalid("a user id must have 1 to 255 characters, none of them a control character", field="user_ids")
    return lines


CREATE = """
select id, created, held, folded, muted, rate_limited, convert_to(payload, 'UTF8'), outcome, rule, held_until
from callboard.create_soon(string_to_array($1, chr(10)), $2, $3, $4, $5, $6, $7::jsonb, $8, $9, $10, $11, $12, $13, $14)
"""

CREATE_ONCE = """
select id, created, held, folded, muted, rate_limited, convert_to(payload, 'UTF8'), outcome, rule, held_until, repeated
from callboard.create_once($1, $2, $3, string_to_array($5, chr(10)), $6, $7, $8, $9, $10, $11::jsonb, $12, $13, $14,
                           $15, $16, $17, $18, $4)
"""

# On a connection that is not ours: a codec that its owner set for jsonb must not be met.
CREATE_WITHIN = """
select id, created, held, folded, muted, rate_limited, convert_to(payload, 'UTF8'), outcome, rule, held_until
from callboard.create_within(string_to_array($1, chr(10)), $2, $3, $4, $5, $6, $7::text::jsonb, $8, $9, $10, $11, $12,
                             $13, $14)
"""

# The same for calls that came at the same time: one round trip, one commit, and one set where there are no groups.
CREATE_EACH = """
select id, created, held, folded, muted, rate_limited, convert_to(payload, 'UTF8'), outcome, rule, held_until
from callboard.create_each($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]::jsonb[], $6::text[], $7::text[],
                           $8::text[], $9::text[], $10::text[], $11::integer[])
"""

DECIDE = """
select user_id, outcome, rule, held_until, used
from callboard.decide_dry(string_to_array($1, chr(10)), $2, $3, $4, $5, $6, $7::jsonb, $8, $9, $10, $11, $12, $13)
"""

EXPLAIN = """
select convert_to(json_build_object(
  'notification_id', r.notification_id,
  'user_id', r.user_id,
  'outcome', r.outcome,
  'rule', r.rule,
  'used', json_strip_nulls(json_build_object('sent_in_hour', r.sent_in_hour))::jsonb || coalesce(r.used, '{}') - 'into',
  'decided_at', callboard.utc_text(n.created_at),
  'held_until', case when isfinite(r.held_until) then callboard.utc_text(r.held_until) end,
  'arrived_at', callboard.exact_utc_text(r.arrived_at),
  'folded_into', r.used ->> 'into')::text, 'UTF8')
from callboard.notification_recipients r
join callboard.notifications n on n.id = r.notification_id
where r.user_id = $1 and r.notification_id = $2
"""
