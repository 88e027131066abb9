"""Backup and restore as in docs/operations.md, while the service works."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.service.running import RunningService
from tests.support.services import ROOT


def commands() -> list[str]:
    """The commands of that section, for the folder of `sentiloc serve`."""
    section = (
        (ROOT / "docs" / "operations.md").read_text(encoding="utf-8").partition("## Backup and restore")[2]
    )
    block = re.search(r"```\n(mkdir .*?)```", section, re.S)
    assert block is not None
    return [line.partition("#")[0].strip() for line in block[1].splitlines() if line.strip()]


def test_a_backup_of_a_working_service_is_restored_elsewhere(
    tmp_path_factory: pytest.TempPathFactory, clips: Path
) -> None:
    # A socket's path must be short.
    tmp_path = tmp_path_factory.mktemp("b")
    first = RunningService(tmp_path / "first")
    first.folder.mkdir()
    first.start()
    try:
        done = first.submit(clips / "short.mp4")
        first.wait_ended(done)
        result = first.client.get(f"/jobs/{done}/result").json()
        running, queued = first.submit(clips / "long.mp4"), first.submit(clips / "short.mp4")
        first.wait_running(running)
        for command in commands():
            moved = command.replace("sentiloc-data", str(first.data)).replace(
                " backup", f" {tmp_path}/backup"
            )
            subprocess.run(moved, shell=True, check=True)
    finally:
        first.stop()
    second = RunningService(tmp_path / "second")
    second.folder.mkdir()
    (tmp_path / "backup").rename(second.data)
    second.start()
    try:
        assert second.client.get(f"/jobs/{done}/result").json() == result
        assert second.client.get(f"/jobs/{done}/video").content == (clips / "short.mp4").read_bytes()
        for job_id in (running, queued):
            assert second.wait_ended(job_id)["state"] == "succeeded"
            assert second.finals(job_id) == ["succeeded"]
    finally:
        second.stop()
    second.wait_gone()
