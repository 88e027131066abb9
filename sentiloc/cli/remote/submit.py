"""`sentiloc submit VIDEO...`: sends videos to a server, or has it fetch them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sentiloc.cli.cutting import (
    AudioTrack,
    Draft,
    Labels,
    MergeGap,
    MinLength,
    Threshold,
    cut_options,
)
from sentiloc.cli.given import finite, given_options, time_range
from sentiloc.cli.messages import plain
from sentiloc.cli.progress import progress_bars
from sentiloc.cli.remote.following import follow
from sentiloc.cli.remote.session import (
    ApiKey,
    AsJson,
    Server,
    WebhookSecret,
    connected,
    describe,
    end_by,
    print_json,
    webhook_of,
)
from sentiloc.client import Client, Job, JobOptions, TimeRange

Metadata = Annotated[list[str] | None, typer.Option(help="KEY=VALUE, stored with the job. May be repeated.")]


def submit(
    context: typer.Context,
    videos: Annotated[
        list[str], typer.Argument(metavar="VIDEO", help="Video files, or URLs that the server fetches.")
    ],
    server: Server = None,
    api_key: ApiKey = None,
    threshold: Threshold = None,
    min_length: MinLength = None,
    merge_gap: MergeGap = None,
    labels: Labels = None,
    model: Annotated[str | None, typer.Option(help="A model of the server.")] = None,
    batch: Annotated[bool, typer.Option("--batch", help="Run after interactive jobs.")] = False,
    metadata: Metadata = None,
    start: Annotated[float, typer.Option(min=0, callback=finite, help="Localize from this second on.")] = 0.0,
    end: Annotated[
        float | None, typer.Option(min=0, callback=finite, help="Localize up to this second.")
    ] = None,
    audio_track: AudioTrack = None,
    draft: Draft = False,
    webhook: Annotated[str | None, typer.Option(help="URL to notify when a job ends.")] = None,
    webhook_secret: WebhookSecret = None,
    resumable: Annotated[bool, typer.Option("--resumable", help="Use a resumable upload.")] = False,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait until the jobs end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send videos to a server and print each job's id. A retry after a broken connection creates no second job.

    URLs (http:// or https://) are fetched by the server itself.

    Exit status: 0 accepted (with --wait: succeeded), 1 failed, 2 wrong usage, 5 no server, 6 no valid key.
    """
    # Before the first upload, so that a wrong name leaves no jobs behind.
    _require_files(videos)
    if resumable and all(map(_is_url, videos)):
        raise typer.BadParameter("the server fetches URLs itself", param_hint="--resumable")
    part = time_range(start, end)
    options = JobOptions(
        **cut_options(threshold, min_length, merge_gap, labels),
        model=model,
        priority="batch" if batch else "interactive",
        metadata=_metadata(metadata),
        time_range=None if part is None else TimeRange(start=part[0], end=part[1]),
        audio_track=audio_track,
        quality="draft" if draft else None,
        webhook=webhook_of(webhook, webhook_secret, given_options(context)),
    )
    with connected(server, api_key) as client:
        jobs = []
        for video in videos:
            jobs.append(_send(client, video, options, resumable=resumable))
            # At once, so that its id is known even if a later video cannot be sent.
            _print_sent(jobs[-1], video, wait=wait, as_json=as_json)
        if not wait:
            return
        # All are sent first, so that the server works while later videos are sent.
        ended = [follow(client, job.id) for job in jobs]
    for job in ended:
        _print(job, f"{plain(job.id)}  {plain(job.source.name)}: {describe(job)}", as_json)
    end_by(ended)


def _print_sent(job: Job, video: str, *, wait: bool, as_json: bool) -> None:
    """Print the id of a job that was sent; with `wait` on standard error, because its end is printed later."""
    if wait:
        typer.echo(f"{video}: sent as {job.id}", err=True)
    else:
        _print(job, job.id, as_json)


def _is_url(video: str) -> bool:
    return video.lower().startswith(("http://", "https://"))


def _require_files(videos: list[str]) -> None:
    for video in videos:
        if video == "-":
            raise typer.BadParameter(
                "submit needs a file, so that it can retry a broken upload; "
                "`sentiloc localize -` reads standard input",
                param_hint="VIDEO",
            )
        if not _is_url(video) and not Path(video).is_file():
            raise typer.BadParameter(f"{video!r} is neither a file nor an http(s) URL", param_hint="VIDEO")


def _send(client: Client, video: str, options: JobOptions, *, resumable: bool) -> Job:
    if _is_url(video):
        return client.submit_url(video, options)
    return _upload(client, Path(video), options, resumable)


def _print(job: Job, line: str, as_json: bool) -> None:
    print_json(job) if as_json else typer.echo(line)


def _upload(client: Client, video: Path, options: JobOptions, resumable: bool) -> Job:
    with progress_bars(transfer=True) as bars:
        task = bars.add_task(video.name, total=video.stat().st_size)

        def show(sent: int, _total: int) -> None:
            bars.update(task, completed=sent)

        send = client.submit_resumable if resumable else client.submit
        return send(video, options, progress=show)


def _metadata(pairs: list[str] | None) -> dict[str, Any]:
    found = {}
    for pair in pairs or ():
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise typer.BadParameter(f"{pair!r} is not KEY=VALUE", param_hint="--metadata")
        if key in found:
            raise typer.BadParameter(f"{key!r} is given twice", param_hint="--metadata")
        found[key] = value
    return found
