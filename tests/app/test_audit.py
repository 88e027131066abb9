"""The audit log has a line, with ids, for each request that reads a video or its results, and for no other read."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from sentiloc.app.main import create_app
from sentiloc.app.settings import Settings
from sentiloc.model.errors import SentilocError
from tests.app.test_metrics import figures
from tests.app.test_reel_routes import Planted, planted  # noqa: F401
from tests.model.test_highlights import segment

READS = {
    *("/jobs/{job_id}/result", "/jobs/{job_id}/video", "/jobs/{job_id}/curve", "/jobs/{job_id}/events"),
    *("/jobs/{job_id}/thumbnails/{n}", "/jobs/{job_id}/feedback", "/jobs/{job_id}/diff/{other_id}"),
    *("/batches/{batch_id}/results", "/batches/{batch_id}/export", "/feedback/export", "/highlights"),
    *("/reels/{job_id}/video", "/shared/{token}", "/shared/{token}/video"),
}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def settings(settings: Settings, log: Path) -> Settings:
    return settings.model_copy(update={"audit_log": log})


def lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def test_every_route_that_reads_results_has_a_line(settings: Settings, log: Path) -> None:
    app = create_app(settings)
    paths = {route.path for route in app.state.routes if "GET" in (route.methods or ())}
    assert paths > READS
    with TestClient(app) as client:
        for path in (*paths, "/", "/web/cuts.js", "/web/highlights.html", "/web/share.js"):
            # Nothing has this id; a refused read is logged, too.
            client.get(re.sub(r"{.*?}", "1", path), follow_redirects=False)
    assert {line["what"] for line in lines(log)} == {f"GET {path}" for path in READS}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_line_names_what_was_read(
    client: TestClient,
    planted: Planted,  # noqa: F811
    log: Path,
    method: str,
) -> None:
    job = planted.job("clip.mp4", segment(1, 2))
    batch = client.post("/v1/batches", json={"items": [{"url": "https://media.example/a.mp4"}]}).json()["id"]
    link = client.post(f"/v1/jobs/{job}/share").json()
    before = len(lines(log))
    video, export = "/jobs/{job_id}/video", "/batches/{batch_id}/export"
    asked = {
        f"/v1/jobs/{job}/video": (video, {"job_id": job}),
        f"/v1/batches/{batch}/export?format=csv": (export, {"batch_id": batch}),
        link["path"]: ("/shared/{token}", {"job_id": job}),
    }
    for path in asked:
        assert client.request(method, path).status_code == 200
    found = lines(log)[before:]
    assert [line["what"] for line in found] == [f"{method} {route}" for route, _ in asked.values()]
    ids = [{name: line[name] for name in line if name.endswith("_id")} for line in found]
    assert ids == [ids for _, ids in asked.values()]
    assert link["token"][:50] not in log.read_text(encoding="utf-8")
    assert figures(client)["sentiloc_http_request_seconds_count", method, video, "200"] == 1


def test_a_file_that_cannot_be_written_is_refused_at_the_start(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "audit.jsonl"):
        with pytest.raises(SentilocError, match=r"SENTILOC_AUDIT_LOG: .* cannot be written"):
            create_app(settings.model_copy(update={"audit_log": path}))


def test_a_line_that_cannot_be_written_is_said_in_the_log(
    settings: Settings, log: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    folder = log.parent / "logs"
    with TestClient(create_app(settings.model_copy(update={"audit_log": folder / "audit.jsonl"}))) as client:
        shutil.rmtree(folder)
        folder.touch()
        assert client.delete("/jobs/abcdefgh").status_code == 404
        assert "audit.jsonl cannot be written: " in caplog.text
        folder.unlink()
        folder.mkdir()
        client.delete("/jobs/ijklmnop")
    assert "Logging error" not in capsys.readouterr().err
    assert [line["job_id"] for line in lines(folder / "audit.jsonl")] == ["ijklmnop"]


def test_an_api_key_in_the_place_of_an_id_is_not_logged(settings: Settings, log: Path) -> None:
    with TestClient(create_app(settings)) as client:
        client.delete(f"/jobs/sentiloc_3f9a1c07be52_{43 * 's'}")
    assert [line["job_id"] for line in lines(log)] == ["sentiloc_3f9a1c07be52_…"]
