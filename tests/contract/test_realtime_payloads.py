"""The kernel's own messages are what the catalogue says."""

from __future__ import annotations

import json

import msgspec
import pytest
from tests.clock import TurnedClock
from tests.unit.realtime.stage import MIRA, Stage

from callboard.realtime.catalogue import EVERY
from callboard.realtime.namespace import Namespace
from callboard.realtime.payloads import CATALOGUE


def test_the_catalogue_names_every_message_that_a_namespace_takes_from_the_start() -> None:
    node = Stage(TurnedClock()).node
    bare = node.add(Namespace("/bare"))
    assert set(bare._handlers) == {message.name for message in CATALOGUE}
    assert {(message.kind, message.namespace) for message in CATALOGUE} == {("client", EVERY)}


@pytest.mark.parametrize("ends", [True, False])
async def test_renewing_is_acknowledged_with_the_fields_of_the_catalogue(ends: bool) -> None:
    clock = TurnedClock()
    stage = Stage(clock)
    stage.door.tokens["new"] = msgspec.structs.replace(MIRA, expires=clock.timestamp() + 3600 if ends else None)
    [message] = CATALOGUE
    assert message.acknowledgement is not None
    peer = stage.peer()
    await peer.join("/feed", "mira")
    sent = dict.fromkeys(message.fields.__struct_fields__, "new")
    [answer] = await peer.say(f"2/feed,1{json.dumps([message.name, sent])}")
    [said] = json.loads(answer.removeprefix("3/feed,1"))
    assert said.keys() == set(message.acknowledgement.__struct_fields__)
    assert (said["ok"], said["expires_at"] is not None) == (True, ends)
