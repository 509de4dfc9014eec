"""notifications.routes: what is refused before any statement runs."""

from __future__ import annotations

import pytest
from tests.rest_client import NoDatabase, bearer, client_for, slice_endpoints


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ("cursor=nonsense", 400, None),
        ("cursor=", 400, None),
        ("limit=0", 422, "limit"),
        ("limit=101", 422, "limit"),
        ("type=NOT", 422, "type"),
        ("read=maybe", 422, "read"),
    ],
)
async def test_wrong_filters(query: str, status: int, field: str | None) -> None:
    async with client_for(slice_endpoints(NoDatabase())) as client:
        response = await client.get(f"/api/v1/notifications?{query}", headers=bearer("u1"))
    assert (response.status_code, response.json().get("field")) == (status, field)
