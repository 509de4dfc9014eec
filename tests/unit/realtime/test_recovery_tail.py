"""The tail: the newest durable messages by room, within its bounds."""

from __future__ import annotations

import pytest

from callboard.realtime.broker import Envelope
from callboard.realtime.recovery import Tail
from callboard.realtime.recovery_ids import Position

EPOCH = "epoch"
FEED = "/feed"


def envelope(seq: int, *rooms: str, namespace: str = FEED, size: int = 0, epoch: str = EPOCH) -> Envelope:
    payload = b'{"n":%d,"fill":"%s"}' % (seq, b"x" * size)
    return Envelope(namespace=namespace, rooms=rooms, name="n", payload=payload, position=f"{epoch}.{seq}")


def filled(tail: Tail, *numbers: int, room: str = "r", size: int = 0, epoch: str = EPOCH) -> Tail:
    for seq in numbers:
        tail.add(Position(epoch, seq), envelope(seq, room, size=size, epoch=epoch), None)
    return tail


def numbers(tail: Tail, *rooms: str, after: int = 0, namespace: str = FEED, limit: int = 100) -> list[int]:
    missed = tail.missed(namespace, rooms, after, limit)
    return [int(outgoing.text.split(b'"n":')[1].split(b",")[0]) for outgoing in missed]


def reaches(tail: Tail, after: int, until: int, epoch: str = EPOCH) -> bool:
    return tail.reaches(Position(epoch, after), until)


def test_an_empty_tail_reaches_nothing() -> None:
    assert not reaches(Tail(), 0, 0)


def test_it_finds_what_came_after_a_number_once_and_in_order() -> None:
    tail = Tail()
    for seq, rooms in enumerate((("a",), ("b",), ("a", "b"), ("c",), ("b", "a", "b")), 1):
        tail.add(Position(EPOCH, seq), envelope(seq, *rooms), None)
    assert numbers(tail, "a", "b") == [1, 2, 3, 5]
    assert numbers(tail, "b", "a", after=2) == [3, 5]
    assert numbers(tail, "c") == [4]
    assert numbers(tail, "a", "b", "c", after=5) == numbers(tail, "none") == numbers(tail) == []
    assert [reaches(tail, after, 5) for after in (0, 4, 5)] == [True] * 3
    # It may not speak for another moment than that of its newest message.
    assert [reaches(tail, 0, until) for until in (4, 6)] == [False] * 2


def test_a_room_is_of_its_namespace() -> None:
    tail = Tail()
    tail.add(Position(EPOCH, 1), envelope(1, "a"), None)
    tail.add(Position(EPOCH, 2), envelope(2, "a", namespace="/jobs"), None)
    assert numbers(tail, "a") == [1]
    assert numbers(tail, "a", namespace="/jobs") == [2]


def test_a_message_is_sent_as_it_was_encoded_for_others() -> None:
    tail = filled(Tail(), 1)
    first = tail.missed(FEED, ["r"], 0, 10)
    assert first[0].text == b'42/feed,["n",{"n":1,"fill":""},"epoch.1"]'
    assert tail.missed(FEED, ["r"], 0, 10)[0] is first[0]
    tail.add(Position(EPOCH, 2), envelope(2, "r"), first[0])
    assert tail.missed(FEED, ["r"], 1, 10) == first


def test_it_is_bounded_in_number() -> None:
    tail = filled(Tail(most=3), *range(11, 16))
    assert tail.floor == 12
    assert [reaches(tail, after, 15) for after in (10, 11, 12, 13)] == [False, False, True, True]
    assert numbers(tail, "r") == [13, 14, 15]


def test_it_is_bounded_in_bytes() -> None:
    tail = Tail(most_bytes=20_000)
    filled(tail, *range(1, 11), size=1_000)
    kept = numbers(tail, "r")
    assert 0 < len(kept) < 10
    assert kept == list(range(tail.floor + 1, 11))
    filled(tail, 11, size=30_000)
    assert (tail.floor, numbers(tail, "r")) == (11, [])
    assert reaches(tail, 11, 11)
    assert not reaches(tail, 10, 11)
    filled(tail, 12)
    assert (tail.floor, numbers(tail, "r")) == (11, [12])


def test_numbers_that_break_after_everything_was_evicted_are_noticed() -> None:
    tail = filled(Tail(most_bytes=5_000), 1, size=30_000)
    filled(tail, 4)
    assert (tail.floor, numbers(tail, "r")) == (3, [4])


