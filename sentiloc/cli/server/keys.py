"""`sentiloc keys`: make, list and revoke the API keys of a service."""

from __future__ import annotations

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
from sentiloc.app.redis.client import connect
from sentiloc.app.settings import get_settings
from sentiloc.cli.options import DataDir, override
from sentiloc.model.errors import ErrorCode, SentilocError

keys_app = typer.Typer(
    help="Make, list and revoke API keys. Talks to SENTILOC_REDIS_URL, else to the Redis of `sentiloc serve`.",
    no_args_is_help=True,
    add_completion=False,
)

_DAY = 86_400
KeyId = Annotated[str, typer.Argument(help="As `sentiloc keys list` shows it")]


def _store(data_dir: Path | None) -> KeyStore:
    override(data_dir=data_dir)
    settings = get_settings()
    if settings.redis_url is None:
        socket = settings.data_dir.expanduser().resolve() / "redis" / "redis.sock"
        settings = settings.model_copy(update={"redis_url": f"unix://{socket}"})
    redis = connect(settings)
    try:
        redis.ping()
    except RedisError as error:
        detail = "Redis cannot be reached: start `sentiloc serve` (with the same --data-dir), or set SENTILOC_REDIS_URL"
        raise SentilocError(ErrorCode.INVALID_DATA, detail) from error
    return KeyStore(redis, settings.redis_prefix)


@keys_app.command()
def create(
    name: Annotated[str, typer.Option(help="Whose it is, for the list")],
    scope: Annotated[list[Scope] | None, typer.Option(help="May be repeated  [read and write]")] = None,
    rate: Annotated[
        int | None, typer.Option(min=0, help="Requests a minute, 0: any  [SENTILOC_KEY_RATE_PER_MINUTE]")
    ] = None,
    quota_minutes: Annotated[float, typer.Option(min=0, help="Of media, each month; 0: any")] = 0.0,
    expires_days: Annotated[float | None, typer.Option(min=0, help="Days until it ends  [never]")] = None,
    data_dir: DataDir = None,
) -> None:
    """Make a key and print it, this once: the service keeps only a hash of it."""
    store = _store(data_dir)
    new = store.create(
        name,
        scope or [Scope.READ, Scope.WRITE],
        rate_per_minute=get_settings().key_rate_per_minute if rate is None else rate,
        quota_minutes=quota_minutes,
        expires_at=None if expires_days is None else time.time() + expires_days * _DAY,
    )
    typer.echo(f"key:            {new.text}")
    typer.echo(f"webhook secret: {new.webhook_secret}")
    typer.echo(f"id:             {new.key.id}")
    typer.echo("Keep the key now; it cannot be shown again.", err=True)


@keys_app.command("list")
def list_keys(data_dir: DataDir = None) -> None:
    """Show every key: what it may do, what it used this month, whether it still opens anything."""
    store = _store(data_dir)
    table = Table("id", "name", "scopes", "per minute", "minutes used", "created", "last used", "state")
    for key in store.all():
        used = f"{store.used_minutes(key.id):.1f}"
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
    Console(width=None if Console().is_terminal else 160).print(table)


@keys_app.command()
def revoke(key_id: KeyId, data_dir: DataDir = None) -> None:
    """Close a key for good, at once. Its jobs stay until they expire."""
    if not _store(data_dir).revoke(key_id):
        raise SentilocError(ErrorCode.INVALID_DATA, f"there is no key with the id {key_id}")
    typer.echo(f"{key_id} is revoked")


@keys_app.command("rotate-webhook-secret")
def rotate_webhook_secret(key_id: KeyId, data_dir: DataDir = None) -> None:
    """Print a new secret; webhooks are signed with it and, until the next turn, with the one before."""
    secret = _store(data_dir).rotate_webhook_secret(key_id)
    if secret is None:
        raise SentilocError(ErrorCode.INVALID_DATA, f"there is no key with the id {key_id}")
    typer.echo(f"webhook secret: {secret}")


def _day(seconds: float | None) -> str:
    return "never" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"


def _state(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "valid" if key.is_valid else "expired"
