"""The clock that tests turn, settings, and keys made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from tests.clock import TurnedClock

from callboard import settings
from callboard.settings import Settings

SECRET = "a secret that only the tests know, long enough for every hash of the family"


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
def configure(tmp_path: Path) -> Callable[..., Settings]:
    """Settings from keyword arguments that are named as in the environment."""

    def load(**environ: str) -> Settings:
        return settings.load(environ, data_dir=tmp_path)

    return load


@pytest.fixture(scope="session")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="session")
def other_rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="session")
def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="session")
def ed_key() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


@pytest.fixture
def secret() -> str:
    return SECRET
