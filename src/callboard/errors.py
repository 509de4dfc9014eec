"""The error tree and the codes that leave the process.

Owns: one exception class for each way a request can fail, its HTTP status and its wire code. An adapter
translates a driver's error into one of these; `rest` turns them into RFC 9457 problems, `realtime` into
acknowledgements `{"error": {"code", "message"}}` or CONNECT_ERROR. Never: an error that names a token, a
key or a password; a class per message.
"""

from __future__ import annotations


class CallboardError(Exception):
    """Root of every error Callboard raises on purpose.

    `message` is a sentence for a person: what happened and what to do. `code` is stable, snake_case, and part
    of the contract; `status` is the HTTP status the error answers with.
    """

    status = 500
    code = "internal"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class SettingsError(CallboardError):
    """A setting has a wrong value. Ends the start with one line that names the setting."""

    code = "settings"


class StartError(CallboardError):
    """The process cannot start: occupied port, unreachable database, unreadable data directory."""

    code = "start"


class ProtocolError(CallboardError):
    """A client broke Engine.IO, Socket.IO or WebSocket. Ends that connection and nothing else."""

    status = 400
    code = "protocol_error"


class Malformed(CallboardError):
    """The request cannot be parsed (invalid JSON, invalid cursor)."""

    status = 400
    code = "malformed"


class Unauthenticated(CallboardError):
    """No valid token. `code` is `token_missing`, `token_invalid` or `token_expired`."""

    status = 401
    code = "token_invalid"


class Forbidden(CallboardError):
    """The principal is known and may not do this."""

    status = 403
    code = "forbidden"


class NotFound(CallboardError):
    """No such thing, or another's: the two answer alike."""

    status = 404
    code = "not_found"


class Conflict(CallboardError):
    """The request contradicts what is stored."""

    status = 409
    code = "conflict"


class TooLarge(CallboardError):
    """A body or a message is over its bound."""

    status = 413
    code = "too_large"


class Invalid(CallboardError):
    """Parsed, but a value is not allowed. `field` is the path of the first wrong one ("data.title")."""

    status = 422
    code = "invalid"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class RateLimited(CallboardError):
    """Too many requests. `retry_after` is in whole seconds."""

    status = 429
    code = "rate_limited"

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(CallboardError):
    """Will pass by itself (database away, draining). `retry_after` is in whole seconds."""

    status = 503
    code = "unavailable"

    def __init__(self, message: str, *, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StoreError(CallboardError):
    """PostgreSQL refused a statement for a reason that no caller can mend. A defect: it is logged whole."""

    code = "store"
