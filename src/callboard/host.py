"""What a host application in the same process may call.

Owns: `Host`, which a host application mounted with `--app` finds in each scope as `scope["callboard"]`. Never: a
rule; each capability's API is its slice's.
"""

from __future__ import annotations

from dataclasses import dataclass

from callboard.notifications.host import Notifications


@dataclass(frozen=True, kw_only=True)
class Host:
    """The capabilities, by name."""

    notifications: Notifications
