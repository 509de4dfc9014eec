"""The catalogue of subscriptions is the contract's, and can be described for other languages."""

from __future__ import annotations

import msgspec

from callboard.app import SUBSCRIBABLE
from callboard.realtime.subscriptions import CATALOGUE


def test_it_names_both_messages_of_each_namespace_that_takes_them() -> None:
    named = [(message.namespace, message.name, message.kind) for message in CATALOGUE]
    assert named == [(namespace, name, "client") for namespace in SUBSCRIBABLE for name in ("subscribe", "unsubscribe")]
    assert all(message.acknowledgement is not None for message in CATALOGUE)


def test_they_can_be_described_for_other_languages() -> None:
    kinds = [kind for message in CATALOGUE for kind in (message.fields, message.acknowledgement) if kind is not None]
    _, schemas = msgspec.json.schema_components(kinds)
    assert all(schema["additionalProperties"] is False for schema in schemas.values())
