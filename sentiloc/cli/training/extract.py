"""`sentiloc extract VIDEOS... -o FOLDER`: extracts training features with the serving code."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sentiloc.cli.destinations import named_folder
from sentiloc.cli.given import given_options, refuse
from sentiloc.cli.training.progress import extraction_progress
from sentiloc.model.data.text import listed

if TYPE_CHECKING:
    from sentiloc.model.spec import ModelSpec
    from sentiloc.worker.bulk.ledger import Entry
    from sentiloc.worker.bulk.plan import Plan


def extract(
    context: typer.Context,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", parser=named_folder, metavar="PATH", help="Feature folder; created if missing."
        ),
    ],
    videos: Annotated[
        list[str] | None, typer.Argument(metavar="VIDEO", help="Video files, and folders of videos.")
    ] = None,
    spec: Annotated[
        str,
        typer.Option(
            help="A package's name, the path of a spec.json, `i3d`: three streams like the paper's, or `flow`: GIM's."
        ),
    ] = "fsenet-starter",
    split: Annotated[str, typer.Option(help="The split of the videos.")] = "train",
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=256,
            help="Number of Celery worker processes; default: extract in this process, one video at a time.",
        ),
    ] = None,
    join: Annotated[
        bool,
        typer.Option(
            "--join", help="Help the extraction that runs on the folder, through SENTILOC_REDIS_URL."
        ),
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Retry videos that failed in an earlier run.")
    ] = False,
) -> None:
    """Extract features of videos, in the folder layout that `sentiloc train` reads.

    A second run continues the first. Videos that failed are listed with their reasons in failed_SPLIT.csv.
    """
    from sentiloc.app.settings import get_settings
    from sentiloc.cli.videos import find_videos
    from sentiloc.worker.bulk.plan import Plan, name_videos

    if join:
        unread = {"spec", "split", "retry_failed"}
        refuse(given_options(context), unread, "with --join, the extraction that runs decides it")
        _join(videos, output, workers)
        return
    if not videos:
        raise typer.BadParameter("name videos or folders", param_hint="VIDEO")
    _check_split(split)
    wanted = _load(spec, get_settings().models_dir)
    plan = Plan(output.absolute(), split, wanted, name_videos(find_videos(videos)))
    # For the whole extraction: two of them would overwrite each other's lists.
    with plan.hold():
        raise typer.Exit(code=_extract(plan, workers, retry_failed=retry_failed))


def _check_split(split: str) -> None:
    """Refuse a split that cannot be part of a file name."""
    if not re.fullmatch(r"[\w-]+", split):
        raise typer.BadParameter(f"{split!r} is not a name of letters, digits, - and _", param_hint="--split")


def _join(videos: list[str] | None, output: Path, workers: int | None) -> None:
    from sentiloc.cli.training.extract_workers import join_extraction

    if videos:
        raise typer.BadParameter("--join takes no videos: the extraction has its own", param_hint="VIDEO")
    join_extraction(output.absolute(), workers or 1)


def _extract(plan: Plan, workers: int | None, *, retry_failed: bool) -> int:
    """Extract the missing videos and report the outcome. Exit status: 1 if videos failed, 130 if it was stopped."""
    from sentiloc.cli.training.extract_workers import extract_with_workers

    # A run that was killed may have left features that are not in the folder's lists yet.
    plan.collect(list(plan.ledger.names()))
    if changed := plan.drop_changed():
        typer.echo(f"changed since they were extracted, so extracted again: {listed(changed)}", err=True)
    missing = plan.missing(retry_failed=retry_failed)
    ended = True
    try:
        with extraction_progress(len(missing)) as on_progress:
            if missing and workers:
                ended = extract_with_workers(plan, missing, workers, on_progress)
            elif missing:
                _extract_here(plan, missing, on_progress)
    finally:
        failures = plan.finish()
    return _report(plan, missing, failures, ended=ended)


def _extract_here(plan: Plan, missing: dict[str, Path], on_progress: Callable[[int, int], None]) -> None:
    from sentiloc.app.settings import get_settings
    from sentiloc.worker.bulk.ledger import State
    from sentiloc.worker.bulk.makers import BulkExtractor, load_maker
    from sentiloc.worker.config import runtime_config
    from sentiloc.worker.jobs.owner import new_owner

    config = runtime_config(get_settings())
    extractor = BulkExtractor(load_maker(plan.spec, plan.folder, plan.split, config), plan.ledger)
    failed = 0
    with _stopped_by_signals():
        for number, (name, video) in enumerate(missing.items(), 1):
            try:
                entry = extractor.extract(name, video, new_owner())
            except KeyboardInterrupt:
                # The video did not fail: it was being processed when the command was stopped.
                plan.ledger.uncount(name)
                raise
            plan.collect([name])
            failed += entry.state == State.FAILED
            on_progress(number, failed)


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP stop the command as Ctrl-C does, so that the current video does not count as failed."""

    def stop(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _report(plan: Plan, missing: dict[str, Path], failures: dict[str, Entry], *, ended: bool) -> int:
    for entry in failures.values():
        typer.echo(f"{entry.video}: {entry.reason} ({entry.code})", err=True)
    made = sum(map(plan.is_made, missing))
    # Videos that failed in an earlier run are neither missing nor extracted.
    there = len(plan.videos) - len(missing) - len(failures.keys() - missing.keys())
    line = f"{made} extracted, {there} already there, {len(failures)} failed"
    if failures:
        # A video that needs another name is not tried again.
        hint = "; --retry-failed tries them again" if plan.recorded_failures() else ""
        line += f" (see {plan.failure_file}{hint})"
    if not ended:
        line += f"; stopped with {len(plan.missing())} left: run the command again to continue"
    typer.echo(line, err=True)
    return 130 if not ended else int(bool(failures))


def _load(spec: str, models_dir: Path | None) -> ModelSpec:
    from sentiloc.model.package import load_package
    from sentiloc.model.spec import load_spec

    if spec == "flow":
        from sentiloc.model.gim.spec import expression_spec

        return expression_spec("flow", "1")
    if spec == "i3d":
        return with_cached_i3d(_three_streams())
    if spec.endswith(".json"):
        return with_cached_i3d(load_spec(Path(spec)))
    return load_package(spec, models_dir).spec


def _three_streams() -> ModelSpec:
    """The streams of the paper: I3D, log-mel sound, and faces by the shipped encoder."""
    from sentiloc.model.package import extractor_id, shipped_models_dir
    from sentiloc.model.spec import FaceStream, ModelSpec

    face = FaceStream(encoder=extractor_id(shipped_models_dir() / "expression"))
    return ModelSpec(name="three-streams", version="1", face=face)


def with_cached_i3d(spec: ModelSpec) -> ModelSpec:
    """The spec, with the Kinetics I3D if that is the only one in the cache.

    The feature folder's spec then names it, and so does every package trained on the folder.
    """
    from sentiloc.model.weights import IMAGENET_I3D, KINETICS_I3D, WEIGHTS, cached_weights

    if spec.visual is None or spec.visual.extractor != IMAGENET_I3D or cached_weights("i3d"):
        return spec
    if not cached_weights("i3d-kinetics"):
        return spec
    typer.echo(f"{KINETICS_I3D}: {WEIGHTS['i3d-kinetics'].caution}", err=True)
    return replace(spec, visual=replace(spec.visual, extractor=KINETICS_I3D))
