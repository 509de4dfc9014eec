"""The `callboard` command.

Owns: options, exit statuses, and what a person at a terminal reads. Never: a rule; each command calls one use
case. A known error is one line on standard error and exit status 1, never a traceback.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click
import httpx
import uvloop

from callboard import __version__, announcement, doctor, server, telemetry
from callboard import settings as settings_module
from callboard.auth.keys import SECRET_FILE
from callboard.auth.tokens import TokenSigner, parse_ttl
from callboard.clock import SystemClock
from callboard.errors import CallboardError
from callboard.settings import Settings
from callboard.store import revocations
from callboard.store.database import Database
from callboard.store.migrate import load as all_migrations
from callboard.store.migrate import migrate as apply_migrations
from callboard.store.migrate import pending as pending_migrations

P = ParamSpec("P")
R = TypeVar("R")

_data_dir = click.option(
    "--data-dir",
    # Text, since Path("") is Path("."): an empty value counts as unset.
    type=click.Path(file_okay=False),
    callback=lambda _context, _option, value: Path(value) if value else None,
    help="Where the embedded database and the key are kept (CALLBOARD_DATA_DIR).",
)


def _one_line(command: Callable[P, R]) -> Callable[P, R]:
    """Turn a known error into one line and exit status 1."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except CallboardError as error:
            raise click.ClickException(error.message) from None

    return run


@click.group()
@click.version_option(__version__, prog_name="callboard")
def main() -> None:
    """Live notifications for any application."""


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port (SOCKET_PORT, default 3002); 0 takes a free one.")
@click.option("--demo", is_flag=True, help="Hand out tokens for example users; loopback only.")
@click.option("--app", help="A host application to mount, module:attribute (ASGI).")
@_data_dir
@_one_line
def serve(host: str, port: int | None, demo: bool, app: str | None, data_dir: Path | None) -> None:
    """Migrate the database, then serve REST, sockets and the page on one port."""
    settings = _settings(data_dir)
    options = server.ServeOptions(host=host, port=port, demo=demo, app=app)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(server.serve(settings, options))


@main.command()
@click.option("--check", is_flag=True, help="Only say what is pending; exit status 1 if anything is.")
@_data_dir
@_one_line
def migrate(check: bool, data_dir: Path | None) -> None:
    """Apply the migrations that the database does not have."""
    settings = _settings(data_dir)
    names = asyncio.run(_migrate(settings, check))
    for name in names:
        click.echo(f"{'pending' if check else 'applied'}: {name}")
    if not names:
        click.echo("nothing is pending")
    elif check:
        raise click.exceptions.Exit(1)


@main.command()
@click.option("--sub", required=True, help="The user's id.")
@click.option("--name", help="The user's name.")
@click.option("--role", "roles", multiple=True, help="A role, such as admin. Repeatable.")
@click.option("--team", "teams", multiple=True, help="A team. Repeatable.")
@click.option("--ttl", default="24h", show_default=True, help="Lifetime: 30s, 15m, 24h, 7d.")
@_data_dir
@_one_line
def token(
    sub: str, name: str | None, roles: tuple[str, ...], teams: tuple[str, ...], ttl: str, data_dir: Path | None
) -> None:
    """Print a signed token."""
    settings = _settings(data_dir)
    new = settings.jwt_secret is None and not (settings.data_dir / SECRET_FILE).exists()
    signed = TokenSigner(settings, clock=SystemClock()).sign(sub, name, roles, teams, ttl=parse_ttl(ttl))
    if new:
        click.echo(f"made a new key in {settings.data_dir}: only servers on that directory take this token", err=True)
    click.echo(signed)


@main.command()
@click.option("--user", required=True, help="The user's id.")
@_data_dir
@_one_line
def revoke(user: str, data_dir: Path | None) -> None:
    """Refuse the tokens a user was issued before now, and close the user's connections, on every node."""
    moment = asyncio.run(_revoke(_settings(data_dir), user))
    click.echo(f"revoked: tokens issued to {user} before {moment:%Y-%m-%dT%H:%M:%S}Z are refused")


