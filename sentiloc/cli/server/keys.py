"""`sentiloc keys`: creates, lists and revokes the API keys of a service."""

from __future__ import annotations

import getpass
import json
import math
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from redis import RedisError
from rich.console import Console
from rich.table import Table

from sentiloc.app.access.caller import Scope
from sentiloc.app.access.keys import ApiKey, KeyStore
from sentiloc.app.housekeeping.erasure import Receipt
from sentiloc.app.places import parse_prefix
from sentiloc.app.redis.client import connect
from sentiloc.app.services import Services
from sentiloc.app.settings import Settings, get_settings
from sentiloc.app.telemetry.audit import AuditLog
from sentiloc.cli.given import finite
from sentiloc.cli.options import DataDir, override
from sentiloc.cli.server.redis_server import found_socket
from sentiloc.model.errors import ErrorCode, SentilocError

keys_app = typer.Typer(
    help="Create, list and revoke API keys, in SENTILOC_REDIS_URL or else in the Redis of `sentiloc serve`.",
    no_args_is_help=True,
    add_completion=False,
)

_DAY = 86_400
KeyId = Annotated[str, typer.Argument(metavar="KEY", help="Id, as `sentiloc keys list` shows it")]


def _settings() -> Settings:
    """The settings, with the Redis of `sentiloc serve` if no other is set."""
    settings = get_settings()
    if settings.redis_url is None:
        socket = found_socket(settings.data_dir.expanduser().resolve() / "redis")
        settings = settings.model_copy(update={"redis_url": f"unix://{socket}"})
    return settings


def _store(data_dir: Path | None) -> KeyStore:
    override(data_dir=data_dir)
    # First, because a change that cannot be logged must not be made.
    AuditLog(get_settings().audit_log)
    settings = _settings()
    redis = connect(settings)
    try:
        redis.ping()
    except RedisError as error:
        detail = "Redis cannot be reached: start `sentiloc serve` (with the same --data-dir), or set SENTILOC_REDIS_URL"
        raise SentilocError(ErrorCode.INVALID_DATA, detail) from error
    return KeyStore(redis, settings.redis_prefix)


def _places(prefixes: list[str]) -> list[str]:
    for prefix in prefixes:
        try:
            parse_prefix(prefix)
        except ValueError as error:
            raise typer.BadParameter(f"{prefix!r} {error}", param_hint="--s3-prefix") from error
    return prefixes


def _audit(what: str, **about: str | int | None) -> None:
    AuditLog(get_settings().audit_log).write(f"operator:{_operator()}", what, **about)


def _operator() -> str:
    """The user's name; the number of a user without one, as containers may have."""
    try:
        return getpass.getuser()
    # OSError since Python 3.13.
    except (KeyError, OSError):
        return str(os.getuid())


@keys_app.command()
def create(
    name: Annotated[str, typer.Option(help="Name of the key's owner, shown in the list")],
    scope: Annotated[
        list[Scope] | None, typer.Option(help="May be repeated; default: read and write")
    ] = None,
    rate: Annotated[
        int | None,
        typer.Option(min=0, help="Requests per minute; 0: no limit  [SENTILOC_KEY_RATE_PER_MINUTE]"),
    ] = None,
    quota_minutes: Annotated[
        float, typer.Option(min=0, callback=finite, help="Minutes of media per month; 0: no limit")
    ] = 0.0,
    expires_days: Annotated[
        float | None,
        typer.Option(min=0, max=36_500, callback=finite, help="Days until the key expires; default: never"),
    ] = None,
    weight: Annotated[
        float,
        typer.Option(min=0.01, max=100, callback=finite, help="Share of the queue, relative to keys with 1"),
    ] = 1.0,
    s3_prefix: Annotated[
        list[str] | None,
        typer.Option(help="Place `s3://bucket/prefix` whose videos the key may name. May be repeated."),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Create a key and print it. It is shown only now, because the service keeps only its hash."""
    store = _store(data_dir)
    new = store.create(
        name,
        scope or [Scope.READ, Scope.WRITE],
        rate_per_minute=get_settings().key_rate_per_minute if rate is None else rate,
        quota_minutes=quota_minutes,
        weight=weight,
        s3_prefixes=_places(s3_prefix or []),
        expires_at=None if expires_days is None else time.time() + expires_days * _DAY,
    )
    _audit("created an API key", key=new.key.id)
    typer.echo(f"key:            {new.text}")
    typer.echo(f"webhook secret: {new.webhook_secret}")
    typer.echo(f"id:             {new.key.id}")
    typer.echo("Store the key now; it cannot be shown again.", err=True)


@keys_app.command("list")
def list_keys(data_dir: DataDir = None) -> None:
    """Show all keys: scopes, usage of this month, and whether each is valid."""
    store = _store(data_dir)
    table = Table("id", "name", "scopes", "per minute", "minutes used", "created", "last used", "state")
    for key, minutes in store.page():
        used = f"{minutes:.1f}"
        table.add_row(
            key.id,
            key.name,
            " ".join(sorted(key.scopes)),
            str(key.rate_per_minute or "any"),
            f"{used} of {key.quota_minutes:g}" if key.quota_minutes else used,
            _day(key.created_at),
            _day(key.last_used_at),
            _state(key),
        )
    # Without a terminal rich assumes 80 columns, which would cut the ids.
    Console(width=None if Console().is_terminal else 160).print(table)


@keys_app.command()
def revoke(key_id: KeyId, data_dir: DataDir = None) -> None:
    """Revoke a key permanently, with immediate effect. Its jobs stay until they expire."""
    if not _store(data_dir).revoke(key_id):
        raise SentilocError(
            ErrorCode.INVALID_DATA, f"no key has the id {key_id}; `sentiloc keys list` shows the ids"
        )
    _audit("revoked an API key", key=key_id)
    typer.echo(f"{key_id} is revoked")


@keys_app.command()
def erase(
    key_id: KeyId,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Delete everything that belongs to a key: jobs, videos, results, feedback, uploads, webhooks, features.

    Prints a receipt as JSON. The key itself stays; revoke it first so that no new data arrives.
    """
    if _store(data_dir).get(key_id) is None:
        raise SentilocError(
            ErrorCode.INVALID_DATA, f"no key has the id {key_id}; `sentiloc keys list` shows the ids"
        )
    if not yes:
        typer.confirm(f"Delete everything of {key_id}? It cannot be restored.", abort=True)
    services = Services.from_settings(_settings())
    # A request over HTTP stops after a minute and is repeated; a command has no time limit.
    receipt = Receipt(key_id)
    try:
        services.eraser.erase(receipt, seconds=math.inf)
    finally:
        # Also after a failure. The audit log only takes counts, and it adds its own time.
        counts = {name: value for name, value in receipt.to_dict().items() if isinstance(value, str | int)}
        _audit(receipt.event, **{**counts, "at": None})
    typer.echo(json.dumps(receipt.to_dict(), indent=1))


@keys_app.command("rotate-webhook-secret")
def rotate_webhook_secret(key_id: KeyId, data_dir: DataDir = None) -> None:
    """Print a new webhook secret. Until the next rotation, webhooks are also signed with the previous one."""
    secret = _store(data_dir).rotate_webhook_secret(key_id)
    if secret is None:
        raise SentilocError(
            ErrorCode.INVALID_DATA, f"no key has the id {key_id}; `sentiloc keys list` shows the ids"
        )
    _audit("rotated a webhook secret", key=key_id)
    typer.echo(f"webhook secret: {secret}")


def _day(seconds: float | None) -> str:
    return "never" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"


def _state(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "valid" if key.is_valid else "expired"
