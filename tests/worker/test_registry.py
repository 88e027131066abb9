"""The models of a worker: loaded once, and not offered for a while after a failure."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sentiloc.app.settings import Settings
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.worker.config import runtime_config
from sentiloc.worker.pipelines import registry
from sentiloc.worker.pipelines.registry import Pipelines

MODEL = "fsenet-starter"
BROKEN = SentilocError(ErrorCode.DEVICE_UNAVAILABLE, "no such device")
GOOD = SimpleNamespace(version="1.0.0", device="cpu")


class Loads:
    """Stands for the loading of a model, which gives the outcomes in turn; the last one is repeated."""

    def __init__(self, *outcomes: Any) -> None:
        self._outcomes, self.count = list(outcomes), 0

    def __call__(self, _name: str, _config: object) -> Any:
        self.count += 1
        outcome = self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def pipelines(folder: Path, default: str = MODEL) -> Pipelines:
    return Pipelines(runtime_config(Settings(data_dir=folder)), default)


def test_a_model_that_failed_is_not_offered_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "load_pipeline", Loads(BROKEN))
    found = pipelines(tmp_path)
    assert MODEL in found.served()[0]
    with pytest.raises(SentilocError):
        found.get(MODEL)
    able, missing = found.served()
    assert MODEL not in able
    assert missing[MODEL] == "device_unavailable: no such device"
    monkeypatch.setattr(registry, "_FAILURE_SECONDS", 0.0)
    assert MODEL not in found.served()[0], "every claim checks all packages"
    monkeypatch.setattr(registry, "_LOOK_SECONDS", 0.0)
    assert MODEL in found.served()[0]


def test_a_model_that_loads_at_last_is_offered_at_once_and_loaded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = Loads(BROKEN, GOOD)
    monkeypatch.setattr(registry, "load_pipeline", loads)
    found = pipelines(tmp_path)
    with pytest.raises(SentilocError):
        found.get(MODEL)
    assert (found.error, found.default()) == (BROKEN, None)
    assert MODEL not in found.served()[0]
    assert found.get(MODEL) is found.get(MODEL) is found.default()
    assert found.error is None
    assert MODEL in found.served()[0]
    assert loads.count == 2


def test_only_the_default_model_decides_whether_a_worker_can_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "load_pipeline", Loads(BROKEN, BROKEN, GOOD))
    found = pipelines(tmp_path, "other")
    with pytest.raises(SentilocError):
        found.get(MODEL)
    assert found.error is None
    with pytest.raises(SentilocError):
        found.get("other")
    assert found.get(MODEL) is not None
    assert found.error is BROKEN


def test_an_unexpected_error_is_logged_once_and_tells_clients_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(registry, "load_pipeline", Loads(RuntimeError("/secret/path")))
    found = pipelines(tmp_path)
    for _ in range(2):
        with pytest.raises(SentilocError) as caught:
            found.get(MODEL)
        assert caught.value.code is ErrorCode.MODEL_UNAVAILABLE
        assert "secret" not in caught.value.detail
    assert caplog.text.count("Traceback") == 1
