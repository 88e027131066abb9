"""Pages of other origins: none is allowed by default, and only listed ones otherwise."""

from __future__ import annotations

from fastapi.testclient import TestClient

from sentiloc.app.main import create_app
from sentiloc.app.settings import Settings

HERE, ELSEWHERE = "https://edit.example", "https://other.example"


def test_by_default_no_other_origin_may(client: TestClient) -> None:
    answer = client.get("/healthz", headers={"Origin": HERE})
    assert "access-control-allow-origin" not in answer.headers


def test_a_named_origin_may(settings: Settings) -> None:
    with TestClient(create_app(settings.model_copy(update={"cors_origins": [HERE]}))) as client:
        answer = client.get("/jobs/unknown", headers={"Origin": HERE})
        assert answer.headers["access-control-allow-origin"] == HERE
        assert "ETag" in answer.headers["access-control-expose-headers"]
        asked = {"Origin": HERE, "Access-Control-Request-Method": "POST"}
        asked["Access-Control-Request-Headers"] = "Idempotency-Key"
        assert client.options("/localize", headers=asked).status_code == 200
        assert client.options("/localize", headers=asked | {"Origin": ELSEWHERE}).status_code == 400
        other = client.get("/healthz", headers={"Origin": ELSEWHERE})
        assert "access-control-allow-origin" not in other.headers
