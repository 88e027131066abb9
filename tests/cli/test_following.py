"""`sentiloc watch` without a free stream of events: it polls, and prints the same kind of lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import cast

import pytest

from sentiloc.app.schemas.jobs import EXAMPLE_QUEUED
from sentiloc.cli.remote.following import follow
from sentiloc.cli.remote.session import print_json
from sentiloc.client import Client, Event, Job, JobState, Retry, ServerError
from sentiloc.client.errors import Code
from tests.client.scripted import Answer, answer, scripted

STATES = (("queued", None, 0.0, 2), ("decoding", "decoding", 0.4, None), ("succeeded", None, 1.0, None))
POLLED = [
    SimpleNamespace(state=JobState(state), stage=stage, progress=progress, queue_position=position, attempt=1)
    for state, stage, progress, position in STATES
]


class Busy:
    """A client of a server that has no free stream of events."""

    def watch(self, _job_id: str) -> Iterator[Event]:
        raise ServerError(503, Code.TOO_MANY_STREAMS, "Busy", "Too many clients listen to events.")

    def wait(self, _job_id: str, *, on_change: Callable[[Job], None]) -> Job:
        jobs = cast("list[Job]", POLLED)
        for job in jobs:
            on_change(job)
        return jobs[-1]


def test_polling_prints_what_events_would(capsys: pytest.CaptureFixture[str]) -> None:
    ended = follow(cast("Client", Busy()), "abcdefgh", print_json)
    assert ended.state == "succeeded"
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["kind"] for line in lines] == ["position", "progress", "final"]
    assert [(one["state"], one["stage"], one["progress"], one["queue_position"]) for one in lines] == [
        *STATES
    ]


def test_polling_without_a_reader_of_events_ends_with_the_job() -> None:
    assert follow(cast("Client", Busy()), "abcdefgh").state == "succeeded"


@pytest.mark.parametrize(
    "refusal",
    [answer(502, "<h1>Bad Gateway</h1>", "text/html"), answer(200, "<h1>Hello</h1>", "text/html")],
)
def test_a_proxy_that_lets_no_events_through_does_not_end_the_wait(refusal: Answer) -> None:
    job = answer(200, {**EXAMPLE_QUEUED, "state": "succeeded"})
    with scripted(refusal, job) as server, Client(server.url, retry=Retry(attempts=1)) as client:
        assert follow(client, "abc").state is JobState.SUCCEEDED


class Bars:
    """Keeps what the progress bar is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str | None, float | None, str]] = []

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is drawn."""

    def add_task(self, _description: str, *, total: float, note: str) -> int:
        return 0

    def update(self, _task: int, *, description: str | None, completed: float | None, note: str) -> None:
        self.told.append((description, completed, note))


def test_the_bar_shows_the_place_in_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    bars = Bars()
    monkeypatch.setattr("sentiloc.cli.remote.following.progress_bars", lambda: bars)
    follow(cast("Client", Busy()), "abcdefgh")
    assert bars.told == [
        ("queued", 0.0, "number 2 in the queue"),
        ("decoding", 0.4, ""),
        ("succeeded", 1.0, ""),
    ]
