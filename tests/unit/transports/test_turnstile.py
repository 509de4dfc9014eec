from __future__ import annotations

import asyncio
import functools

from callboard.transports.turnstile import Turnstile


async def turn() -> None:
    await asyncio.sleep(0)


async def test_what_is_too_much_for_a_turn_comes_in_the_next_ones_in_order() -> None:
    done: list[int] = []
    turnstile = Turnstile(2)
    assert [turnstile.enter(functools.partial(done.append, n)) for n in range(5)] == [True, True, False, False, False]
    assert done == [0, 1]
    await turn()
    assert done == [0, 1, 2, 3]
    assert not turnstile.enter(lambda: done.append(5))
    await turn()
    assert done == [0, 1, 2, 3, 4, 5]
    await turn()
    assert turnstile.enter(lambda: done.append(6))
    assert done[-1] == 6


async def test_a_defect_in_one_does_not_hold_up_the_rest() -> None:
    done: list[int] = []
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context["exception"]))
    turnstile = Turnstile(1)
    error = RuntimeError("broken")

    def fail() -> None:
        raise error

    for work in (lambda: done.append(1), fail, lambda: done.append(2)):
        turnstile.enter(work)
    for _ in range(3):
        await turn()
    assert done == [1, 2]
    assert reported == [error]
