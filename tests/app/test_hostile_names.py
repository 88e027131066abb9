"""Hostile file names: a job or a typed error, a harmless displayed name, and no influence on paths."""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path

from fastapi.testclient import TestClient

from sentiloc.app.settings import Settings
from tests.proofs.upload_abuse import hostile_names

HEADERS = {"Content-Type": "multipart/form-data; boundary=x"}


CONTENT = f"not a video {secrets.token_hex(8)}".encode()


def body(name: str) -> bytes:
    raw = name.encode("utf-8", "surrogatepass").replace(b'"', b"%22").replace(b"\r", b"").replace(b"\n", b"")
    start = b'--x\r\nContent-Disposition: form-data; name="video"; filename="' + raw + b'"\r\n\r\n'
    return start + CONTENT + b"\r\n--x--\r\n"


def _holds(path: Path, content: bytes) -> bool:
    """Whether a file has this content; False if it was deleted meanwhile."""
    with contextlib.suppress(OSError):
        return path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content
    return False


def test_a_name_never_decides_a_path(client: TestClient, settings: Settings) -> None:
    assert len(hostile_names()) >= 100
    accepted = 0
    for name in hostile_names():
        answer = client.post("/localize", content=body(name), headers=HEADERS)
        assert answer.status_code in (202, 400, 422), (name, answer.text)
        if answer.status_code == 202:
            accepted += 1
            shown = answer.json()["source"]["name"]
            assert "/" not in shown
            assert "\\" not in shown
            assert shown.isprintable()
            assert 0 < len(shown) <= 255
    assert accepted > 90
    # Search by content that no other test sends: services of earlier tests may still write into their own folders.
    sent = [path for path in settings.data_dir.parent.rglob("*") if _holds(path, CONTENT)]
    assert len(sent) == accepted
    assert {path.parent for path in sent} == {settings.data_dir / "uploads"}
    stored = list((settings.data_dir / "uploads").iterdir())
    assert len(stored) == accepted
    assert all(path.name.isascii() and len(path.name) < 100 for path in stored)
