"""`sentiloc trial`: runs another model on a share of a server's finished jobs, and reports what it would change."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from sentiloc.cli.given import finite
from sentiloc.cli.progress import progress_bars
from sentiloc.cli.remote.session import FAILED, ApiKey, AsJson, Server, connected, print_json
from sentiloc.client import Client, Difference, Job, JobState

# One part in 10,000 is the smallest --share.
_SHARES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the model would change: counts of segments over all jobs that both models completed."""

    model: str
    jobs: int
    unchanged_jobs: int
    failed: int
    kept: int
    moved: int
    lost: int
    new: int

    @property
    def kept_share(self) -> float | None:
        """Share of the first model's segments that are found again with the same edges; None without segments."""
        found = self.kept + self.moved + self.lost
        return self.kept / found if found else None


def trial(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="The model to try, as `GET /v1/models` names it.")
    ],
    share: Annotated[
        float,
        typer.Option(
            min=0.0001,
            max=1.0,
            callback=finite,
            help="Share of the jobs; the same jobs for the same share.",
        ),
    ] = 0.1,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of jobs, latest first.")] = 100,
    server: Server = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Localize a share of the finished jobs again with MODEL, behind all other jobs, and report the differences.

    Existing jobs are not changed. Jobs of the trial have the metadata `trial` and may be deleted.

    Exit status: 0 done, 1 a job could not be done, 2 wrong usage, 5 no server, 6 no valid key.
    """
    with connected(server, api_key) as client:
        _require_model(client, model)
        chosen = _chosen(client.list_jobs(state=(JobState.SUCCEEDED,)), model, share, limit)
        again = [_again(client, job, model) for job in chosen]
        with progress_bars() as bars:
            task = bars.add_task(f"{model} on {len(again)} jobs", total=len(again) or None, note="")
            ends = []
            for job in again:
                ends.append(client.wait(job.id))
                bars.advance(task)
        pairs = list(zip(chosen, ends, strict=True))
        found = [client.diff(a.id, b.id) for a, b in pairs if b.state is JobState.SUCCEEDED]
    report = summarize(model, found, len(pairs) - len(found))
    if as_json:
        print_json(report)
    else:
        _print(report)
    if not pairs:
        typer.echo("This share has no finished job of another model.", err=True)
    if report.failed:
        raise typer.Exit(FAILED)


def _require_model(client: Client, name: str) -> None:
    """Refuse an unknown model also where no job is tried with it; raises `typer.BadParameter`."""
    known = [model.name for model in client.models()]
    if name not in known:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(known)}", param_hint="MODEL")


def is_chosen(job_id: str, share: float) -> bool:
    """Whether a job belongs to the share, by the hash of its id, so that a larger share contains every smaller one."""
    digest = hashlib.sha256(job_id.encode()).digest()
    return int.from_bytes(digest[:8]) % _SHARES < share * _SHARES


def summarize(model: str, found: Iterable[Difference], failed: int) -> Report:
    """The report of the jobs' differences."""
    found = list(found)
    return Report(
        model=model,
        jobs=len(found),
        unchanged_jobs=sum(not (one.moved or one.lost or one.new) for one in found),
        failed=failed,
        kept=sum(len(one.kept) for one in found),
        moved=sum(len(one.moved) for one in found),
        lost=sum(len(one.lost) for one in found),
        new=sum(len(one.new) for one in found),
    )


def _chosen(jobs: Iterable[Job], model: str, share: float, limit: int) -> list[Job]:
    found: list[Job] = []
    for job in jobs:
        # Skip jobs of the same model and of earlier trials.
        if job.model != model and "trial" not in job.options.metadata and is_chosen(job.id, share):
            found.append(job)
        if len(found) == limit:
            break
    return found


def _again(client: Client, job: Job, model: str) -> Job:
    metadata = {**job.options.metadata, "trial": model}
    # With this idempotency key, an interrupted trial continues where it stopped.
    return client.rerun(
        job.id, model=model, priority="batch", metadata=metadata, idempotency_key=f"trial-{model}-{job.id}"
    )


def _print(report: Report) -> None:
    counts = asdict(report)
    typer.echo(f"{report.jobs} jobs with {report.model}, {report.unchanged_jobs} of them unchanged", nl=False)
    typer.echo(f", {report.failed} could not be done" if report.failed else "")
    for name, meaning in (
        ("kept", "segments with the same edges"),
        ("moved", "segments with other edges"),
        ("lost", "segments that the new model does not find"),
        ("new", "segments that only the new model finds"),
    ):
        typer.echo(f"{counts[name]:6}  {meaning}")
    # Without segments, there is no share.
    if report.kept_share is not None:
        typer.echo(f"{report.kept_share:6.0%}  of the first model's segments are kept")
