"""The live part of peers/node/server.js on python-socketio and uvicorn. Broadcasts only: nothing is stored here.

Configuration by environment: PORT, JWT_SECRET. Needs nothing but requirements.txt beside it.
"""

from __future__ import annotations

import json
import os
from typing import Any

import jwt
import socketio
import uvicorn

SECRET = os.environ["JWT_SECRET"]
NAMESPACE = "/feed"

sockets = socketio.AsyncServer(
    async_mode="asgi", transports=["websocket"], cors_allowed_origins=["http://localhost:5173"]
)


def verify(token: object) -> dict[str, Any]:
    """The claims of a token. Raises jwt.PyJWTError."""
    return dict(jwt.decode(str(token), SECRET, algorithms=["HS256"]))


@sockets.on("connect", namespace=NAMESPACE)
async def connect(sid: str, environ: dict[str, Any], auth: Any) -> None:
    try:
        user = verify((auth or {}).get("token"))
    except jwt.PyJWTError:
        raise socketio.exceptions.ConnectionRefusedError("unauthorized") from None
    await sockets.enter_room(sid, f"user:{user['sub']}", namespace=NAMESPACE)


async def broadcast(headers: dict[bytes, bytes], body: bytes) -> tuple[int, dict[str, Any]]:
    """The admin's broadcast: an HTTP status and the answer."""
    bearer = headers.get(b"authorization", b"").decode().removeprefix("Bearer ")
    try:
        user = verify(bearer)
    except jwt.PyJWTError:
        return 401, {"status": 401, "title": "Unauthenticated"}
    if "admin" not in user.get("roles", []):
        return 403, {"status": 403, "title": "Forbidden"}
    wanted = json.loads(body)
    if wanted.get("namespace") != NAMESPACE or not isinstance(wanted.get("data"), dict) or not wanted.get("event"):
        return 422, {"status": 422, "title": "Invalid"}
    await sockets.emit(wanted["event"], wanted["data"], namespace=NAMESPACE)
    return 202, {"ok": True}


async def rest(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The two paths beside the sockets, without a framework."""
    if scope["type"] != "http":
        return
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    status, answer = 404, {"status": 404}
    if scope["path"] == "/readyz":
        status, answer = 200, {"ok": True}
    elif scope["path"] == "/api/v1/socket/broadcast" and scope["method"] == "POST":
        status, answer = await broadcast(dict(scope["headers"]), body)
    content = json.dumps(answer).encode()
    length = (b"content-length", b"%d" % len(content))
    await send({"type": "http.response.start", "status": status, "headers": [length]})
    await send({"type": "http.response.body", "body": content})


if __name__ == "__main__":
    app = socketio.ASGIApp(sockets, rest)
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning", lifespan="off", backlog=2048)
