"""The ways bytes reach a session: native WebSocket, ASGI WebSocket, HTTP long-polling.

Owns: handshakes, origins, and the writing half (`Sink`) of each. Never: what a message means.
"""