@main.command()
@click.option("--to", "recipients", required=True, multiple=True, help="A user's id. Repeatable.")
@click.option("--type", "kind", required=True, help="What kind, such as episode:updated.")
@click.option("--title", required=True, help="The line people read first.")
@click.option("--message", default="", help="The text below it.")
@click.option("--data", default="{}", help="A JSON object for the application.")
@click.option("--url", help="The server; default: the one that runs on the data directory.")
@_data_dir
@_one_line
def notify(
    recipients: tuple[str, ...],
    kind: str,
    title: str,
    message: str,
    data: str,
    url: str | None,
    data_dir: Path | None,
) -> None:
    """Send a notification through a running server."""
    settings = _settings(data_dir)
    try:
        payload = json.loads(data, parse_constant=_no_json)
    except (ValueError, RecursionError) as error:
        raise CallboardError(f"--data is not JSON: {error}") from None
    body = {"user_ids": list(recipients), "type": kind, "title": title, "message": message, "data": payload}
    place = (url or _running_url(settings)).rstrip("/") + "/api/v1/notifications"
    signer = TokenSigner(settings, clock=SystemClock())
    bearer = signer.sign("callboard", "callboard notify", ("admin",), ttl=parse_ttl("1m"))
    click.echo(f"sent {_post(place, json.dumps(body).encode(), bearer)}")


@main.command(name="doctor")
@click.option("--port", type=click.IntRange(0, 65535), help="The port that serve would take.")
@_data_dir
def doctor_command(port: int | None, data_dir: Path | None) -> None:
    """Check settings, database, migrations, port and versions; say how to mend each."""
    # What it finds is its answer; the log would say the same again.
    telemetry.configure("warning", "console")
    findings = asyncio.run(doctor.examine(data_dir, port))
    for finding in findings:
        click.echo(f"{'ok  ' if finding.ok else 'FAIL'} {finding.name}: {finding.text}")
    if not all(finding.ok for finding in findings):
        raise click.exceptions.Exit(1)


def _settings(data_dir: Path | None) -> Settings:
    settings = settings_module.load(data_dir=data_dir)
    telemetry.configure(settings.log_level, settings.log_format)
    return settings


async def _migrate(settings: Settings, check: bool) -> list[str]:
    if check and not server.has_database(settings):
        return [migration.name for migration in all_migrations()]
    async with server.database(settings) as dsn:
        found = await (pending_migrations(dsn) if check else apply_migrations(dsn))
    return [migration.name for migration in found]


async def _revoke(settings: Settings, user: str) -> datetime:
    if not server.has_database(settings):
        raise CallboardError(f"there is no database in {settings.data_dir}: is it the server's data directory?")
    async with server.database(settings) as dsn:
        if await pending_migrations(dsn):
            raise CallboardError("the database is not up to date: run 'callboard migrate' first")
        database = await Database.open(dsn, min_size=1, max_size=1)
        try:
            return await revocations.revoke(database, user)
        finally:
            await database.close()


def _no_json(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _running_url(settings: Settings) -> str:
    server = announcement.find(settings.data_dir)
    if server is None:
        raise CallboardError(
            f"no server runs on {settings.data_dir}: start one with 'callboard serve', or name one with --url"
        )
    return server.url


def _post(url: str, body: bytes, bearer: str) -> str:
    """The notification's id and what became of it."""
    headers = {"authorization": f"Bearer {bearer}", "content-type": "application/json"}
    try:
        response = httpx.post(url, content=body, headers=headers, timeout=10, trust_env=False)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise CallboardError(f"{url} does not answer ({error}): is the server running?") from None
    if response.is_error:
        raise CallboardError(f"the server refused it ({response.status_code}): {_detail(response)}")
    try:
        answer = response.json()
        return f"{answer['notification_id']}: {_fate(answer)}"
    except (ValueError, KeyError, TypeError):
        raise CallboardError(f"{url} answers, but not as Callboard does: is it the right server?") from None


def _fate(answer: dict[str, Any]) -> str:
    """What became of a notification, by the number of recipients. Raises KeyError, TypeError."""
    suppressed = answer["suppressed"]
    others = {
        "held": answer["held"],
        "joined a group": answer["folded"],
        "muted": suppressed["muted"],
        "over the hourly limit": suppressed["rate_limited"],
    }
    return ", ".join(
        [f"{answer['created']} delivered", *(f"{number} {what}" for what, number in others.items() if number)]
    )


def _detail(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200]


if __name__ == "__main__":
    main()
