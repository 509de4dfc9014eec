"""uvicorn with the native WebSocket, in the test's own loop."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from tests.integration.transports.native_client import (
    PATIENCE,
    TEXT,
    NativeClient,
)

from callboard.clock import SystemClock
from callboard.realtime.connection import Connection, Reason
from callboard.realtime.engine import Engine, EngineOptions
from callboard.transports.front import before
from callboard.transports.handshake import Policy
from callboard.transports.http import HttpProtocol
from callboard.transports.native import protocol_class
from callboard.transports.polling import Polling

OPTIONS = EngineOptions(max_payload=100_000, max_unsent=1 << 18, max_connections=2)


class Receiver:
    """What came, to be waited for."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[str | bytes] = asyncio.Queue()
        self.ended: asyncio.Future[Reason] = asyncio.get_running_loop().create_future()
        self.error: Exception | None = None

    def on_message(self, data: str | bytes) -> None:
        if self.error is not None:
            raise self.error
        self.messages.put_nowait(data)

    def on_close(self, reason: Reason) -> None:
        self.ended.set_result(reason)

    def on_due(self, now: float) -> float | None:
        return None

    async def message(self) -> str | bytes:
        async with asyncio.timeout(PATIENCE):
            return await self.messages.get()

    async def reason(self) -> Reason:
        async with asyncio.timeout(PATIENCE):
            return await self.ended


class Server:
    """uvicorn with the native protocol class, in the test's own loop."""

    def __init__(self, certificate: Path | None = None) -> None:
        """`certificate`: with its key, for TLS."""
        self.receivers: list[Receiver] = []
        self._tls = None if certificate is None else ssl.create_default_context(cafile=certificate)
        self.engine = Engine(OPTIONS, SystemClock(), self._receive)
        policy = Policy(frozenset({"https://app.example"}))
        config = uvicorn.Config(
            Polling(self.engine, policy),
            port=0,
            ws=protocol_class({"/socket.io/": self.engine}, policy),
            http=before(HttpProtocol),
            lifespan="off",
            log_config=None,  # logging is the whole process's: other tests look at it
            ssl_certfile=certificate,
        )
        config.load()
        self._server = uvicorn.Server(config)
        self._server.lifespan = config.lifespan_class(config)

    def _receive(self, connection: Connection) -> Receiver:
        self.receivers.append(Receiver())
        return self.receivers[-1]

    async def start(self) -> None:
        await self._server.startup()
        self.port: int = self._server.servers[0].sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self.engine.close(Reason.STOPPING)
        await self._server.shutdown()

    def client(self) -> NativeClient:
        return NativeClient(self.port, self._tls)

    async def open(self, client: NativeClient, query: str = "", **headers: str) -> tuple[Connection, Receiver]:
        """A session on the client's WebSocket."""
        status, _ = await client.request(f"EIO=4&transport=websocket{query}", **headers)
        assert status == 101
        kind, data = await client.hear()
        assert (kind, data[:1]) == (TEXT, b"0")
        return self.engine.connections[json.loads(data[1:])["sid"]], self.receivers[-1]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def secure(tmp_path: Path) -> AsyncIterator[Server]:
    server = Server(_certificate(tmp_path / "certificate.pem"))
    await server.start()
    yield server
    await server.stop()


def _certificate(path: Path) -> Path:
    """A key and its own certificate for localhost, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    return path
