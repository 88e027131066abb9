"""The API's page and the API's own description speak of the same paths."""

from __future__ import annotations

import re
from pathlib import Path

from fastapi.testclient import TestClient

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


def test_every_path_is_on_the_page_and_no_other(client: TestClient) -> None:
    commands = re.findall(r"\$URL(/[\w/$.-]*)", PAGE.read_text())
    on_page = {path.replace("$ID", "{job_id}") for path in commands}
    assert on_page == set(client.get("/openapi.json").json()["paths"])
