"""The protocols as a sans-I/O library: WebSocket frames, Engine.IO 4 and Socket.IO 5.

Owns: turning bytes into packets and packets into bytes, and the rules of a session. Never: a socket, a
clock, an event loop, a setting. Every decoder raises `errors.ProtocolError` for any input it refuses, and
nothing else.
"""
