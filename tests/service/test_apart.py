"""API and worker as two programs over a Redis that somebody else runs."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.services import private_redis, sentiloc_command, sentiloc_environment, wait_for


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with private_redis(tmp_path / "redis") as redis:
        env = sentiloc_environment(redis_url=redis.url, data_dir=tmp_path / "data", log_format="json")
        log = tmp_path / "log"
        with log.open("wb") as output:
            commands = [sentiloc_command("api", "--port", "0"), sentiloc_command("worker")]
            parts = [subprocess.Popen(command, env=env, stderr=output) for command in commands]
        try:
            found = wait_for(lambda: re.search(r"running on (http://[\d.:]+)", log.read_text()), 60)
            yield found[1]
        finally:
            for part in parts:
                part.terminate()
        assert [part.wait(20) for part in parts] == [-signal.SIGTERM, 0]


def test_api_and_worker_run_apart(url: str, clips: Path) -> None:
    with httpx.Client(base_url=url, timeout=30) as client:
        wait_for(lambda: client.get("/readyz").status_code == 200, 60)
        with (clips / "short.mp4").open("rb") as video:
            job = client.post("/localize", files={"video": video}).json()
        deadline = time.monotonic() + 60
        while client.get(job["links"]["self"]).json()["state"] != "succeeded":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert client.get(job["links"]["result"]).status_code == 200
