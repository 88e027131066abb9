"""`sentiloc doctor` on a Redis of somebody else, which may refuse commands."""

from __future__ import annotations

from pathlib import Path

from redis import Redis

from sentiloc.app.settings import Settings
from sentiloc.cli.doctor import Finding, _redis, _try
from tests.support.services import private_redis


def look(url: str) -> Finding:
    return _try("redis", _redis, Settings(redis_url=url))


def test_a_refused_look_is_a_warning_and_no_fault(tmp_path: Path) -> None:
    with private_redis(tmp_path) as server, Redis.from_url(server.url) as client:
        whole = look(server.url)
        assert whole.ok
        assert whole.detail.endswith("appendonly yes")
        client.execute_command("ACL", "SETUSER", "default", "-config")
        found = look(server.url)
        assert found.ok is None
        assert "warning: " in found.detail
        assert "answers at SENTILOC_REDIS_URL; its appendonly cannot be seen: " in found.detail


def test_a_redis_that_is_away_is_a_fault(tmp_path: Path) -> None:
    assert look(f"unix://{tmp_path}/none.sock").ok is False
