"""Follows a job with a progress bar on stderr, using its events, or polling if these do not come through."""

from __future__ import annotations

from collections.abc import Callable

from sentiloc.cli.progress import progress_bars
from sentiloc.client import (
    Client,
    ConnectionFailedError,
    Event,
    Job,
    JobState,
    ServerError,
    UnexpectedAnswerError,
)


def follow(client: Client, job_id: str, on_event: Callable[[Event], None] | None = None) -> Job:
    """Wait until a job ends and return its final state."""
    with progress_bars() as bars:
        task = bars.add_task(job_id, total=1.0, note="")

        def show(event: Event) -> None:
            bars.update(task, description=event.state, completed=event.progress, note=_note(event))
            if on_event is not None:
                on_event(event)

        try:
            for event in client.watch(job_id):
                show(event)
        except (ServerError, ConnectionFailedError, UnexpectedAnswerError):
            # Polling needs no stream, so it works with any number of listeners, and behind a proxy that blocks streams.
            # If the server cannot be reached at all, polling reports that.
            return client.wait(job_id, on_change=lambda job: show(_event(job)))
    # An event has neither the error nor the name of the video.
    return client.status(job_id)


def _event(job: Job) -> Event:
    """The event that corresponds to a polled job. It has no id, because no stream can be resumed after it."""
    waits = "position" if job.state is JobState.QUEUED else "progress"
    return Event(
        kind="final" if job.state.is_terminal else waits,
        state=job.state,
        stage=job.stage,
        progress=job.progress,
        attempt=job.attempt,
        queue_position=job.queue_position,
    )


def _note(event: Event) -> str:
    if event.queue_position is not None:
        return f"number {event.queue_position} in the queue"
    return "" if not event.eta_seconds else f"{event.eta_seconds:.0f} s left"
