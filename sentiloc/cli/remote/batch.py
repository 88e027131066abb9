"""`sentiloc batch FILE`: sends a file of URLs as one batch, follows it, and reads its results."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from sentiloc.cli.cutting import Labels, MergeGap, MinLength, Threshold, cut_options
from sentiloc.cli.destinations import output_file, require_file, require_other_file
from sentiloc.cli.given import given_options
from sentiloc.cli.messages import say
from sentiloc.cli.output import print_or_write
from sentiloc.cli.progress import progress_bars
from sentiloc.cli.remote.session import (
    FAILED,
    ApiKey,
    AsJson,
    Server,
    WebhookSecret,
    connected,
    known_format,
    print_json,
    webhook_of,
)
from sentiloc.client import Batch, BatchItem, Client, InvalidRequestError, JobOptions

# Seconds between polls: unlike a job, a batch has no event stream.
_POLL_SECONDS = 1.0
Results = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        parser=output_file,
        metavar="FILE",
        help="File for the results; default: standard output.",
    ),
]
_FIELDS = {"url", "upload", "name", "metadata", "tags"}


def batch(
    context: typer.Context,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="One URL a line, or one JSON object a line: `url` or `upload`, and if you like `name`, `metadata` "
            "and `tags`; - is standard input.",
        ),
    ],
    server: Server = None,
    api_key: ApiKey = None,
    output: Results = None,
    format_name: Annotated[
        str | None,
        typer.Option("--format", "-f", help="One zip of this format, with -o, instead of JSON lines."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the batch.")] = None,
    threshold: Threshold = None,
    min_length: MinLength = None,
    merge_gap: MergeGap = None,
    labels: Labels = None,
    model: Annotated[str | None, typer.Option(help="A model of the server.")] = None,
    webhook: Annotated[str | None, typer.Option(help="URL to notify when the batch has ended.")] = None,
    webhook_secret: WebhookSecret = None,
    idempotency_key: Annotated[
        str | None,
        typer.Option(help="Run the command again with the same key and file to follow the same batch."),
    ] = None,
    wait: Annotated[bool, typer.Option(help="Wait for the end, and read the results.")] = True,
    as_json: AsJson = False,
) -> None:
    """Send many videos as one batch. The results are JSON lines, one for each video, or one zip of a format.

    Blank lines and lines that begin with # are left out. With --no-wait, only the batch's id is printed.

    Exit status: 0 all succeeded (with --no-wait: accepted), 1 some did not, 2 wrong usage, 5 no server, 6 no valid key.
    """
    _check(output, format_name, wait=wait, as_json=as_json)
    require_other_file(output, [Path(file)])
    asked = webhook_of(webhook, webhook_secret, given_options(context))
    items = read_items(text := _text(file))
    options = JobOptions(**cut_options(threshold, min_length, merge_gap, labels), model=model)
    with connected(server, api_key) as client, _lines_named(text):
        if format_name is not None:
            # Before the videos are sent, so that a wrong name does not lose the results of a whole batch.
            known_format(client, format_name)
        sent = client.submit_batch(items, options, name=name, webhook=asked, idempotency_key=idempotency_key)
        if not wait:
            print_json(sent) if as_json else typer.echo(sent.id)
            return
        typer.echo(f"sent as {sent.id}: {sent.total} video{'' if sent.total == 1 else 's'}", err=True)
        ended = _follow(client, sent)
        _write(client, ended, output, format_name)
    counts = ended.counts
    typer.echo(f"{counts.succeeded} of {ended.total} succeeded, {counts.failed} failed", err=True)
    if counts.succeeded < ended.total:
        raise typer.Exit(FAILED)


def _check(output: Path | None, format_name: str | None, *, wait: bool, as_json: bool) -> None:
    """Refuse options that do not go together, and an output that cannot be written."""
    if format_name is not None and (output is None or not wait):
        raise typer.BadParameter("needs -o, and cannot be used with --no-wait", param_hint="--format")
    if output is not None and not wait:
        raise typer.BadParameter("there are no results to write with --no-wait", param_hint="--output")
    if format_name is not None and as_json:
        raise typer.BadParameter("with --format the results are one zip", param_hint="--json")
    require_file(output)


def read_items(text: str) -> list[BatchItem]:
    """The items of a file; raises `typer.BadParameter` with the number of a line that is wrong."""
    found = [_item(line, number) for number, line in _item_lines(text)]
    if not found:
        raise typer.BadParameter("there is no URL in it", param_hint="FILE")
    return found


def _item_lines(text: str) -> list[tuple[int, str]]:
    """The lines that are not blank or comments, with their numbers in the file."""
    # Windows editors begin a text file with a byte order mark. Not `splitlines`: JSON may contain U+2028.
    lines = enumerate(text.lstrip("\ufeff").split("\n"), 1)
    return [
        (number, line.strip()) for number, line in lines if line.strip() and not line.strip().startswith("#")
    ]


@contextmanager
def _lines_named(text: str) -> Iterator[None]:
    """Print the line of a refused item, and end with the status of a refusal."""
    try:
        yield
    except InvalidRequestError as error:
        say(f"sentiloc: {_with_line(str(error), text)}")
        raise typer.Exit(FAILED) from error


def _with_line(detail: str, text: str) -> str:
    """The server's words about an item, such as `items.1.url: …`, with the line of the file that it is on."""
    named = re.match(r"items\.(\d+)\b", detail)
    lines = _item_lines(text)
    if named is None or int(named[1]) >= len(lines):
        return detail
    return f"line {lines[int(named[1])][0]}: {detail}"


def _item(line: str, number: int) -> BatchItem:
    if not line.startswith("{"):
        return BatchItem(url=line)
    try:
        given: dict[str, Any] = json.loads(line)
    except ValueError as error:
        raise typer.BadParameter(f"line {number} is not JSON: {error}", param_hint="FILE") from error
    if unknown := set(given) - _FIELDS:
        known = ", ".join(sorted(_FIELDS))
        detail = f"line {number} has an unknown field {min(unknown)!r}; known are {known}"
        raise typer.BadParameter(detail, param_hint="FILE")
    return BatchItem(**given)


def _text(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    except OSError as error:
        raise typer.BadParameter(f"{file!r} cannot be read: {error.strerror}", param_hint="FILE") from error
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{file!r} is not a text in UTF-8", param_hint="FILE") from error


def _follow(client: Client, sent: Batch) -> Batch:
    with progress_bars() as bars:
        task = bars.add_task(sent.id, total=1.0, note="")
        while True:
            found = client.batch(sent.id)
            note = f"{found.counts.succeeded + found.counts.failed} of {found.total}"
            bars.update(task, description=found.state, completed=found.progress, note=note)
            if found.state == "finished":
                return found
            time.sleep(_POLL_SECONDS)


def _write(client: Client, ended: Batch, output: Path | None, format_name: str | None) -> None:
    """The zip of a format, or JSON lines, to the file or to standard output."""
    if format_name is None:
        data = client.batch_result_lines(ended.id).encode()
    else:
        data = client.export_batch(ended.id, format_name)
    print_or_write(data, output)
