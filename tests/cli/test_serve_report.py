"""What `sentiloc serve` says of its workers: never what the previous run on the same data reported."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis import Redis

from sentiloc.app.jobs.presence import WorkerPresence, alive_workers, beat
from sentiloc.app.schemas.health import ReadyBody, WorkerBody
from sentiloc.app.settings import Settings
from sentiloc.cli.server.serve import _forget_previous_run, _keys_command, _ReadinessReporter
from tests.support.services import private_redis

FAILED = WorkerBody(model="m", model_version=None, device=None, error="model_unavailable: gone", served=[])
LOADING = WorkerBody(model="m", model_version=None, device=None, error=None, served=[])
READY = WorkerBody(model="m", model_version="1", device="cpu", error=None, served=["m"])


def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *workers: WorkerBody) -> str:
    ready = READY in workers
    reasons = [] if ready else ["A worker is loading m.", "model_unavailable: gone"]
    body = ReadyBody(ready=ready, redis=True, workers=list(workers), reasons=reasons)
    monkeypatch.setattr("sentiloc.cli.server.serve._read_readiness", lambda _: body)
    assert _ReadinessReporter("http://127.0.0.1:8000", None)() is ready
    return capsys.readouterr().out


def test_the_device_is_that_of_a_worker_that_is_ready(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "its model runs on cpu." in said(monkeypatch, capsys, LOADING, FAILED, READY)
    assert "cannot localize yet: model_unavailable: gone" in said(monkeypatch, capsys, LOADING, FAILED)


def test_workers_of_the_previous_run_are_forgotten(tmp_path: Path) -> None:
    with private_redis(tmp_path) as server, Redis.from_url(server.url, decode_responses=True) as redis:
        settings = Settings()
        beat(redis, settings.redis_prefix, WorkerPresence(name="old/1", seen_at=0, model="m", device="cpu"))
        assert alive_workers(redis, settings.redis_prefix)
        _forget_previous_run(settings, server.url)
        assert alive_workers(redis, settings.redis_prefix) == []
        server.kill()
        _forget_previous_run(settings, server.url)


def test_the_command_for_keys_names_a_folder_that_is_not_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    keyed = Settings(api_keys="on")
    usual = "sentiloc keys create --name NAME"
    assert _keys_command(Settings(api_keys="off"), tmp_path) is None
    assert _keys_command(keyed, tmp_path / "sentiloc-data") == usual
    assert _keys_command(keyed, tmp_path / "my data") == f"{usual} --data-dir '{tmp_path}/my data'"
    assert _keys_command(Settings(api_keys="on", redis_url="redis://r/0"), tmp_path / "d") == usual
