"""Every JSON shape of the sockets slice that leaves the process.

Owns: the shapes. A broadcast's message has whatever name and object its sender chose, so it is in no
catalogue. Never: a rule.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Accepted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The message is on its way. How many get it is not known here: other nodes deliver too."""

    ok: Literal[True] = True
