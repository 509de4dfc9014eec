"""Tokens that count no more, remembered ones too."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import jwt
import pytest
from tests.clock import TurnedClock
from tests.unit.auth.conftest import SECRET

from callboard.auth.revocations import Revocations
from callboard.auth.tokens import TokenSigner, TokenVerifier, verifier
from callboard.errors import Unauthenticated
from callboard.settings import Settings


def token(clock: TurnedClock, user: str = "u1", **claims: float) -> str:
    return jwt.encode({"sub": user, "exp": clock.now().timestamp() + 3600, **claims}, SECRET, algorithm="HS256")


@pytest.fixture
def revocations() -> Revocations:
    return Revocations()


@pytest.fixture
def checker(configure: Callable[..., Settings], clock: TurnedClock, revocations: Revocations) -> TokenVerifier:
    return verifier(configure(JWT_SECRET=SECRET), clock=clock, revocations=revocations)


async def test_a_revoked_token_is_refused_even_if_it_was_remembered(
    checker: TokenVerifier, clock: TurnedClock, revocations: Revocations
) -> None:
    now = clock.now().timestamp()
    before, of_another = token(clock, iat=now), token(clock, "u2", iat=now)
    for good in (before, of_another):
        await checker.verify(good)
    clock.turn(60.5)
    revocations.add("u1", clock.now().timestamp())
    for _ in range(2):
        with pytest.raises(Unauthenticated) as refused:
            await checker.verify(before)
        assert refused.value.code == "token_invalid"
        assert "revoked" in refused.value.message
    await checker.verify(of_another)


async def test_a_token_issued_afterwards_counts(
    checker: TokenVerifier, clock: TurnedClock, revocations: Revocations
) -> None:
    moment = clock.now().timestamp() + 0.25
    revocations.add("u1", moment)
    for issued in (moment, moment + 0.5):
        assert (await checker.verify(token(clock, iat=issued))).id == "u1"
    # In whole seconds, as most issuers write it, one of the same second may be from before, whenever it was issued.
    clock.turn(0.5)
    with pytest.raises(Unauthenticated):
        await checker.verify(token(clock, iat=int(clock.now().timestamp())))
    clock.turn(0.5)
    assert (await checker.verify(token(clock, iat=int(clock.now().timestamp())))).id == "u1"


async def test_a_token_of_our_own_says_on_which_side_of_a_revocation_in_the_same_second_it_is(
    configure: Callable[..., Settings], checker: TokenVerifier, clock: TurnedClock, revocations: Revocations
) -> None:
    signer = TokenSigner(configure(JWT_SECRET=SECRET), clock=clock)
    clock.turn(0.25)
    before = signer.sign("u1", ttl=timedelta(seconds=10))
    clock.turn(0.000_001)
    revocations.add("u1", clock.now().timestamp())
    clock.turn(0.000_001)
    after = signer.sign("u1", ttl=timedelta(seconds=10))
    with pytest.raises(Unauthenticated):
        await checker.verify(before)
    assert (await checker.verify(after)).id == "u1"
    clock.turn(10.0)
    with pytest.raises(Unauthenticated) as refused:
        await checker.verify(after)
    assert refused.value.code == "token_expired"


async def test_of_a_revoked_user_a_token_must_say_when_it_was_issued(
    checker: TokenVerifier, clock: TurnedClock, revocations: Revocations
) -> None:
    assert (await checker.verify(token(clock))).id == "u1"
    revocations.add("u1", clock.now().timestamp())
    with pytest.raises(Unauthenticated):
        await checker.verify(token(clock))


def test_moments_only_move_forward(revocations: Revocations) -> None:
    revocations.add_all([("u1", 20.0), ("u1", 10.0), ("u2", 5.0)])
    assert revocations.refuses("u1", 19.9)
    assert not revocations.refuses("u1", 20.0)
    assert not revocations.refuses("u2", 5.0)
