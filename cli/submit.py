"""`sentiloc submit VIDEO...`: send videos to a server, and follow them if asked to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.following import follow
from cli.remote import (
    ApiKey,
    AsJson,
    Labels,
    MergeGap,
    MinLength,
    Server,
    Threshold,
    connected,
    cut_options,
    describe,
    end_by,
    print_json,
    progress_bars,
)
from sentiloc_client import Client, Job, JobOptions


def submit(
    videos: Annotated[list[Path], typer.Argument(help="Video files.", exists=True, dir_okay=False)],
    server: Server = None,
    api_key: ApiKey = None,
    threshold: Threshold = None,
    min_length: MinLength = None,
    merge_gap: MergeGap = None,
    labels: Labels = None,
    model: Annotated[str | None, typer.Option(help="A model of the server.")] = None,
    batch: Annotated[
        bool, typer.Option("--batch", help="Let jobs that somebody waits for go first.")
    ] = False,
    metadata: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE, kept with the job; may be repeated.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Follow the jobs to their end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send videos to a server; prints each job's id. Sent again after a broken connection, it is one job.

    Exit status: 0 accepted (with --wait: succeeded), 1 failed, 2 wrong usage, 5 no server, 6 no valid key.
    """
    options = JobOptions(
        **cut_options(threshold, min_length, merge_gap, labels),
        model=model,
        priority="batch" if batch else "interactive",
        metadata=_metadata(metadata),
    )
    with connected(server, api_key) as client:
        jobs = [_send(client, video, options, quiet=as_json or not wait) for video in videos]
        if wait:
            jobs = [follow(client, job.id) for job in jobs]
    for job in jobs:
        if as_json:
            print_json(job)
        else:
            typer.echo(f"{job.id}  {job.source.name}: {describe(job)}" if wait else job.id)
    if wait:
        end_by(jobs)


def _send(client: Client, video: Path, options: JobOptions, *, quiet: bool) -> Job:
    with progress_bars(transfer=True) as bars:
        task = bars.add_task(video.name, total=video.stat().st_size)
        job = client.submit(video, options, progress=lambda sent, _: bars.update(task, completed=sent))
    if not quiet:
        typer.echo(f"{video}: sent as {job.id}", err=True)
    return job


def _metadata(pairs: list[str] | None) -> dict[str, Any]:
    found = {}
    for pair in pairs or ():
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise typer.BadParameter(f"{pair!r} is not KEY=VALUE", param_hint="--metadata")
        found[key] = value
    return found
