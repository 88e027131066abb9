"""`sentiloc status`, `watch`, `result`, `cancel`: a server's jobs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any, cast

import typer

from sentiloc.cli.cutting import (
    DropFrame,
    FormatOption,
    Labels,
    MergeGap,
    MinLength,
    OutputOption,
    StartTimecode,
    Threshold,
    TimelineRate,
    cut_options,
)
from sentiloc.cli.destinations import (
    JSON,
    format_of,
    require_file,
    require_frames,
    require_json,
    require_printed,
)
from sentiloc.cli.given import given_options, refuse
from sentiloc.cli.messages import plain, say
from sentiloc.cli.output import PICTURE, print_or_write, show_result, wants_picture
from sentiloc.cli.remote.following import follow
from sentiloc.cli.remote.session import (
    ApiKey,
    AsJson,
    Server,
    connected,
    describe,
    end_by,
    given,
    known_format,
    print_json,
)
from sentiloc.client import Job, JobState, TimelineOptions
from sentiloc.client.models import Filters

JobId = Annotated[str, typer.Argument(metavar="JOB", help="A job's id.")]


def status(
    context: typer.Context,
    jobs: Annotated[
        list[str] | None, typer.Argument(metavar="JOB", help="Job ids; default: the latest.")
    ] = None,
    states: Annotated[
        list[JobState] | None, typer.Option("--state", help="Only jobs in this state. May be repeated.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="Only jobs in which this label was found.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Number of jobs to show, latest first.")] = 20,
    server: Server = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Show the state of jobs.

    Exit status: 0 found, 1 any other refusal, 2 wrong usage, 4 no such job, 5 no server, 6 no valid key.
    """
    if jobs:
        refuse(given_options(context), {"states", "label", "limit"}, "it chooses from the list, not from ids")
    filters: Filters = {"state": tuple(states or ())}
    if label is not None:
        filters["label"] = cast("Any", label)  # a model's own classes, too
    with connected(server, api_key) as client:
        found = (
            [client.status(job_id) for job_id in jobs]
            if jobs
            else list(client.list_page(limit=limit, **filters).jobs)
        )
    _print(found, as_json)
    if not found:
        typer.echo("No job matches." if states or label is not None else "There are no jobs.", err=True)


def watch(job: JobId, server: Server = None, api_key: ApiKey = None, as_json: AsJson = False) -> None:
    """Follow a job to its end; with --json, print each event.

    Exit status: 0 succeeded, 1 failed, cancelled or any other refusal, 2 wrong usage, 4 no such job, 5 no server, 6 no
    valid key.
    """
    with connected(server, api_key) as client:
        ended = follow(client, job, print_json if as_json else None)
    if not as_json:
        typer.echo(describe(ended))
    end_by([ended])


def result(
    job: JobId,
    server: Server = None,
    api_key: ApiKey = None,
    output: OutputOption = None,
    output_format: FormatOption = None,
    threshold: Threshold = None,
    min_length: MinLength = None,
    merge_gap: MergeGap = None,
    labels: Labels = None,
    corrected: Annotated[
        bool, typer.Option("--corrected", help="With the saved corrections, if there are any.")
    ] = False,
    start_timecode: StartTimecode = None,
    drop_frame: DropFrame = None,
    fps: TimelineRate = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Fetch a result. Other thresholds, lengths or labels are applied to the stored curve.

    A terminal shows a timeline; elsewhere the output is JSON. Exit status: 0 printed, 1 the job failed or any
    other refusal, 2 wrong usage, 3 not finished yet, 4 no such job, 5 no server, 6 no valid key.
    """
    cut = given(cut_options(threshold, min_length, merge_gap, labels))
    timeline = TimelineOptions(start_timecode=start_timecode, drop_frame=drop_frame, fps=fps)
    # Before the request, so that a wrong option is reported without a server.
    require_file(output)
    require_json(output_format, as_json=as_json)
    require_printed(output_format, output)
    draws = wants_picture(output_format, output, as_json)
    name = JSON if as_json else output_format or format_of(output) or JSON
    require_frames(PICTURE if draws else name, asdict(timeline))
    with connected(server, api_key) as client:
        if draws:
            title = client.status(job).source.name
            # The document itself, because the client's types only cover sentiment.
            raw = json.loads(client.render(job, "json", cut, corrected=corrected))
            show_result(raw, title)
            for warning in raw.get("warnings", ()):
                say(f"sentiloc: {title}: {warning['detail']} ({warning['code']})")
            return
        data = client.render(job, known_format(client, name, PICTURE), cut, timeline, corrected=corrected)
        print_or_write(data, output)


def cancel(
    jobs: Annotated[list[str], typer.Argument(metavar="JOB", help="Ids.")],
    server: Server = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Cancel unfinished jobs. Nothing is deleted.

    Exit status: 0 all have ended, 1 any other refusal, 2 wrong usage, 4 no such job, 5 no server, 6 no valid key.
    """
    with connected(server, api_key) as client:
        ended = [client.cancel(job_id) for job_id in jobs]
    _print(ended, as_json)


def _print(jobs: list[Job], as_json: bool) -> None:
    for job in jobs:
        if as_json:
            print_json(job)
        else:
            typer.echo(f"{plain(job.id)}  {plain(job.source.name)}: {describe(job)}")
