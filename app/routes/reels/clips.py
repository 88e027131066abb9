"""Turns a client's clips into a sequence: looks up their jobs and the properties of their videos."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sentiloc.app.cuts import sequence as cuts
from sentiloc.app.formats.timeline import TimelineError
from sentiloc.app.http.problems import ProblemCode, ProblemError
from sentiloc.app.jobs.record import JobRecord
from sentiloc.app.routes.deps import JobNotFound, visible
from sentiloc.app.routes.results.stored import read_result
from sentiloc.app.schemas.reels import ClipRequest
from sentiloc.app.services import Services


def find_records(services: Services, job_ids: Iterable[str]) -> dict[str, JobRecord]:
    """The jobs with these ids, each once, in their order; raises `JobNotFound` that names the first unknown one."""
    wanted = list(dict.fromkeys(job_ids))
    found: dict[str, JobRecord] = {}
    for job_id, record in zip(wanted, services.store.get_many(wanted), strict=True):
        try:
            found[job_id] = visible(record)
        except JobNotFound as error:
            raise JobNotFound(f"There is no job {job_id}.") from error
    return found


def make_sequence(
    services: Services,
    clips: Sequence[ClipRequest],
    options: cuts.SequenceOptions,
) -> tuple[cuts.Sequence, dict[str, JobRecord]]:
    """The sequence of some clips, and the jobs that the clips belong to.

    Raises the problem of a job without a result, and `invalid_request` for a clip that its video does not have.
    """
    records = find_records(services, (clip.job for clip in clips))
    sources = [
        cuts.GivenSource(id=record.id, name=record.source_name, video=read_result(services, record).video)
        for record in records.values()
    ]
    return build_sequence([given_clip(clip) for clip in clips], sources, options), records


def build_sequence(
    clips: Sequence[cuts.GivenClip], sources: Iterable[cuts.GivenSource], options: cuts.SequenceOptions
) -> cuts.Sequence:
    """`cuts.make_sequence` with its errors turned into problems."""
    try:
        return cuts.make_sequence(clips, sources, options)
    except TimelineError as error:
        raise ProblemError(422, ProblemCode.INVALID_REQUEST, str(error)) from error


def given_clip(clip: ClipRequest) -> cuts.GivenClip:
    """Convert a clip for `cuts.make_sequence`."""
    return cuts.GivenClip(
        source_id=clip.job,
        start=clip.start,
        end=clip.end,
        label=clip.label or "",
        confidence=clip.confidence,
    )
