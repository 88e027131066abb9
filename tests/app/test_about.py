"""The server's information about itself."""

from __future__ import annotations

import re

from fastapi.testclient import TestClient

from sentiloc.app.settings import Settings
from sentiloc.model.package import list_packages, shipped_models_dir
from sentiloc.worker.decoder.source.containers import ACCEPTED
from tests.app.asking import upload
from tests.support.services import ROOT

# Of the containers that are not called by the ending of their files.
ENDINGS = {"MPEG-TS": "ts", "MPEG-PS": "mpg", "WMV (ASF)": "wmv", "YUV4MPEG": "y4m", "animated GIF": "gif"}


def test_limits_are_the_settings_and_hold(client: TestClient, settings: Settings) -> None:
    limits = client.get("/limits").json()
    assert limits["max_upload_bytes"] == settings.max_upload_bytes
    assert limits["max_duration_seconds"] == settings.max_duration_seconds
    assert upload(client, b"x" * limits["max_upload_bytes"]).status_code == 202
    assert upload(client, b"x" * (limits["max_upload_bytes"] + 1)).status_code == 413


def test_containers_are_those_that_the_worker_accepts(client: TestClient) -> None:
    names = re.split(r", | and ", ACCEPTED)
    assert client.get("/limits").json()["containers"] == [ENDINGS.get(name, name.lower()) for name in names]
    assert f"Containers: {ACCEPTED}." in (ROOT / "docs" / "concepts.md").read_text(encoding="utf-8")


def test_models_are_the_installed_packages(client: TestClient, settings: Settings) -> None:
    models = client.get("/models").json()
    assert [model["name"] for model in models] == list_packages(shipped_models_dir())
    for model in models:
        assert model["is_default"] == (model["name"] == settings.model)
        assert len(model["spec_hash"]) == 16
        assert model["streams"]
        assert model["classes"] == ["negative", "positive"]
        options = {"options": f'{{"model": "{model["name"]}"}}'}
        asked = client.post("/localize", data=options, files={"video": ("a.mp4", b"x")})
        assert asked.json()["model"] == model["name"]


def test_a_model_card_is_sent_as_text(client: TestClient) -> None:
    card = client.get("/web/cards/fsenet-starter")
    assert (card.status_code, card.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert card.text.startswith("# fsenet-starter")
    assert "script-src 'self'" in card.headers["content-security-policy"]
    assert client.get("/web/cards/fsenet-nothing").status_code == 404
