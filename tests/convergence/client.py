"""The documented rules of a client of `/feed`, written once more in Python: snapshots and messages in, state out.

Owns: those rules, in their plainest form. A copy is what its highest revision says. An id once deleted never comes
back. A list is ordered by (arrived_at, id), the latest first, and reaches down to where it has been loaded; archived
ones are in the other list. What was read with another is named by that one's message, loaded here or not. A count is
absolute and as of its position; each `notification:new` of a later position counts itself, and since that may have been
in the count, the client asks once more. Never: a connection, a clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

ListName = Literal["current", "archived"]
LISTS: tuple[ListName, ...] = ("current", "archived")
Payload = Mapping[str, Any]
Place = tuple[str, str]


def number_of(position: str) -> int:
    """Where in the log a position is."""
    return int(position.rpartition(".")[2])


class Copy(NamedTuple):
    """A copy, and the position at which it was so."""

    payload: Payload
    as_of: int

    @property
    def place(self) -> Place:
        """Both parts are text that sorts as what it stands for."""
        return self.payload["arrived_at"], self.payload["id"]

    @property
    def list(self) -> ListName:
        return "current" if self.payload["archived_at"] is None else "archived"


class Read(NamedTuple):
    """What a message about another says of a copy: the revision since it was read, and when."""

    revision: int
    read_at: str


@dataclass
class Loaded:
    """How far down a list is loaded: to `floor`, the last of the pages so far; None is all of it."""

    floor: Place | None = None
    cursor: str | None = None
    as_of: int = -1


@dataclass
class Inbox:
    """What one client knows of its user's notifications."""

    copies: dict[str, Copy] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    loaded: dict[ListName, Loaded] = field(default_factory=lambda: {name: Loaded() for name in LISTS})
    counted: int = 0
    counted_at: int = -1
    since_count: dict[str, int] = field(default_factory=dict)
    read_with: dict[str, Read] = field(default_factory=dict)

    def take(self, name: str, payload: Payload, position: str | None = None) -> None:
        """A message; names of others are passed over."""
        if name == "notification:unread-count":
            self._count(payload["count"], number_of(payload["position"]))
            return
        assert position is not None, f"{name} has no position"
        if name == "notification:deleted":
            self.deleted.add(payload["id"])
            self.copies.pop(payload["id"], None)
        elif name in ("notification:new", "notification:updated"):
            at = number_of(position)
            also_read = payload.get("also_read", ())
            self._put({key: value for key, value in payload.items() if key != "also_read"}, at)
            for other in also_read:
                self.read_with[other["id"]] = Read(other["revision"], payload["read_at"])
            if name == "notification:new" and at > self.counted_at:
                self.since_count[payload["id"]] = at

    def snapshot(self, name: ListName, page: Payload) -> None:
        """A first page. It is the list down to its end, so what it does not name has left that part."""
        as_of = number_of(page["position"])
        if as_of >= self.loaded[name].as_of:
            self._page(name, page, above=None)

    def older(self, name: ListName, page: Payload, cursor: str) -> None:
        """The page after `cursor`; left out if the list was begun anew meanwhile."""
        if cursor == self.loaded[name].cursor:
            self._page(name, page, above=self.loaded[name].floor)

    def listed(self, name: ListName) -> list[Copy]:
        """The loaded part of a list."""
        floor = self.loaded[name].floor
        found = [copy for copy in self.copies.values() if copy.list == name and (floor is None or copy.place >= floor)]
        return [self._shown(copy) for copy in sorted(found, key=lambda copy: copy.place, reverse=True)]

    @property
    def unread(self) -> int:
        return self.counted + len(self.since_count)

    def _put(self, payload: Payload, as_of: int) -> None:
        if payload["id"] in self.deleted:
            return
        held = self.copies.get(payload["id"])
        if held is None or payload["revision"] > held.payload["revision"]:
            self.copies[payload["id"]] = Copy(payload, as_of)
        else:
            self.copies[payload["id"]] = held._replace(as_of=max(as_of, held.as_of))

    def _shown(self, copy: Copy) -> Copy:
        """As it is since it was read with another. What is held stays: an earlier change may still come in a page."""
        read = self.read_with.get(copy.payload["id"])
        if read is None or read.revision <= copy.payload["revision"]:
            return copy
        seen_at = copy.payload["seen_at"] or read.read_at
        return copy._replace(payload={**copy.payload, **read._asdict(), "seen_at": seen_at})

    def _page(self, name: ListName, page: Payload, *, above: Place | None) -> None:
        as_of = number_of(page["position"])
        for id_, copy in list(self.copies.items()):
            covered = copy.list == name and (above is None or copy.place < above)
            if covered and copy.as_of <= as_of:
                del self.copies[id_]
        items: Sequence[Payload] = page["items"]
        for item in items:
            self._put(item, as_of)
        floor = (items[-1]["arrived_at"], items[-1]["id"]) if page["next_cursor"] is not None else None
        self.loaded[name] = Loaded(floor, page["next_cursor"], max(as_of, self.loaded[name].as_of))

    def _count(self, count: int, at: int) -> None:
        if at < self.counted_at:
            return
        self.counted, self.counted_at = count, at
        self.since_count = {id_: came for id_, came in self.since_count.items() if came > at}
