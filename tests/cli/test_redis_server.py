"""The private Redis: found, durable, and reachable however long its folder's name is."""

from __future__ import annotations

from pathlib import Path

from redis import Redis

from tests.support.services import private_redis


def test_what_was_written_survives_a_kill(tmp_path: Path) -> None:
    with private_redis(tmp_path) as server:
        with Redis.from_url(server.url) as client:
            for number in range(500):
                client.rpush("numbers", number)
            server.kill()
        server.start()
        with Redis.from_url(server.url) as client:
            assert client.llen("numbers") == 500


def test_nothing_listens_on_the_network_and_nothing_is_evicted(tmp_path: Path) -> None:
    with private_redis(tmp_path) as server, Redis.from_url(server.url, decode_responses=True) as client:
        wanted = {"port": "0", "appendfsync": "always", "maxmemory-policy": "noeviction", "save": ""}
        assert {name: client.config_get(name)[name] for name in wanted} == wanted


def test_a_long_folder_name_is_no_hindrance(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 40)
    with private_redis(folder) as server, Redis.from_url(server.url) as client:
        assert client.ping()
        assert str(folder) not in server.url
        assert (folder / "redis.log").exists()
