"""How long API and worker may take to stop, when they run alone and under `sentiloc serve`."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from sentiloc.app.settings import Settings
from sentiloc.cli.server import serve
from sentiloc.cli.server.api import _config
from sentiloc.cli.server.supervisor import ChildSpec, Supervisor


@pytest.mark.parametrize("seconds", [3, 40])
def test_requests_get_the_time_that_is_set(seconds: int) -> None:
    assert _config(Settings(api_shutdown_seconds=seconds)).timeout_graceful_shutdown == seconds


def test_the_supervisor_waits_longer_than_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: dict[str, ChildSpec] = {}
    monkeypatch.setattr(Supervisor, "start", lambda self, spec: started.update({spec.name: spec}))
    monkeypatch.setattr(Supervisor, "watch", lambda self, until=None: False)
    settings = Settings(redis_url="redis://127.0.0.1:1/0", api_shutdown_seconds=40, shutdown_grace_seconds=50)
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        (tmp_path / "lock").open("w", encoding="utf-8") as lock,
    ):
        serve._run(Supervisor(), settings, tmp_path, listener, lock)
    assert started["API"].stop_seconds > 40
    assert started["worker"].stop_seconds > 50
    assert Settings().api_shutdown_seconds < 5
