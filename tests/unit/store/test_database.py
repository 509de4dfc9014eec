"""Which of our errors a driver's error becomes."""

from __future__ import annotations

import asyncpg
import pytest

from callboard.errors import CallboardError, Conflict, Invalid, StoreError, Unavailable
from callboard.store.database import Deadlock, Locked, reason_of, translate


def refused(sqlstate: str, **fields: str) -> asyncpg.PostgresError:
    error = asyncpg.PostgresError("refused: 'secret'")
    for name, value in {"sqlstate": sqlstate, **fields}.items():
        setattr(error, name, value)
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (asyncpg.ConnectionDoesNotExistError("connection was closed"), Unavailable),
        (asyncpg.CannotConnectNowError("the database system is starting up"), Unavailable),
        (asyncpg.AdminShutdownError("terminating connection"), Unavailable),
        (asyncpg.CrashShutdownError("terminating connection"), Unavailable),
        (asyncpg.TooManyConnectionsError("sorry, too many clients"), Unavailable),
        (asyncpg.DiskFullError("no space left"), Unavailable),
        (asyncpg.DeadlockDetectedError("deadlock detected"), Deadlock),
        (asyncpg.SerializationError("could not serialize"), Unavailable),
        (asyncpg.LockNotAvailableError("lock timeout"), Locked),
        (asyncpg.QueryCanceledError("statement timeout"), Unavailable),
        (asyncpg.ReadOnlySQLTransactionError("read-only"), Unavailable),
        (ConnectionRefusedError(), Unavailable),
        (TimeoutError(), Unavailable),
        (asyncpg.InterfaceError("another operation is in progress"), StoreError),
        (asyncpg.UniqueViolationError("duplicate key"), StoreError),
        (asyncpg.UndefinedTableError("no such table"), StoreError),
        (refused("22021"), Invalid),
        (refused("22P05"), Invalid),
        (refused("22003"), Invalid),
    ],
)
def test_translation(error: BaseException, expected: type[CallboardError]) -> None:
    translated = translate(error)
    assert type(translated) is expected
    assert "secret" not in translated.message


def test_lost_connection_is_unavailable_whatever_the_error_says() -> None:
    assert isinstance(translate(asyncpg.InterfaceError("connection is closed"), lost=True), Unavailable)


def test_refusal_of_our_own_sql_names_the_field() -> None:
    by_column = translate(refused("CB422", message="name is too long", column_name="name"))
    by_detail = translate(refused("CB422", message="no", detail="data.title"))
    assert isinstance(by_column, Invalid)
    assert isinstance(by_detail, Invalid)
    assert (by_column.message, by_column.field, by_detail.field) == ("name is too long", "name", "data.title")


def test_a_conflict_that_our_own_sql_names() -> None:
    conflict = translate(refused("CB409", message="used with another body"))
    assert isinstance(conflict, Conflict)
    assert conflict.message == "used with another body"


def test_reason_is_one_line() -> None:
    assert reason_of(ValueError("first\nsecond")) == "ValueError: first"
    assert reason_of(TimeoutError()) == "TimeoutError"
