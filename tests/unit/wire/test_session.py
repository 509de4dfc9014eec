"""The Engine.IO session: which packet is allowed when, the heartbeat, the upgrade."""

from __future__ import annotations

import pytest

from callboard.errors import ProtocolError
from callboard.wire.engineio import Packet, PacketType
from callboard.wire.session import Due, Session, State

INTERVAL, TIMEOUT = 25.0, 20.0
REFUSED = object()


def session(state: State = State.WEBSOCKET, now: float = 100.0) -> Session:
    return Session("s1", state, now=now, ping_interval=INTERVAL, ping_timeout=TIMEOUT)


@pytest.mark.parametrize("state", [State.POLLING, State.PROBING, State.WEBSOCKET])
@pytest.mark.parametrize(
    ("kind", "answer", "closes"),
    [
        (PacketType.OPEN, REFUSED, False),
        (PacketType.CLOSE, None, True),
        (PacketType.PING, REFUSED, False),
        (PacketType.PONG, None, False),
        (PacketType.MESSAGE, "data", False),
        (PacketType.UPGRADE, REFUSED, False),
        (PacketType.NOOP, None, False),
    ],
)
def test_every_packet_in_every_open_state(state: State, kind: PacketType, answer: object, closes: bool) -> None:
    subject = session(state)
    if answer is REFUSED:
        with pytest.raises(ProtocolError):
            subject.receive(Packet(kind, "data"), 101.0)
    else:
        assert subject.receive(Packet(kind, "data"), 101.0) == answer
    assert subject.state is (State.CLOSED if closes else state)


def test_a_binary_message_is_given_as_it_came() -> None:
    assert session().receive(Packet(PacketType.MESSAGE, b"\x00"), 100.0) == b"\x00"


def test_the_upgrade_is_a_probe_and_an_upgrade_packet() -> None:
    subject = session(State.POLLING)
    states = [(subject.probe(text), subject.state) for text in ("2probe", "5")]
    assert states == [(False, State.PROBING), (True, State.WEBSOCKET)]


@pytest.mark.parametrize(
    ("state", "text"),
    [
        *[(State.POLLING, text) for text in ("", "x", "2", "2prob", "3probe", "4probe", "5", "1", "6", "0")],
        *[(State.PROBING, text) for text in ("", "x", "2probe", "2", "3", "4a", "1", "6", "0")],
        *[(state, text) for state in (State.WEBSOCKET, State.CLOSED) for text in ("2probe", "5", "4a")],
    ],
)
def test_any_other_step_of_an_upgrade_is_refused_and_changes_nothing(state: State, text: str) -> None:
    subject = session(state)
    with pytest.raises(ProtocolError):
        subject.probe(text)
    assert subject.state is state


def test_an_abandoned_probe_leaves_the_session_on_polling() -> None:
    subject = session(State.POLLING)
    subject.probe("2probe")
    subject.abandon_probe()
    assert subject.state is State.POLLING
    assert subject.probe("2probe") is False


@pytest.mark.parametrize("state", [State.POLLING, State.WEBSOCKET, State.CLOSED])
def test_abandoning_means_nothing_outside_of_a_probe(state: State) -> None:
    subject = session(state)
    subject.abandon_probe()
    assert subject.state is state


def test_a_ping_is_due_after_the_interval_and_asked_for_once() -> None:
    subject = session()
    assert subject.deadline == 125.0
    assert subject.due(124.999) is Due.NOTHING
    assert subject.due(125.0) is Due.PING
    assert subject.due(125.0) is Due.NOTHING
    assert subject.deadline == 145.0


def test_a_pong_begins_the_next_interval() -> None:
    subject = session()
    subject.due(125.0)
    assert subject.receive(Packet(PacketType.PONG, ""), 127.0) is None
    assert subject.deadline == 152.0
    assert subject.due(151.9) is Due.NOTHING
    assert subject.due(152.0) is Due.PING


def test_a_pong_that_is_missing_is_a_timeout() -> None:
    subject = session()
    subject.due(125.0)
    assert subject.due(144.9) is Due.NOTHING
    assert subject.due(145.0) is Due.TIMEOUT
    assert subject.due(146.0) is Due.TIMEOUT


def test_a_pong_nobody_asked_for_puts_nothing_off() -> None:
    subject = session()
    for now in (110.0, 124.0):
        subject.receive(Packet(PacketType.PONG, ""), now)
    assert subject.due(125.0) is Due.PING
    subject.receive(Packet(PacketType.PONG, ""), 126.0)
    subject.receive(Packet(PacketType.PONG, ""), 140.0)
    assert subject.deadline == 151.0


def test_a_message_is_no_pong() -> None:
    subject = session()
    subject.due(125.0)
    subject.receive(Packet(PacketType.MESSAGE, "still here"), 130.0)
    assert subject.due(145.0) is Due.TIMEOUT


def test_who_asks_a_little_late_moves_no_deadline() -> None:
    subject = session()
    assert subject.due(126.0) is Due.PING
    assert subject.deadline == 145.0


def test_who_asks_very_late_leaves_the_client_half_a_timeout() -> None:
    subject = session()
    assert subject.due(3600.0) is Due.PING
    assert subject.due(3609.9) is Due.NOTHING
    assert subject.due(3610.0) is Due.TIMEOUT
