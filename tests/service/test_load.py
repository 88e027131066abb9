"""A short run of `tests.proofs.load`: clients that upload and poll side by side see no error."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.proofs.load import run, summary
from tests.service.running import RunningService


def test_uploads_and_polls_side_by_side_have_no_error(service: RunningService, clips: Path) -> None:
    video = (clips / "short.mp4").read_bytes()
    figures = asyncio.run(run(service, video, seconds=3.0, uploaders=4, polls=50))
    row = summary(figures, 3.0)
    for job_id in figures.jobs:
        service.client.delete(f"/jobs/{job_id}")
    assert row["errors"] == {}
    assert len(figures.jobs) >= 1
    assert row["answers"]["poll 200"] > 10
