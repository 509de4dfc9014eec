"""/openapi.json: a valid OpenAPI 3.1 document that says what the contract says."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from tests.rest_client import NoDatabase, client_for, slice_endpoints

from callboard.rest.api import PREFIX

METHODS = {"get", "post", "put", "delete"}


@pytest.fixture
async def document() -> dict[str, Any]:
    async with client_for(slice_endpoints(NoDatabase())) as client:
        response = await client.get("/openapi.json")
    assert response.headers["content-type"] == "application/json"
    described: dict[str, Any] = response.json()
    return described


async def test_it_is_valid(document: dict[str, Any]) -> None:
    schemathesis.openapi.from_dict(document).validate()
    for name, schema in document["components"]["schemas"].items():
        whole = {**schema, "components": document["components"]}
        jsonschema_rs.meta.validate(whole)
        assert jsonschema_rs.validator_for(whole), name


async def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def references(part: Any) -> list[str]:
        if isinstance(part, dict):
            own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
            return own + [ref for value in part.values() for ref in references(value)]
        if isinstance(part, list):
            return [ref for value in part for ref in references(value)]
        return []

    names = {ref.removeprefix("#/components/schemas/") for ref in references(document)}
    assert names <= set(document["components"]["schemas"])


async def test_every_endpoint_is_in_it_with_its_parameters_body_and_problems(document: dict[str, Any]) -> None:
    endpoints = slice_endpoints(NoDatabase())
    described = {
        (method, path): operation
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if path.startswith(PREFIX)
    }
    assert set(described) == {(endpoint.method.lower(), PREFIX + endpoint.path) for endpoint in endpoints}
    for endpoint in endpoints:
        operation = described[endpoint.method.lower(), PREFIX + endpoint.path]
        assert operation["security"] == [{"token": []}]
        assert ("requestBody" in operation) == (endpoint.body is not None)
        assert str(endpoint.status) in operation["responses"]
        assert ("403" in operation["responses"]) == endpoint.admin
        assert ({"409", "429"} <= set(operation["responses"])) == endpoint.idempotent
        assert {"401", "503"} <= set(operation["responses"])
    assert len({operation["operationId"] for operation in described.values()}) == len(endpoints)


@pytest.mark.parametrize(
    ("path", "filters"),
    [("/notifications", {"type", "read", "archived"}), ("/socket/connections", {"namespace", "user_id"})],
)
async def test_a_list_has_the_filters_of_the_contract(document: dict[str, Any], path: str, filters: set[str]) -> None:
    parameters = {p["name"]: p for p in document["paths"][f"{PREFIX}{path}"]["get"]["parameters"]}
    assert set(parameters) == {"limit", "cursor", *filters}
    assert parameters["limit"]["schema"]["maximum"] == 100
    if "read" in filters:
        assert parameters["read"]["schema"]["type"] == "boolean"
    assert not any(parameter["required"] for parameter in parameters.values())


async def test_who_may_call_again_names_the_key(document: dict[str, Any]) -> None:
    takes = {
        path.removeprefix(PREFIX): parameter
        for path, operations in document["paths"].items()
        for operation in operations.values()
        for parameter in operation.get("parameters", ())
        if parameter["name"] == "Idempotency-Key"
    }
    assert set(takes) == {"/notifications", "/notifications/batch"}
    for parameter in takes.values():
        assert (parameter["in"], parameter.get("required", False)) == ("header", False)
        assert parameter["schema"] == {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}
