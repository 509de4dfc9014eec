"""What the text of a setting may be: numbers, choices, origins, networks, URLs.

Owns: turning text into checked values, with an error that names the setting. Never: which settings there are, where
their text comes from (`settings.py`), a secret in an error.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import TypeVar

from callboard.errors import SettingsError

T = TypeVar("T")

_ORIGIN = re.compile(r"https?://[^/\s?#@*]+\Z")
# host, host:port or [IPv6]:port; several are separated by commas.
_DATABASE_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:]*)(:[0-9]{1,5})?\Z")
_TYPE = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,63}\Z")


class Reader:
    """Typed access to settings by name. An empty value counts as unset; every SettingsError names the setting."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str) -> str | None:
        """The value as it is, without spaces around it."""
        return self._environ.get(name, "").strip() or None

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """A whole number from `low` to `high`."""
        value = self.text(name)
        if value is None:
            return default
        if not re.fullmatch(r"-?[0-9]{1,12}", value) or not low <= int(value) <= high:
            raise SettingsError(f"{name} is {value!r}: give a whole number from {low} to {high}")
        return int(value)

    def choice(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        """One of `allowed`, in whatever case."""
        value = (self.text(name) or default).lower()
        if value not in allowed:
            raise SettingsError(f"{name} is {value!r}: give one of {', '.join(allowed)}")
        return value

    def parsed(self, name: str, default: T, parse: Callable[[str], T]) -> T:
        """What `parse` makes of the text; it raises ValueError."""
        value = self.text(name)
        if value is None:
            return default
        try:
            return parse(value)
        except ValueError as problem:
            raise SettingsError(f"{name}: {problem}") from None


def boolean(value: str) -> bool:
    """True or false. Raises ValueError, as all of these do."""
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if value.lower() not in known:
        raise ValueError(f"{value!r} is neither true nor false")
    return known[value.lower()]


def words(value: str) -> tuple[str, ...]:
    """What stands between commas."""
    return tuple(word.strip() for word in value.split(",") if word.strip())


def origins(value: str) -> frozenset[str]:
    """Exact origins, as browsers send them."""
    for origin in words(value):
        if not _ORIGIN.match(origin):
            raise ValueError(f"{origin!r} is not an origin such as https://app.example.com (no path, no *)")
    # Browsers send scheme and host in lower case.
    return frozenset(origin.lower() for origin in words(value))


def networks(value: str) -> tuple[str, ...]:
    """Addresses and networks."""
    for network in words(value):
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError:
            raise ValueError(f"{network!r} is neither an address nor a network such as 10.0.0.0/8") from None
    return words(value)


def notification_types(value: str) -> frozenset[str]:
    """Types of notifications."""
    for name in words(value):
        if not _TYPE.match(name):
            raise ValueError(f"{name!r} is not a notification type: it must match [a-z0-9][a-z0-9_.:-]{{0,63}}")
    return frozenset(words(value))


def database_url(value: str) -> str:
    """A URL for PostgreSQL."""
    if not value.startswith(("postgresql://", "postgres://")):
        # The value is not repeated: it may hold a password.
        raise ValueError("it must begin with postgresql://")
    # Not by urllib: some of its versions refuse several hosts of which one is an IPv6 address.
    user, _, hosts = re.split("[/?#]", value.partition("://")[2])[0].rpartition("@")
    # The driver takes characters for separators that only look like them, as browsers do.
    alike = set(unicodedata.normalize("NFKC", user)) - set(user)
    plain = not (set("[]") & set(user) or set("[]/?#@:") & alike)
    if not plain or not all(_DATABASE_HOST.match(host) for host in hosts.split(",")):
        raise ValueError("its host and port cannot be read: in a password write / ? # [ ] @ % as %2F %3F %23 …")
    return value
