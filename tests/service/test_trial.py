"""A second model on a share of the jobs that a server has done, and the report of what it would have changed."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from sentiloc.cli.remote.trial import is_chosen, summarize
from sentiloc.client import Client, Difference, JobOptions
from sentiloc.model.package import shipped_models_dir
from tests.service.running import RunningService
from tests.support.services import sentiloc_command, sentiloc_environment

PARTS: dict[str, Any] = {
    "before": "a",
    "after": "b",
    "task": "sentiment",
    "kept": (),
    "moved": (),
    "lost": (),
    "new": (),
}


def trial(url: str, *flags: str) -> dict[str, object]:
    done = subprocess.run(
        sentiloc_command("trial", "next", "--server", url, "--json", *flags),
        env=sentiloc_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_a_share_holds_every_smaller_one() -> None:
    ids = [f"job-{number}" for number in range(2000)]
    small, large = ({one for one in ids if is_chosen(one, share)} for share in (0.1, 0.4))
    assert small < large
    assert 120 < len(small) < 280
    assert all(is_chosen(one, 1.0) for one in ids)


def test_jobs_without_segments_count_as_unchanged() -> None:
    report = summarize("next", [Difference(**PARTS), Difference(**PARTS)], failed=1)
    assert (report.jobs, report.unchanged_jobs, report.failed, report.kept_share) == (2, 2, 1, None)


def test_another_model_is_tried_on_finished_jobs(tmp_path: Path, clips: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(shipped_models_dir(), models)
    shutil.copytree(shipped_models_dir() / "fsenet-starter", models / "next")
    service = RunningService(tmp_path, models_dir=models)
    try:
        service.start()
        with Client(service.url) as client:
            done = [
                client.wait(client.submit(clips / "short.mp4", JobOptions(metadata={"n": n})).id)
                for n in "ab"
            ]
            assert {str(job.state) for job in done} == {"succeeded"}
            first = trial(service.url, "--share", "1")
            assert (first["jobs"], first["failed"]) == (2, 0), [job.error for job in client.list_jobs()]
            # A trial that is repeated finds its own jobs again and does not try them on themselves.
            again = trial(service.url, "--share", "1")
            assert (again["jobs"], again["unchanged_jobs"], again["failed"]) == (2, 2, 0)
            assert len(list(client.list_jobs())) == 4
            assert len(list(client.list_jobs(metadata={"trial": "next"}))) == 2
    finally:
        service.stop()
