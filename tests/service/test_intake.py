"""Videos by URL and in chunks, processed by a real worker; the API is killed in between."""

from __future__ import annotations

from pathlib import Path

from tests.service.running import RunningService, kill
from tests.support.listeners import listening
from tests.support.services import wait_for

VERSION = {"Tus-Resumable": "1.0.0"}
PIECE = {**VERSION, "Content-Type": "application/offset+octet-stream"}


def test_a_video_by_url(service: RunningService, clips: Path) -> None:
    data = (clips / "short.mp4").read_bytes()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data)
    with listening(head + data) as server, listening(b"HTTP/1.1 404 Not Found\r\n\r\n") as other:
        url = f"http://127.0.0.1:{server.port}/short.mp4"
        asked = [
            service.client.post("/localize", json={"url": url, "options": {"time_range": {"start": 1.0}}}),
            service.client.post("/localize", json={"url": f"http://127.0.0.1:{other.port}/"}),
        ]
        assert [response.status_code for response in asked] == [202, 202], asked[0].text
        done, failed = (service.wait_ended(response.json()["id"]) for response in asked)
    assert (done["state"], done["source"]["bytes"]) == ("succeeded", len(data))
    assert (failed["state"], failed["error"]["code"]) == ("failed", "url_unreachable")
    assert service.client.get(f"/jobs/{done['id']}/video").content == data


def test_an_upload_outlives_the_api(service: RunningService, clips: Path) -> None:
    data = (clips / "short.mp4").read_bytes()
    half = len(data) // 2
    created = service.client.post(
        "/uploads", headers={**VERSION, "Upload-Length": str(len(data)), "Upload-Metadata": "localize"}
    )
    path = created.headers["location"]
    first = service.client.patch(path, content=data[:half], headers={**PIECE, "Upload-Offset": "0"})
    assert first.status_code == 204
    killed = service.process("API")
    kill(killed)
    wait_for(lambda: service.process("API") != killed)
    service.wait_ready()
    assert service.client.head(path, headers=VERSION).headers["upload-offset"] == str(half)
    last = service.client.patch(path, content=data[half:], headers={**PIECE, "Upload-Offset": str(half)})
    job = service.wait_ended(last.headers["sentiloc-job"].rpartition("/")[2])
    assert job["state"] == "succeeded"
    assert service.client.get(f"{last.headers['sentiloc-job']}/video").content == data
