"""Shared by the subcommands that talk to a server: options and exit statuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated, Any

import typer

from sentiloc.cli.given import refuse
from sentiloc.cli.messages import plain, say, wrong_usage
from sentiloc.client import Client, Cut, Job, Webhook
from sentiloc.client.errors import (
    ApiError,
    AuthenticationError,
    ClientError,
    Code,
    ConnectionFailedError,
    InvalidKeyError,
    NotFoundError,
    ResultNotReadyError,
    ServerError,
)

# Exit statuses. 2 is missing, because typer uses it for wrong usage.
FAILED, NOT_READY, NOT_FOUND, UNREACHABLE, REFUSED = 1, 3, 4, 5, 6

Server = Annotated[
    str | None,
    typer.Option(
        "--server", envvar="SENTILOC_SERVER", help="Address of the server; default: http://127.0.0.1:8000"
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        envvar="SENTILOC_API_KEY",
        help="API key of the server. Prefer the environment variable: other users can see command-line arguments.",
    ),
]
_SIGNING_VARIABLE = "SENTILOC_JOB_WEBHOOK_SECRET"
WebhookSecret = Annotated[
    str | None,
    typer.Option(
        "--webhook-secret",
        envvar=_SIGNING_VARIABLE,
        help="Signs what --webhook sends: whsec_ and 24 to 64 bytes in base64; default: the secret of the key, or of "
        "the server. Prefer the environment variable.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object per line.")]


@contextmanager
def connected(server: str | None, api_key: str | None) -> Iterator[Client]:
    """A client whose errors become one line on stderr and an exit status."""
    try:
        with Client(server, api_key=api_key) as client:
            yield client
    except ClientError as error:
        say(f"sentiloc: {_explain(error)}")
        raise typer.Exit(_status(error)) from error


def _explain(error: ClientError) -> str:
    if isinstance(error, ConnectionFailedError):
        return f"{error}; is `sentiloc serve` running there? (--server or SENTILOC_SERVER names another)"
    if isinstance(error, AuthenticationError | InvalidKeyError):
        return f"{error}; --api-key or SENTILOC_API_KEY gives a key"
    if isinstance(error, ApiError) and error.code == Code.UPLOAD_TOO_LARGE:
        return f"{error}; its operator can raise SENTILOC_MAX_UPLOAD_BYTES"
    return str(error)


def _status(error: ClientError) -> int:
    # With a 5xx the request is not at fault, so a script may try again, as without an answer.
    if isinstance(error, ConnectionFailedError | ServerError):
        return UNREACHABLE
    kinds: dict[type[ClientError], int] = {
        AuthenticationError: REFUSED,
        InvalidKeyError: REFUSED,
        NotFoundError: NOT_FOUND,
        ResultNotReadyError: NOT_READY,
    }
    return kinds.get(type(error), FAILED)


def webhook_of(url: str | None, secret: str | None, given: set[str]) -> Webhook | None:
    """The webhook of `--webhook` and its secret; None without a URL, or with an empty one, as an unset variable gives.

    Raises:
        typer.BadParameter: A secret was given without a URL, or has the wrong form.
    """
    if not url:
        refuse(given, {"webhook_secret"}, "needs --webhook")
        return None
    if secret is not None:
        _check_secret(secret, "--webhook-secret" if "webhook_secret" in given else _SIGNING_VARIABLE)
    return Webhook(url=url, secret=secret)


def _check_secret(secret: str, source: str) -> None:
    """Refuse a malformed secret before the upload, after which the server would refuse it."""
    from sentiloc.app.signing import check_webhook_secret

    try:
        check_webhook_secret(secret)
    except ValueError as error:
        raise wrong_usage(str(error), source) from error


def given(options: dict[str, Any]) -> Cut | None:
    """The cut options, or None if none was given."""
    return Cut(**options) if any(value is not None for value in options.values()) else None


def known_format(client: Client, name: str, *others: str) -> str:
    """The name of a format of the server; raises `typer.BadParameter`, which also names `others`, for any other."""
    # Asked of the server, because its version may know other formats than this one.
    known = ["json", *(found.name for found in client.formats())]
    if name not in known:
        raise typer.BadParameter(
            f"{name!r} is not one of {', '.join((*known, *others))}", param_hint="--format"
        )
    return name


def print_json(value: Any) -> None:
    """A dataclass as one line."""
    typer.echo(json.dumps(asdict(value), default=str, ensure_ascii=False))


def describe(job: Job) -> str:
    """One line about a job's state."""
    return plain(_state(job))


def _state(job: Job) -> str:
    if job.state == "queued" and job.waiting is not None:
        return f"queued, waiting: {job.waiting.detail}"
    if job.state == "queued":
        return f"queued, number {job.queue_position}" if job.queue_position else "queued"
    if job.error is not None:
        return f"{job.state}: {job.error.detail} ({job.error.code})"
    return str(job.state) if job.state.is_terminal else f"{job.state}, {job.progress:.0%}"


def end_by(jobs: list[Job]) -> None:
    """Exit with a status other than 0 unless all of these succeeded."""
    if any(job.state != "succeeded" for job in jobs):
        raise typer.Exit(FAILED)