def test_messages_to_very_many_rooms_count_by_their_rooms() -> None:
    tail = Tail()
    rooms = [f"user:{number}" for number in range(10_000)]
    for seq in range(1, 31):
        tail.add(Position(EPOCH, seq), envelope(seq, *rooms), None)
    assert 0 < tail.floor < 30
    assert numbers(tail, "user:0") == numbers(tail, "user:9999") == list(range(tail.floor + 1, 31))
    filled(tail, *range(31, 31 + 20_000))
    assert numbers(tail, "user:0") == []
    assert list(tail._rooms[FEED]) == ["r"], "a room without messages is forgotten"


def test_messages_to_many_and_to_few_rooms_are_found_alike() -> None:
    many = [f"user:{number}" for number in range(500)]
    sent: dict[int, tuple[str, tuple[str, ...]]] = {
        1: (FEED, ("a",)),
        2: (FEED, ("a", *many)),
        3: ("/jobs", tuple(many)),
        4: (FEED, ("b", "user:7")),
        5: (FEED, tuple(many)),
        6: (FEED, ("a", "b")),
    }
    tail = Tail()
    for seq, (namespace, rooms) in sent.items():
        tail.add(Position(EPOCH, seq), envelope(seq, *rooms, namespace=namespace), None)
    for asked in (["a"], ["b"], ["user:7"], ["user:7", "a"], ["user:499", "none"], ["user:500"], many, []):
        for after in range(7):
            expected = [seq for seq in sent if seq > after and sent[seq][0] == FEED and {*asked} & {*sent[seq][1]}]
            assert numbers(tail, *asked, after=after) == expected
    assert numbers(tail, "user:7", namespace="/jobs") == [3]
    assert len(numbers(tail, "user:7", "a", limit=1)) > 1
    tail.add(Position("another", 1), envelope(1, *many, epoch="another"), None)
    assert numbers(tail, "user:7", "a") == [1], "another log's begins anew"


def test_of_more_than_the_limit_it_gives_enough_to_tell() -> None:
    tail = filled(Tail(), *range(1, 101))
    assert len(numbers(tail, "r", limit=100)) == 100
    assert len(numbers(tail, "r", limit=99)) > 99
    assert len(numbers(tail, "r", limit=10)) == 11


@pytest.mark.parametrize(("epoch", "seq"), [("another", 1), ("another", 4), (EPOCH, 5), (EPOCH, 2)])
def test_it_begins_anew_with_another_log_and_where_the_numbers_break(epoch: str, seq: int) -> None:
    tail = filled(Tail(), 1, 2, 3)
    filled(tail, seq, epoch=epoch)
    assert reaches(tail, seq - 1, seq, epoch)
    assert not reaches(tail, seq - 2, seq, epoch)
    assert not reaches(tail, 3, 3)
    assert numbers(tail, "r", after=-1) == [seq]


def preload(tail: Tail, start: Position, *seqs: int, epoch: str = EPOCH) -> None:
    tail.preload(start, [envelope(seq, "r", epoch=epoch) for seq in seqs])


def test_it_is_filled_from_the_log_when_the_process_starts() -> None:
    tail = Tail()
    preload(tail, Position(EPOCH, 9), 7, 8, 9)
    assert (tail.floor, numbers(tail, "r")) == (6, [7, 8, 9])
    assert [reaches(tail, after, 9) for after in (5, 6, 9)] == [False, True, True]
    filled(tail, 10)
    assert numbers(tail, "r", after=7) == [8, 9, 10]


def test_messages_that_came_while_the_log_was_read_follow_those_from_the_log() -> None:
    tail = filled(Tail(), 10, 11)
    preload(tail, Position(EPOCH, 9), 8, 9)
    assert (tail.floor, numbers(tail, "r")) == (7, [8, 9, 10, 11])


def test_what_the_log_gives_counts_toward_the_bounds() -> None:
    tail = filled(Tail(most=3), 10, 11)
    preload(tail, Position(EPOCH, 9), 6, 7, 8, 9)
    assert (tail.floor, numbers(tail, "r")) == (8, [9, 10, 11])


def test_what_does_not_join_up_with_the_tail_is_left_out() -> None:
    for start, seqs, epoch in (
        (Position(EPOCH, 8), (7, 8), EPOCH),  # 9 would be missing: it was evicted while the log was read
        (Position("another", 9), (8, 9), "another"),  # another log has begun meanwhile
        (Position(EPOCH, 9), (7, 8), EPOCH),  # the log ends before its head says
        (Position(EPOCH, 9), (), EPOCH),
    ):
        tail = filled(Tail(), 10, 11)
        preload(tail, start, *seqs, epoch=epoch)
        assert (tail.floor, numbers(tail, "r")) == (9, [10, 11])
