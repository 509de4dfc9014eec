"""Who is in which room of one namespace.

Owns: the index from rooms to members. Never: sending, or who may join.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Generic, TypeVar

M = TypeVar("M")


class Hub(Generic[M]):
    """Members and their rooms. Every call is O(1) but `select`, which is O(members found)."""

    __slots__ = ("_alone", "_everyone", "_rooms")

    def __init__(self) -> None:
        self._everyone: set[M] = set()
        # Rooms of one, as most users' are: a set for each would take memory, and time to look into.
        self._alone: dict[str, M] = {}
        self._rooms: dict[str, set[M]] = {}

    def __len__(self) -> int:
        return len(self._everyone)

    def __contains__(self, member: M) -> bool:
        return member in self._everyone

    @property
    def rooms(self) -> int:
        """How many rooms anybody is in."""
        return len(self._alone) + len(self._rooms)

    def add(self, member: M, rooms: Iterable[str] = ()) -> None:
        """Let a member in, and into rooms."""
        self._everyone.add(member)
        for room in rooms:
            self.join(member, room)

    def join(self, member: M, room: str) -> None:
        """Put a member into a room. Twice is as once."""
        members = self._rooms.get(room)
        if members is not None:
            members.add(member)
        elif (first := self._alone.setdefault(room, member)) != member:
            del self._alone[room]
            self._rooms[room] = {first, member}

    def leave(self, member: M, room: str) -> None:
        """Take a member out of a room. An empty room is forgotten."""
        members = self._rooms.get(room)
        if members is not None:
            members.discard(member)
            if not members:
                del self._rooms[room]
        elif self._alone.get(room) == member:
            del self._alone[room]

    def discard(self, member: M, rooms: Collection[str]) -> None:
        """Take a member out of everything. `rooms` are those it had joined."""
        self._everyone.discard(member)
        for room in rooms:
            self.leave(member, room)

    def has(self, room: str) -> bool:
        """Whether anybody is in the room."""
        return room in self._alone or room in self._rooms

    def count(self, room: str) -> int:
        """How many are in the room."""
        return 1 if room in self._alone else len(self._rooms.get(room, ()))

    def select(self, rooms: Collection[str]) -> Collection[M]:
        """Each member of any of the rooms, once; everyone if no room is given. Not to be kept or changed."""
        if not rooms:
            return self._everyone
        if len(rooms) == 1:
            (room,) = rooms
            return (self._alone[room],) if room in self._alone else self._rooms.get(room, ())
        # Not a loop of ours, which would take twice as long: a batch goes to hundreds of rooms of one.
        alone: set[Any] = set(map(self._alone.get, rooms))
        alone.discard(None)
        if len(alone) == len(rooms):
            return alone
        several = [self._rooms[room] for room in self._rooms.keys() & rooms]
        if len(several) == 1 and not alone:
            return several[0]
        return alone.union(*several)
