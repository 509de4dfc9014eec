"""Who is in which room."""

from __future__ import annotations

from callboard.realtime.hub import Hub


def test_everyone_is_in_no_room() -> None:
    hub: Hub[str] = Hub()
    hub.add("a")
    hub.add("b")
    hub.add("a")
    assert len(hub) == 2
    assert "a" in hub
    assert "c" not in hub
    assert set(hub.select([])) == {"a", "b"}
    assert set(hub.select(["a"])) == set()


def test_a_member_comes_with_rooms() -> None:
    hub: Hub[str] = Hub()
    hub.add("a", ["red", "blue"])
    hub.add("b", ["blue"])
    assert len(hub) == 2
    assert set(hub.select(["red"])) == {"a"}
    assert set(hub.select(["blue"])) == {"a", "b"}


def test_a_member_of_several_rooms_is_found_once() -> None:
    hub: Hub[str] = Hub()
    for member in "abc":
        hub.add(member)
    hub.join("a", "red")
    hub.join("a", "red")
    hub.join("a", "blue")
    hub.join("b", "blue")
    assert sorted(hub.select(["red", "blue"])) == ["a", "b"]
    assert sorted(hub.select(["red", "none"])) == ["a"]
    assert sorted(hub.select(["blue", "blue"])) == ["a", "b"]
    assert sorted(hub.select(["none", "nowhere"])) == []


def test_a_room_is_the_same_whether_one_or_several_are_in_it() -> None:
    hub: Hub[str] = Hub()
    expected: dict[str, set[str]] = {"red": set(), "blue": set()}
    for way, member, room in [
        ("join", "a", "red"),
        ("join", "a", "red"),
        ("join", "b", "blue"),
        ("leave", "b", "red"),
        ("join", "b", "red"),
        ("leave", "a", "red"),
        ("join", "a", "red"),
        ("join", "c", "red"),
        ("leave", "c", "red"),
        ("leave", "a", "red"),
        ("leave", "b", "red"),
        ("leave", "b", "red"),
        ("join", "c", "red"),
    ]:
        if way == "join":
            hub.join(member, room)
            expected[room].add(member)
        else:
            hub.leave(member, room)
            expected[room].discard(member)
        for rooms in (["red"], ["blue"], ["red", "blue"]):
            found = hub.select(rooms)
            assert sorted(found) == sorted(set().union(*(expected[room] for room in rooms)))
        assert {room: hub.count(room) for room in expected} == {room: len(expected[room]) for room in expected}
        assert {room for room in expected if hub.has(room)} == {room for room in expected if expected[room]}
        assert hub.rooms == sum(map(bool, expected.values()))


def test_an_empty_room_is_forgotten() -> None:
    hub: Hub[str] = Hub()
    hub.add("a")
    hub.join("a", "red")
    assert hub.has("red")
    assert hub.rooms == 1
    hub.leave("a", "red")
    hub.leave("a", "red")
    assert not hub.has("red")
    assert hub.rooms == 0


def test_a_discarded_member_is_nowhere() -> None:
    hub: Hub[str] = Hub()
    for member in "ab":
        hub.add(member)
        hub.join(member, "red")
    hub.join("a", "blue")
    hub.discard("a", ["red", "blue", "never joined"])
    assert set(hub.select([])) == {"b"}
    assert set(hub.select(["red", "blue"])) == {"b"}
    assert list(hub._rooms) == ["red"]
    hub.discard("a", [])
    assert len(hub) == 1
