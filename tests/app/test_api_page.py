"""The API's page and the OpenAPI document list the same paths."""

from __future__ import annotations

import re
from pathlib import Path

from fastapi.testclient import TestClient

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


def test_every_path_is_on_the_page_and_no_other(client: TestClient) -> None:
    commands = re.findall(r"\$URL(/[\w/$.-]*)", PAGE.read_text(encoding="utf-8"))
    names = {
        "$ID": "{job_id}",
        "$REEL": "{job_id}",
        "$OTHER": "{other_id}",
        "$UPLOAD": "{upload_id}",
        "$BATCH": "{batch_id}",
        "$HOOK": "{webhook_id}",
        "$KEY_ID": "{key_id}",
        "$TOKEN": "{token}",
        "/thumbnails/0": "/thumbnails/{n}",
        "/owners/me": "/owners/{owner}",
    }
    on_page = {
        re.sub("|".join(map(re.escape, names)), lambda part: names[part[0]], path) for path in commands
    }
    assert on_page == set(client.get("/openapi.json").json()["paths"])
