"""Random operations on notifications: what people, their clients, admins, hosts and time do to an inbox.

Owns: the choice of one, by a seeded generator, and doing it. Never: a verdict about what clients show; an answer that
no state of the inbox explains (a 500, or a 503 of a deadlock) raises AssertionError.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from tests.convergence.client import LISTS
from tests.convergence.stage import Stage
from tests.convergence.tab import LineLost, Tab

TYPES = ("note", "episode:updated", "job.done")
RESOURCES = ("4", "5")
GROUPS = (None, None, "a", "b")
PRIORITIES = ("low", "normal", "normal", "high", "urgent")
CHANGES = ("read", "read", "unread", "archive", "unarchive")
MOST_AT_ONCE = 6

ATTEND = """
insert into callboard.attention_of values ($1, 'dnd', clock_timestamp() + make_interval(secs => $2))
on conflict (user_id) do update set until = excluded.until
"""
EXPIRE = """
update callboard.notification_recipients set expires_at = now() - interval '1 second'
where user_id = $1 and expires_at is not null and notification_id = any (array(
  select notification_id from callboard.notification_recipients
  where user_id = $1 and expires_at is not null order by notification_id limit 1))
"""

# Locks in the order of those who create, so that they do not deadlock.
NEXT_HOUR = """
with rates as (select user_id from callboard.notification_rates order by user_id collate "C" for update)
update callboard.notification_rates r set sent = 0 from rates where r.user_id = rates.user_id
"""

Operation = Callable[[], Coroutine[Any, Any, None]]


class Operations:
    """See the module. `tabs`: the clients through which their users act."""

    def __init__(self, stage: Stage, tabs: Sequence[Tab], rng: random.Random) -> None:
        self._stage = stage
        self._tabs = tabs
        self._users = sorted({tab.user for tab in tabs})
        self._rng = rng
        self._admin = stage.token("boss", "admin")
        self._titles = itertools.count(1)
        self._busy: set[Tab] = set()
        self._weighted: list[tuple[Callable[[], Operation], int]] = [
            (self._create, 12),
            (self._create_by_sql, 2),
            (self._create_for_followers, 3),
            (self._change, 12),
            (self._see, 3),
            (self._delete, 3),
            (self._delete_many, 2),
            (self._read_all, 2),
            (self._read_by_socket, 3),
            (self._follow, 2),
            (self._prefer, 3),
            (self._attend, 2),
            (self._upkeep, 5),
            (self._expire, 2),
            (self._next_hour, 1),
            (self._line, 7),
            (self._load, 4),
        ]

    def some(self) -> list[Operation]:
        """A few to do at the same time; the line of a tab is in one of them at most."""
        self._busy.clear()
        kinds, weights = zip(*self._weighted, strict=True)
        return [kind() for kind in self._rng.choices(kinds, weights, k=self._rng.randint(1, MOST_AT_ONCE))]

    # What admins and hosts do

    def _create(self) -> Operation:
        users = self._rng.sample(self._users, self._rng.randint(1, len(self._users)))
        body = self._content() | ({"user_id": users[0]} if len(users) == 1 else {"user_ids": users})
        headers = {"Idempotency-Key": f"key-{next(self._titles)}"} if self._rng.random() < 0.2 else {}

        async def create() -> None:
            status, answer = await self._stage.ask("POST", "/notifications", self._admin, body, **headers)
            assert status in (201, 429), answer
            if headers and status == 201:
                assert (201, answer) == await self._stage.ask("POST", "/notifications", self._admin, body, **headers)

        return create

    def _create_by_sql(self) -> Operation:
        users = self._rng.sample(self._users, self._rng.randint(1, 2))
        title = self._title()

        async def create() -> None:
            await self._stage.database.execute("select callboard.notify($1, 'note', $2, '')", users, title)

        return create

    def _create_for_followers(self) -> Operation:
        to = {"subscribers_of": {"resource_type": "episode", "resource_id": self._rng.choice(RESOURCES)}}
        return self._asking("POST", "/notifications", self._admin, self._content() | to, expected=(201,))

    def _content(self) -> dict[str, Any]:
        content: dict[str, Any] = {
            "type": self._rng.choice(TYPES),
            "title": self._title(),
            "message": "",
            "priority": self._rng.choice(PRIORITIES),
            "group_key": self._rng.choice(GROUPS),
            "actor": self._rng.choice((None, "mira", "jonas")),
        }
        if self._rng.random() < 0.3:
            content["expires_in"] = 3600
        if self._rng.random() < 0.3:
            content["resource"] = {"type": "episode", "id": self._rng.choice(RESOURCES)}
        return content

    def _title(self) -> str:
        return f"title {next(self._titles)}"

    # What people do

    def _change(self) -> Operation:
        tab, ids = self._some_of_a_tab(1)
        change = self._rng.choice(CHANGES)
        if not ids:
            return self._create()
        return self._asking("POST", f"/notifications/{ids[0]}/{change}", tab.token, expected=(200, 404))

    def _see(self) -> Operation:
        tab, ids = self._some_of_a_tab(4)
        return self._asking("POST", "/notifications/seen", tab.token, {"ids": ids}) if ids else self._create()

    def _delete(self) -> Operation:
        tab, ids = self._some_of_a_tab(1)
        if not ids:
            return self._create()
        return self._asking("DELETE", f"/notifications/{ids[0]}", tab.token, expected=(204, 404))

    def _delete_many(self) -> Operation:
        tab, ids = self._some_of_a_tab(4)
        return self._asking("POST", "/notifications/delete", tab.token, {"ids": ids}) if ids else self._create()

    def _read_all(self) -> Operation:
        return self._asking("POST", "/notifications/read-all", self._a_tab().token)

    def _read_by_socket(self) -> Operation:
        tab, ids = self._some_of_a_tab(1)
        all_ = not ids or self._rng.random() < 0.3

        async def read() -> None:
            name, data = ("notification:read-all", {}) if all_ else ("notification:read", {"id": ids[0]})
            try:
                answer = await tab.call(name, data)
            except LineLost:
                return
            assert answer.get("ok") is True or answer["error"]["code"] == "not_found", answer

        return read

    def _follow(self) -> Operation:
        body = {"resource_type": "episode", "resource_id": self._rng.choice(RESOURCES)}
        method, expected = self._rng.choice((("POST", (201,)), ("POST", (201,)), ("DELETE", (204, 404))))
        return self._asking(method, "/subscriptions", self._a_tab().token, body, expected=expected)

    def _prefer(self) -> Operation:
        always = {"start": "00:00", "end": "23:59", "timezone": self._rng.choice(("UTC", "Asia/Tokyo"))}
        choices: tuple[dict[str, object], ...] = (
            {"quiet_hours": always},
            {"quiet_hours": None},
            {"quiet_hours": None, "muted_types": [], "muted_resources": [], "types": {}},
            {"muted_types": [self._rng.choice(TYPES)]},
            {"muted_resources": [{"type": "episode", "id": self._rng.choice(RESOURCES)}]},
            {"types": {self._rng.choice(TYPES): {"quiet_hours": False, "attention": False}}},
        )
        return self._asking("POST", "/notifications/preferences", self._a_tab().token, self._rng.choice(choices))

    # What time does

    def _attend(self) -> Operation:
        user, seconds = self._rng.choice(self._users), self._rng.choice((0.02, 0.1, 3600.0))
        leave = self._rng.random() < 0.5

        async def attend() -> None:
            if leave:
                await self._stage.database.execute("delete from callboard.attention_of where user_id = $1", user)
            else:
                await self._stage.database.execute(ATTEND, user, seconds)
            await self._stage.database.execute("select callboard.reconsider_held($1)", user)

        return attend

    def _upkeep(self) -> Operation:
        return self._stage.do_due

    def _expire(self) -> Operation:
        user = self._rng.choice(self._users)

        async def expire() -> None:
            await self._stage.database.execute(EXPIRE, user)

        return expire

    def _next_hour(self) -> Operation:
        async def begin() -> None:
            await self._stage.database.execute(NEXT_HOUR)

        return begin

    # What clients do

    def _line(self) -> Operation:
        tab = self._idle_tab()
        if tab is None:
            return self._create()
        anew, snapshot_first, again = (self._rng.random() < chance for chance in (0.3, 0.5, 0.15))

        async def change_line() -> None:
            if tab.online:
                await tab.leave()
                return
            await (tab.open(snapshot_first=snapshot_first) if anew else tab.come_back())
            if again:
                await tab.leave()

        return change_line

    def _load(self) -> Operation:
        tab, name = self._idle_tab(), self._rng.choice(LISTS)
        if tab is None:
            return self._create()
        more = self._rng.random() < 0.5

        async def load() -> None:
            if more:
                await tab.load_more(name)
            elif tab.online:
                await tab.refresh(name)

        return load

    def _a_tab(self) -> Tab:
        return self._rng.choice(self._tabs)

    def _idle_tab(self) -> Tab | None:
        idle = [tab for tab in self._tabs if tab not in self._busy]
        if not idle:
            return None
        tab = self._rng.choice(idle)
        self._busy.add(tab)
        return tab

    def _some_of_a_tab(self, most: int) -> tuple[Tab, list[str]]:
        """A tab, and ids that it knows: it may be behind, and others of the user may be faster."""
        tab = self._a_tab()
        known = sorted(tab.inbox.copies)
        return tab, self._rng.sample(known, min(len(known), self._rng.randint(1, most)))

    def _asking(
        self, method: str, path: str, token: str, body: object = None, *, expected: tuple[int, ...] = (200,)
    ) -> Operation:
        async def ask() -> None:
            status, answer = await self._stage.ask(method, path, token, body)
            assert status in expected, f"{method} {path} {json.dumps(body)}: {status} {answer}"

        return ask
