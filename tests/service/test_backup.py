"""Backup and restore as in docs/operations.md, while the service works."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import cast

import pytest
from redis import Redis

from sentiloc.cli.server.redis_server import find_redis_server, redis_command, socket_path, wait_for_redis
from tests.service.running import RunningService
from tests.support.services import PATIENCE, ROOT, private_redis, wait_for


def commands(first: str) -> list[str]:
    """The commands of that section in the block that begins with `first`."""
    section = (
        (ROOT / "docs" / "operations.md").read_text(encoding="utf-8").partition("## Backup and restore")[2]
    )
    block = re.search(rf"```\n({first} .*?)```", section, re.S)
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
        # For the folder of `sentiloc serve`.
        for command in commands("mkdir"):
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


def is_rewritten(redis: Redis) -> bool:
    """Whether Redis has written its log anew."""
    found = cast("dict[str, int]", redis.info("persistence"))
    return found["aof_rewrite_in_progress"] == found["aof_rewrite_scheduled"] == 0


def test_a_redis_is_restored_from_an_rdb_file(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("r")
    with private_redis(folder / "first") as server, Redis.from_url(server.url) as redis:
        redis.set("job", "kept")
        redis.save()
    for name in ("ignored", "restored"):
        (folder / name).mkdir()
        shutil.copy(folder / "first/dump.rdb", folder / name)
    # Why it needs these steps.
    with private_redis(folder / "ignored") as server, Redis.from_url(server.url) as redis:
        assert redis.dbsize() == 0

    start, *asked = [command.split()[1:] for command in commands("redis-server")]
    path = socket_path(folder / "restored")
    usual = redis_command(find_redis_server().path, folder / "restored", path)
    process = subprocess.Popen([*usual, *(word for word in start if word not in ("redis.conf", "&"))])
    assert wait_for_redis(f"unix://{path}", PATIENCE)
    with Redis.from_url(f"unix://{path}") as redis:
        for words in asked:
            if words == ["SHUTDOWN"]:
                redis.shutdown()
            elif words == ["INFO", "persistence"]:
                wait_for(lambda: is_rewritten(redis))
            else:
                redis.execute_command(*words)
    assert process.wait(PATIENCE) == 0
    with private_redis(folder / "restored") as server, Redis.from_url(server.url) as redis:
        assert redis.get("job") == b"kept"
