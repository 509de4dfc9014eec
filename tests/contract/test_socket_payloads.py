"""The catalogue of /admin is the contract's, and can be described for other languages."""

from __future__ import annotations

import msgspec

from callboard.sockets.payloads import CATALOGUE, ConnectionPage


def test_the_catalogue_names_each_message_of_the_contract_once() -> None:
    assert {message.name: message.kind for message in CATALOGUE} == {
        "admin:alert": "durable",
        "admin:stats": "volatile",
        "admin:connection": "volatile",
        "stats": "client",
    }
    assert len(CATALOGUE) == 4
    for message in CATALOGUE:
        assert message.namespace == "/admin"
        assert (message.acknowledgement is not None) == (message.kind == "client")


def test_only_what_carries_its_whole_state_has_a_key() -> None:
    assert {message.name: message.key for message in CATALOGUE if message.key is not None} == {"admin:stats": "stats"}


def test_they_can_be_described_for_other_languages() -> None:
    kinds = [message.fields for message in CATALOGUE]
    _, schemas = msgspec.json.schema_components([*kinds, ConnectionPage])
    for schema in schemas.values():
        assert schema["additionalProperties"] is False
        assert not {"token", "roles", "session"} & set(schema["properties"])
