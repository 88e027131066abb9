"""`sentiloc keys` against a real Redis."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sentiloc.app.settings import get_settings
from sentiloc.cli.server.keys import keys_app
from tests.support.services import private_redis


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CliRunner]:
    monkeypatch.delenv("SENTILOC_DATA_DIR", raising=False)
    with private_redis(tmp_path / "redis") as redis:
        monkeypatch.setenv("SENTILOC_REDIS_URL", redis.url)
        yield CliRunner()
    get_settings.cache_clear()


def ask(runner: CliRunner, *arguments: str) -> str:
    done = runner.invoke(keys_app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_key_s_life(runner: CliRunner) -> None:
    made = ask(runner, "create", "--name", "edit suite", "--scope", "read", "--quota-minutes", "30")
    key_id = next(line.split()[-1] for line in made.splitlines() if line.startswith("id:"))
    secret = next(line.split()[-1] for line in made.splitlines() if line.startswith("key:"))
    assert secret.startswith(f"sentiloc_{key_id}_")
    listed = ask(runner, "list")
    assert [word for word in (key_id, "edit suite", "read", "0.0 of 30", "valid") if word not in listed] == []
    assert secret not in listed
    assert "whsec_" in ask(runner, "rotate-webhook-secret", key_id)
    assert "revoked" in ask(runner, "revoke", key_id)
    assert "revoked" in ask(runner, "list")


def test_missing_files_are_named(runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = runner.invoke(keys_app, ["revoke", "000000000000"])
    assert "no key has the id" in str(gone.exception)
    assert "`sentiloc keys list` shows the ids" in str(gone.exception)
    monkeypatch.delenv("SENTILOC_REDIS_URL")
    monkeypatch.setenv("SENTILOC_DATA_DIR", str(tmp_path / "elsewhere"))
    alone = runner.invoke(keys_app, ["list"])
    assert "start `sentiloc serve`" in str(alone.exception)


def test_the_redis_of_a_long_data_folder_is_reached(
    runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / ("long" * 40)
    monkeypatch.delenv("SENTILOC_REDIS_URL")
    monkeypatch.setenv("SENTILOC_DATA_DIR", str(data))
    with private_redis(data / "redis"):
        assert "key:" in ask(runner, "create", "--name", "edit suite")


def test_a_user_without_a_name_gets_the_key(
    runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nameless(uid: int) -> object:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nameless)
    monkeypatch.setenv("SENTILOC_AUDIT_LOG", str(tmp_path / "audit.log"))
    assert "key:" in ask(runner, "create", "--name", "edit suite")
    line = json.loads((tmp_path / "audit.log").read_text(encoding="utf-8"))
    assert line["who"] == f"operator:{os.getuid()}"
