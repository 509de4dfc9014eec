"""An answer's head leaves with the beginning of its body, and never later than its turn of the loop."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from tests.loop import settle

from callboard.transports.answer import Answer


class Transport:
    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.writes.append(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def transport() -> Transport:
    return Transport()


@pytest.fixture
async def answer(transport: Transport) -> Answer:
    return Answer(cast(asyncio.Transport, transport), asyncio.get_running_loop())


async def test_head_and_body_leave_in_one_write(answer: Answer, transport: Transport) -> None:
    answer.write(b"head ")
    assert transport.writes == []
    answer.write(b"body")
    assert transport.writes == [b"head body"]
    answer.write(b"more")
    assert transport.writes == [b"head body", b"more"]
    await settle()
    assert transport.writes == [b"head body", b"more"]


async def test_a_head_whose_body_takes_longer_does_not_wait(answer: Answer, transport: Transport) -> None:
    answer.write(b"head")
    await settle()
    assert transport.writes == [b"head"]
    answer.write(b"body")
    assert transport.writes == [b"head", b"body"]


async def test_an_answer_without_a_body(answer: Answer, transport: Transport) -> None:
    answer.write(b"head")
    answer.write(b"")
    assert transport.writes == [b"head"]


async def test_what_was_written_leaves_before_the_end(answer: Answer, transport: Transport) -> None:
    answer.write(b"head")
    assert not answer.is_closing()
    answer.close()
    assert (transport.writes, transport.closed, answer.is_closing()) == ([b"head"], True, True)
    await settle()
    assert transport.writes == [b"head"]


async def test_nothing_is_written_to_a_connection_that_ended_meanwhile(answer: Answer, transport: Transport) -> None:
    answer.write(b"head")
    transport.closed = True
    await settle()
    assert transport.writes == []
