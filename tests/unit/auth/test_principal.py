from __future__ import annotations

from datetime import UTC, datetime

import pytest

from callboard.auth.access import DefaultAccess
from callboard.auth.principal import Principal, principal_from_claims
from callboard.errors import Invalid

EXP = 1_900_000_000


def test_claims_become_a_principal() -> None:
    principal = principal_from_claims(
        {"sub": "u1", "name": "Mira", "roles": ["admin"], "teams": ["art", "art"], "exp": EXP, "extra": 1}
    )
    assert principal == Principal(
        id="u1",
        name="Mira",
        roles=frozenset({"admin"}),
        teams=frozenset({"art"}),
        expires=EXP,
    )
    assert principal.expires_at == datetime.fromtimestamp(EXP, UTC)
    assert principal.is_admin


def test_optional_claims_may_be_absent_null_or_empty() -> None:
    for claims in ({}, {"name": None, "roles": None, "teams": None}, {"name": "", "roles": [], "teams": []}):
        principal = principal_from_claims({"sub": "u2", "exp": EXP, **claims})
        assert (principal.name, principal.roles, principal.teams) == (None, frozenset(), frozenset())
        assert not principal.is_admin


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("sub", None),
        ("sub", ""),
        ("sub", 7),
        ("sub", ["u1"]),
        ("sub", "u" * 256),
        ("sub", "u\x001"),
        ("sub", "u\n1"),
        ("sub", "u\x7f"),
        ("sub", "u\ud800"),
        ("name", 7),
        ("name", "n" * 256),
        ("name", "a\x00b"),
        ("roles", "admin"),
        ("roles", {"admin": True}),
        ("roles", [1]),
        ("roles", [""]),
        ("roles", ["r" * 256]),
        ("roles", ["a\x00"]),
        ("roles", ["r"] * 65),
        ("teams", "art"),
        ("teams", [None]),
        ("teams", ["t"] * 257),
        ("exp", None),
        ("exp", "1900000000"),
        ("exp", True),
        ("exp", float("nan")),
        ("exp", float("inf")),
        ("exp", 10**400),
        ("exp", 10**15),
        ("exp", 253_402_300_800),  # the year 10000
        ("exp", -(10**15)),
    ],
)
def test_a_wrong_claim_is_named_and_not_repeated(claim: str, value: object) -> None:
    with pytest.raises(Invalid) as caught:
        principal_from_claims({"sub": "u1", "exp": EXP, claim: value})
    assert caught.value.field == claim
    assert f"claim {claim}" in caught.value.message
    if isinstance(value, str) and value:
        assert value not in caught.value.message


def test_the_bounds_themselves_are_allowed() -> None:
    principal = principal_from_claims(
        {
            "sub": "u" * 255,
            "roles": [str(n) for n in range(64)],
            "teams": [str(n) for n in range(256)],
            "exp": EXP,
        }
    )
    assert len(principal.id) == 255
    assert len(principal.roles) == 64
    assert len(principal.teams) == 256


@pytest.mark.parametrize("end", ["0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59+00:00"])
def test_an_end_is_one_that_a_date_can_hold(end: str) -> None:
    expires = datetime.fromisoformat(end)
    principal = principal_from_claims({"sub": "u1", "exp": expires.timestamp()})
    assert principal.expires_at == expires
    assert Principal(id="process").expires_at is None


def test_by_default_everybody_reads_and_only_an_admin_publishes() -> None:
    access = DefaultAccess()
    member, admin = Principal(id="u2"), Principal(id="u1", roles=frozenset({"admin"}))
    assert access.may(member, "read", "episode", "7")
    assert access.may(admin, "read", "episode", "7")
    assert not access.may(member, "publish", "episode", "7")
    assert access.may(admin, "publish", "episode", "7")
