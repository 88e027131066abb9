"""API and worker as two programs with an external Redis."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.service.running import JOB_SECONDS, START_SECONDS
from tests.support.services import PATIENCE, private_redis, sentiloc_command, sentiloc_environment, wait_for


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {}


@pytest.fixture
def url(tmp_path: Path, environment: dict[str, str]) -> Iterator[str]:
    with private_redis(tmp_path / "redis") as redis:
        env = sentiloc_environment(redis_url=redis.url, data_dir=tmp_path / "data", log_format="json")
        environment.update(env)
        log = tmp_path / "log"
        with log.open("wb") as output:
            commands = [sentiloc_command("api", "--port", "0"), sentiloc_command("worker")]
            parts = [subprocess.Popen(command, env=env, stderr=output) for command in commands]
        try:
            found = wait_for(
                lambda: re.search(r"running on (http://[\d.:]+)", log.read_text(encoding="utf-8")),
                START_SECONDS,
            )
            yield found[1]
        finally:
            for part in parts:
                part.terminate()
        assert [part.wait(PATIENCE) for part in parts] == [-signal.SIGTERM, 0]


def check(environment: dict[str, str], what: str = "--check") -> subprocess.CompletedProcess[str]:
    """The health check of a worker's container, or the check for signs of life of an orchestrator."""
    return subprocess.run(
        sentiloc_command("worker", what), env=environment, capture_output=True, text=True, check=False
    )


def test_api_and_worker_run_apart(url: str, clips: Path, environment: dict[str, str]) -> None:
    with httpx.Client(base_url=url, timeout=PATIENCE) as client:
        wait_for(lambda: client.get("/readyz").status_code == 200, START_SECONDS)
        healthy = check(environment)
        assert (healthy.returncode, healthy.stdout[:9]) == (0, "ready on "), healthy.stderr
        alive = check(environment, "--alive")
        assert (alive.returncode, alive.stdout) == (0, "alive\n"), alive.stderr
        for what in ("--check", "--alive"):
            missing = check({**environment, "SENTILOC_REDIS_PREFIX": "another:"}, what)
            assert (missing.returncode, "no worker on this machine" in missing.stderr) == (1, True)
        with (clips / "short.mp4").open("rb") as video:
            job = client.post("/localize", files={"video": video}).json()
        wait_for(lambda: client.get(job["links"]["self"]).json()["state"] == "succeeded", JOB_SECONDS)
        assert client.get(job["links"]["result"]).status_code == 200
