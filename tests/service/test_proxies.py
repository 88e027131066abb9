"""Behind nginx and Caddy, with TLS and under a path, all links and redirects work."""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sentiloc.app.settings import Settings
from sentiloc.client import Client
from tests.app.asking import VIDEO
from tests.client.test_typescript import built
from tests.support.proxies import PREFIX, Proxy, installed, proxy
from tests.support.quick_service import QuickService
from tests.support.services import PATIENCE, private_redis

__all__ = ["built"]

KINDS = [
    pytest.param((name, buffers, strips), id=f"{name}-{'buffers' if buffers else 'streams'}-{strips}")
    for name, buffers, strips in (
        ("nginx", True, True),
        ("nginx", False, True),
        ("nginx", False, False),
        ("caddy", True, True),
        ("caddy", False, False),
    )
]
TUS = {"Tus-Resumable": "1.0.0"}
CHUNK = {**TUS, "Content-Type": "application/offset+octet-stream"}
# The first lines of the client's README, with an upload in several chunks.
PROGRAM = """
import { openAsBlob } from "node:fs";
import { Sentiloc } from "%s";
const client = new Sentiloc({ server: process.argv[2] });
const job = await client.upload(await openAsBlob(process.argv[3]), { chunkBytes: 2000 });
const events = [];
for await (const event of client.follow(job.id)) events.push(event.type);
const { segments } = await client.result(job.id);
console.log(JSON.stringify({ links: job.links, events, segments: segments.length }));
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QuickService]:
    folder = tmp_path_factory.mktemp("proxied")
    with private_redis(folder) as redis:
        settings = Settings(
            redis_url=redis.url, redis_prefix="p:", data_dir=folder, trusted_proxies=["127.0.0.1"]
        )
        with QuickService(settings) as running:
            yield running


@pytest.fixture(scope="module", params=KINDS)
def shown(
    request: pytest.FixtureRequest, service: QuickService, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    name, buffers, strips = request.param
    if not installed(name):
        pytest.skip(f"{name} is not installed")
    with proxy(name, tmp_path_factory.mktemp(name), service.url, buffers=buffers, strips=strips) as running:
        yield running


@pytest.fixture
def http(shown: Proxy) -> Iterator[httpx.Client]:
    trusted = ssl.create_default_context(cafile=str(shown.authority))
    with httpx.Client(base_url=shown.url, verify=trusted, timeout=PATIENCE) as client:
        yield client


def origin(http: httpx.Client, path: str) -> str:
    """The address of a path that the service returned."""
    assert path.startswith(f"{PREFIX}/"), path
    return str(http.base_url.join(path))


def test_the_page_and_the_docs_find_their_files(http: httpx.Client) -> None:
    bare = http.get(str(http.base_url).rstrip("/"), follow_redirects=True)
    assert bare.url.path == f"{PREFIX}/"
    page = http.get("/")
    found = re.findall(r'(?:href|src)="([^"#]+)"', page.text)
    assert len(found) > 10
    for path in found:
        if "://" in path:
            continue
        assert http.get(page.url.join(path)).status_code == 200, path
    docs = http.get("/docs")
    for path in re.findall(r'(?:href|src)="([^"#]+)"', docs.text):
        assert http.get(docs.url.join(path)).status_code == 200, path
    document = http.get(docs.url.join(str(re.findall(r"url: '([^']+)'", docs.text)[0]))).json()
    assert document["servers"][0]["url"] == PREFIX


def test_an_upload_in_chunks_becomes_a_job(http: httpx.Client) -> None:
    made = http.post("/v1/uploads", headers={**TUS, "Upload-Length": str(len(VIDEO))})
    place = origin(http, made.headers["location"])
    half = len(VIDEO) // 2
    http.patch(place, headers={**CHUNK, "Upload-Offset": "0"}, content=VIDEO[:half])
    assert http.head(place, headers=TUS).headers["upload-offset"] == str(half)
    done = http.patch(place, headers={**CHUNK, "Upload-Offset": str(half)}, content=VIDEO[half:])
    assert (done.status_code, done.headers["upload-offset"]) == (204, str(len(VIDEO)))
    job = http.post("/v1/localize/upload", json={"upload": place.rpartition("/")[2]})
    assert http.get(origin(http, job.headers["location"])).json()["links"] == job.json()["links"]
    assert len(job.headers["x-request-id"]) == 32


def test_events_come_one_by_one(http: httpx.Client) -> None:
    job = http.post("/v1/localize", files={"video": ("a.mp4", VIDEO)}).json()
    with http.stream("GET", f"{origin(http, job['links']['self'])}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = list(stream.iter_lines())
    assert "event: final" in lines
    assert http.get(origin(http, job["links"]["result"])).status_code == 200


def test_the_python_client_works(shown: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(shown.authority))
    video = tmp_path / "a.mp4"
    video.write_bytes(VIDEO)
    with Client(shown.url) as client:
        job = client.submit_resumable(video, piece_bytes=2000)
        events = [event.kind for event in client.watch(job.id)]
        assert (events[-1], len(client.result(job.id).segments)) == ("final", 1)
        assert client.localize(video).segments


def test_the_typescript_client_works(shown: Proxy, built: Path, tmp_path: Path) -> None:
    video, program = tmp_path / "a.mp4", tmp_path / "program.mjs"
    video.write_bytes(VIDEO)
    program.write_text(PROGRAM % (built / "index.js").as_uri(), encoding="utf-8")
    done = subprocess.run(
        ["node", str(program), shown.url, str(video)],
        env={**os.environ, "NODE_EXTRA_CA_CERTS": str(shown.authority)},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["links"]["self"].startswith(f"{PREFIX}/v1/jobs/")
    assert (found["events"][-1], found["segments"]) == ("final", 1)


# Several MiB, which no proxy of the next tests takes in one request.
LARGE = VIDEO + bytes(5 << 20)


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def narrow(
    request: pytest.FixtureRequest, service: QuickService, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    """A proxy that takes a MiB in a request, as nginx does by default."""
    if not installed(request.param):
        pytest.skip(f"{request.param} is not installed")
    folder = tmp_path_factory.mktemp("narrow")
    with proxy(request.param, folder, service.url, buffers=True, most_mib=1) as running:
        yield running


def test_the_python_client_sends_what_a_proxy_takes(
    narrow: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(narrow.authority))
    video = tmp_path / "large.mp4"
    video.write_bytes(LARGE)
    with Client(narrow.url) as client:
        assert client.submit_resumable(video).source.bytes == len(LARGE)


def test_the_typescript_client_sends_what_a_proxy_takes(narrow: Proxy, built: Path, tmp_path: Path) -> None:
    video, program = tmp_path / "large.mp4", tmp_path / "program.mjs"
    video.write_bytes(LARGE)
    upload = PROGRAM.replace(", { chunkBytes: 2000 }", "").partition("const events")[0]
    program.write_text(
        f"{upload}console.log(job.source.bytes);" % (built / "index.js").as_uri(), encoding="utf-8"
    )
    done = subprocess.run(
        ["node", str(program), narrow.url, str(video)],
        env={**os.environ, "NODE_EXTRA_CA_CERTS": str(narrow.authority)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, str(len(LARGE))), done.stderr
