"""One job of each task through the whole service, with packages that were trained here on synthetic data."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sentiloc.app.schemas.results import ResultBody
from sentiloc.app.schemas.tasks import EmotionResultBody, ExpressionResultBody
from sentiloc.model.cten.export import emotion_spec, export_cten
from sentiloc.model.cten.network import CTENConfig
from sentiloc.model.cten.synthetic import PlantedEmotions, planted_emotions
from sentiloc.model.cten.training import CTENTrainConfig, train_cten
from sentiloc.model.gim.export import export_gim
from sentiloc.model.gim.network import GIMConfig
from sentiloc.model.gim.spec import expression_spec
from sentiloc.model.gim.synthetic import PlantedExpressions, planted_expressions
from sentiloc.model.gim.training import GIMTrainConfig, train_gim
from sentiloc.model.package import shipped_models_dir
from sentiloc.model.spec import FlowStream, load_spec
from tests.service.running import RunningService
from tests.support.media import make_clip
from tests.support.services import sentiloc_command, sentiloc_environment

CLASSES = ("fear", "joy", "sadness")


def train_packages(root: Path) -> None:
    """A CTEN on the starter's own streams and a GIM on flow; a moment's training, for the way and not the result."""
    torch.set_num_threads(1)
    starter = load_spec(shipped_models_dir() / "fsenet-starter" / "spec.json")
    world = PlantedEmotions(visual_dim=256, audio_dim=120, classes=3)
    network = CTENConfig(visual_dim=256, audio_dim=120, classes=3, width=8)
    emotions = replace(CTENTrainConfig(network=network).quick(), epochs=1)
    trained = train_cten(emotions, planted_emotions(world, 16, "train")).network
    export_cten(trained, emotion_spec(starter, CLASSES, "cten-tiny", "1"), root / "cten-tiny")
    faces = PlantedExpressions(grid=4, frames=(300, 301))
    items = planted_expressions(faces, 1, 2)
    expressions = GIMTrainConfig(network=GIMConfig(inputs=items[0].flow.shape[1], width=8)).quick()
    expressions = replace(expressions, labels=replace(expressions.labels, stages=(1, 1, 1)))
    spec = expression_spec("gim-tiny", "1", FlowStream(grid=4, resolutions=faces.resolutions))
    export_gim(train_gim(expressions, items).network, spec, root / "gim-tiny")
    (root / "fsenet-starter").symlink_to(shipped_models_dir() / "fsenet-starter")


def trained_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages, trained and exported once for all processes of a test run; both take most of the time."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    own = tmp_path_factory.mktemp("packages")
    root = own if run is None else tmp_path_factory.getbasetemp().parent / f"packages-{run}"
    root.mkdir(exist_ok=True)
    with (root / "lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "models").exists():
            train_packages(root / "unfinished")
            (root / "unfinished").rename(root / "models")
    return root / "models"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_packages(tmp_path_factory)


@pytest.fixture(scope="module")
def tasks(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    service = RunningService(tmp_path_factory.mktemp("tasks"), models_dir=models)
    try:
        service.start()
        yield service
    finally:
        service.stop()
    service.wait_gone()


def post(service: RunningService, clip: Path, **options: Any) -> Any:
    with clip.open("rb") as file:
        return service.client.post(
            "/localize",
            files={"video": (clip.name, file, "video/mp4")},
            data={"options": json.dumps(options)},
        )


def finish(service: RunningService, clip: Path, model: str) -> str:
    response = post(service, clip, model=model, threshold=0.0)
    assert response.status_code == 202, response.text
    job = service.wait_ended(response.json()["id"])
    assert job["state"] == "succeeded", job
    return str(job["id"])


@pytest.mark.timeout(900)
def test_a_job_of_each_task_gives_its_own_document(tasks: RunningService, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    make_clip(clip, seconds=6.0, audio="aac", beeps=((2.0, 3.0),))
    listed = {row["name"]: (row["task"], row["classes"]) for row in tasks.client.get("/models").json()}
    assert listed["cten-tiny"] == ("emotion", list(CLASSES))
    assert listed["gim-tiny"] == ("expression", ["macro", "micro"])
    assert listed["fsenet-starter"][0] == "sentiment"

    emotion = f"/jobs/{finish(tasks, clip, 'cten-tiny')}"
    found = EmotionResultBody.model_validate(tasks.client.get(f"{emotion}/result").json())
    assert sum(found.probabilities.values()) == pytest.approx(1, abs=1e-3)
    assert found.emotion.confidence == max(found.probabilities.values())
    assert len(found.curve.series["joy"]) == 10
    assert found.segments
    assert all(0 <= s.start <= s.peak <= s.end <= found.video.duration for s in found.segments)
    assert found.sound is not None
    loud = [i * found.sound.step for i, value in enumerate(found.sound.loudness) if value > 0.5]
    assert loud[0] == pytest.approx(2.0, abs=0.2)
    assert loud[-1] == pytest.approx(3.0, abs=0.2)
    label = found.segments[0].label
    assert tasks.client.get(emotion).json()["labels_found"] == sorted({s.label for s in found.segments})
    vtt = tasks.client.get(f"{emotion}/result", params={"format": "vtt"}).text
    assert label.capitalize() in vtt
    none = tasks.client.get(f"{emotion}/result", params={"threshold": 1, "labels": label}).json()
    assert none["segments"] == []
    assert tasks.client.get(f"{emotion}/curve", params={"format": "csv"}).text.startswith(
        "start,end,attention_visual,attention_audio,fear,joy,sadness,face_present"
    )
    assert "series" in tasks.client.get(f"{emotion}/curve").json()

    expression = f"/jobs/{finish(tasks, clip, 'gim-tiny')}"
    spotted = ExpressionResultBody.model_validate(tasks.client.get(f"{expression}/result").json())
    assert len(spotted.curve.series["intensity"]) == len(spotted.curve.face_present) >= 6 * 30
    assert all(e.onset <= e.apex <= e.offset for e in spotted.expressions)

    sentiment = f"/jobs/{finish(tasks, clip, 'fsenet-starter')}"
    known = ResultBody.model_validate(tasks.client.get(f"{sentiment}/result").json())
    assert known.sound == found.sound
    assert spotted.sound is None

    for wrong in (
        post(tasks, clip, model="cten-tiny", labels=["positive"]),
        post(tasks, clip, labels=["joy"]),
        tasks.client.get(f"{emotion}/result", params={"labels": "positive"}),
    ):
        assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_request")
    refused = tasks.client.post(f"{emotion}/feedback", json={"segments": []})
    assert (refused.status_code, refused.json()["code"]) == (409, "wrong_task")


def sentiloc(tasks: RunningService, models: Path, *arguments: object) -> str:
    environment = sentiloc_environment(models_dir=models, server=tasks.url)
    run = subprocess.run(
        sentiloc_command(*map(str, arguments)), env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_a_terminal_draws_each_task_of_a_server_and_without_one(
    tasks: RunningService, models: Path, tmp_path: Path
) -> None:
    clip = tmp_path / "clip.mp4"
    make_clip(clip, seconds=4.0, audio="aac", beeps=((2.0, 3.0),))
    drawn = sentiloc(tasks, models, "localize", clip, "--model", "cten-tiny", "--format", "text")
    assert drawn.startswith("clip.mp4  ")
    assert {line.split()[0] for line in drawn.splitlines()} >= {*CLASSES, "attention", "found"}
    job = finish(tasks, clip, "gim-tiny")
    drawn = sentiloc(tasks, models, "result", job, "--format", "text")
    assert all(name in drawn for name in ("intensity", "macro", "micro"))
    stored = tmp_path / "result.json"
    stored.write_text(sentiloc(tasks, models, "result", job), encoding="utf-8")
    sentiloc(tasks, models, "plot", stored, "-o", tmp_path / "timeline.png")
    assert (tmp_path / "timeline.png").read_bytes().startswith(b"\x89PNG")
