"""`sentiloc status` and `sentiloc result` against a real server: filters, and corrections that somebody saved."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from pathlib import Path

import pytest

from docs.tools.drawn_clip import draw_clip
from sentiloc.client import Client, Feedback, FeedbackSegment, JobOptions
from tests.service.running import JOB_SECONDS, RunningService
from tests.support.services import sentiloc_command, sentiloc_environment


def sentiloc(service: RunningService, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        sentiloc_command(*arguments, "--server", service.url),
        env=sentiloc_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=JOB_SECONDS,
    )


def listed(service: RunningService, *filters: str) -> list[str]:
    """The names of the videos that `sentiloc status` shows."""
    done = sentiloc(service, "status", "--json", *filters)
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["source"]["name"] for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def jobs(service: RunningService, clips: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The ids of a job that found something, of one that found nothing, of one that failed."""
    folder = tmp_path_factory.mktemp("commands")
    short = (clips / "short.mp4").read_bytes()
    found, nothing, broken = (folder / name for name in ("found.mp4", "nothing.mp4", "broken.mp4"))
    draw_clip(found, 8.0)
    nothing.write_bytes(short)
    broken.write_bytes(b"\0\0\0\x18ftypmp42" + bytes(2000))
    with Client(service.url) as client:
        ids = {
            found.name: client.submit(found, JobOptions(threshold=0.0)).id,
            nothing.name: client.submit(nothing, JobOptions(threshold=1.0)).id,
            broken.name: client.submit(broken).id,
        }
        for name, job_id in ids.items():
            ended = client.wait(job_id, timeout=JOB_SECONDS)
            assert (ended.state == "failed") == (name == broken.name)
        assert client.result(ids[found.name]).segments
    return ids


def test_status_filters_by_state_and_label(service: RunningService, jobs: dict[str, str]) -> None:
    mine = set(jobs)
    assert mine & set(listed(service, "--limit", "100")) == mine
    assert mine & set(listed(service, "--state", "failed", "--limit", "100")) == {"broken.mp4"}
    assert mine & set(listed(service, "--state", "succeeded", "--limit", "100")) == mine - {"broken.mp4"}
    assert mine & set(listed(service, "--state", "failed", "--state", "succeeded", "--limit", "100")) == mine
    with Client(service.url) as client:
        label = client.result(jobs["found.mp4"]).segments[0].label
    assert mine & set(listed(service, "--label", label, "--limit", "100")) == {"found.mp4"}
    assert listed(service, "--state", "failed", "--label", label) == []
    assert len(listed(service, "--limit", "2")) == 2


def test_status_names_jobs_or_filters_but_not_both(service: RunningService, jobs: dict[str, str]) -> None:
    job_id = jobs["broken.mp4"]
    shown = sentiloc(service, "status", job_id)
    assert shown.returncode == 0
    assert shown.stdout.startswith(f"{job_id}  broken.mp4: ")
    assert sentiloc(service, "status", "no-such-job").returncode == 4
    for wrong in (("status", job_id, "--state", "failed"), ("status", "--state", "lost")):
        refused = sentiloc(service, *wrong)
        assert (refused.returncode, refused.stdout) == (2, "")


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_result_with_and_without_corrections(
    service: RunningService, jobs: dict[str, str], tmp_path: Path
) -> None:
    job_id = jobs["nothing.mp4"]
    without = sentiloc(service, "result", job_id, "--json", "--corrected")
    assert json.loads(without.stdout)["segments"] == []  # nobody has corrected anything yet
    with Client(service.url) as client:
        client.give_feedback(
            job_id, Feedback(segments=(FeedbackSegment(start=0.5, end=1.5, label="negative"),))
        )
    corrected = json.loads(sentiloc(service, "result", job_id, "--json", "--corrected").stdout)
    [segment] = corrected["segments"]
    assert (segment["start"], segment["end"], segment["label"]) == (0.5, 1.5, "negative")
    assert segment["source"] == "person"
    assert json.loads(sentiloc(service, "result", job_id, "--json").stdout)["segments"] == []
    table = sentiloc(
        service, "result", job_id, "--format", "csv", "--corrected", "-o", str(tmp_path / "a.csv")
    )
    assert table.returncode == 0, table.stderr
    assert [row["label"] for row in rows((tmp_path / "a.csv").read_text(encoding="utf-8"))] == ["negative"]
    assert rows(sentiloc(service, "result", job_id, "--format", "csv").stdout) == []
