"""Access: who may read or publish what.

Owns: the `Access` seam, which a host application fills with its own rules, and the default. Never: a query;
an answer that must be waited for, since it is asked on each subscription.
"""

from __future__ import annotations

from typing import Literal, Protocol

from callboard.auth.principal import Principal

Verb = Literal["read", "publish"]


class Access(Protocol):
    """Decides about one resource at a time."""

    def may(self, principal: Principal, verb: Verb, resource_type: str, resource_id: str, /) -> bool:
        """Whether `principal` may `verb` the resource. Must not block and must not raise; False refuses."""


class DefaultAccess:
    """Any signed-in user reads any resource; only an admin publishes to one."""

    def may(self, principal: Principal, verb: Verb, resource_type: str, resource_id: str, /) -> bool:
        return verb == "read" or (verb == "publish" and principal.is_admin)
