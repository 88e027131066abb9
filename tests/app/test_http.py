"""The HTTP contract, against a real Redis: uploads, errors, and the life of a job."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import Response

from sentiloc.app.access.cookies import OwnCookies
from sentiloc.app.access.sessions import SESSION_COOKIE
from sentiloc.app.formats import FORMATS
from sentiloc.app.jobs.presence import WorkerPresence, beat
from sentiloc.app.jobs.record import JobError
from sentiloc.app.jobs.store import JobStore
from sentiloc.app.main import create_app
from sentiloc.app.schemas.health import ReadyBody
from sentiloc.app.schemas.jobs import JobBody, JobListBody
from sentiloc.app.schemas.results import EXAMPLE_RESULT, ResultBody
from sentiloc.app.settings import Settings
from sentiloc.model.errors import ErrorCode
from tests.app.asking import VIDEO, assert_problem, finish, upload
from tests.support.jobs import claim

BOUNDARY = "b0undary"


def stored(settings: Settings) -> list[Path]:
    return [path for path in settings.data_dir.rglob("*") if path.is_file()]


def form(*parts: tuple[str, bytes], end: bytes = b"--\r\n") -> bytes:
    lines = [
        b"--%b\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % (BOUNDARY.encode(), head.encode(), data)
        for head, data in parts
    ]
    return b"".join(lines) + b"--" + BOUNDARY.encode() + end


def post_raw(client: TestClient, body: bytes, content_type: str | None = None) -> Response:
    header = content_type or f"multipart/form-data; boundary={BOUNDARY}"
    response: Response = client.post("/localize", content=body, headers={"Content-Type": header})
    return response


def test_an_upload_becomes_a_queued_job(client: TestClient, settings: Settings) -> None:
    response = upload(client)
    assert response.status_code == 202
    body = JobBody.model_validate(response.json())
    assert response.headers["location"] == f"/jobs/{body.id}" == body.links.self
    assert (body.state, body.queue_position, body.progress) == ("queued", 1, 0.0)
    assert (body.source.name, body.source.bytes) == ("clip.mp4", len(VIDEO))
    (file,) = stored(settings)
    assert file.read_bytes() == VIDEO
    assert "clip" not in file.name

    again = client.get(body.links.self)
    assert JobBody.model_validate(again.json()) == body
    assert again.headers["cache-control"] == "private, no-cache"
    assert int(again.headers["retry-after"]) >= 1


def test_the_queue_is_in_order_and_a_cancelled_job_leaves_it(client: TestClient) -> None:
    first, second = upload(client).json(), upload(client).json()
    assert second["queue_position"] == 2
    cancelled = client.delete(first["links"]["self"])
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    assert client.get(second["links"]["self"]).json()["queue_position"] == 1
    assert_problem(client.get(first["links"]["result"]), 409, "cancelled")


def test_deleting_a_finished_job_removes_its_files(client: TestClient, settings: Settings) -> None:
    path = upload(client).json()["links"]["self"]
    client.delete(path)
    assert client.delete(path).status_code == 204
    assert stored(settings) == []
    assert_problem(client.get(path), 404, "job_not_found")
    assert_problem(client.delete(path), 404, "job_not_found")


def test_a_result_is_served_as_it_was_stored(client: TestClient, store: JobStore, settings: Settings) -> None:
    links = upload(client).json()["links"]
    waiting = client.get(links["result"])
    assert_problem(waiting, 409, "result_not_ready")
    assert int(waiting.headers["retry-after"]) >= 1
    finish(store, links["self"].removeprefix("/jobs/"), settings, json.dumps(EXAMPLE_RESULT).encode())
    done = client.get(links["result"])
    assert (done.status_code, done.json()) == (200, EXAMPLE_RESULT)
    assert client.get(links["self"]).json()["state"] == "succeeded"
    assert "retry-after" not in client.get(links["self"]).headers
    for file in (settings.data_dir / "results").iterdir():
        file.unlink()
    assert_problem(client.get(links["result"]), 410, "source_missing")


@pytest.fixture
def finished(client: TestClient, store: JobStore, settings: Settings) -> str:
    """Path of the result of a job that has one."""
    links = upload(client).json()["links"]
    finish(store, links["self"].removeprefix("/jobs/"), settings, json.dumps(EXAMPLE_RESULT).encode())
    return str(links["result"])


@pytest.mark.parametrize("name", FORMATS)
def test_a_result_has_the_requested_format(client: TestClient, finished: str, name: str) -> None:
    by_name = client.get(finished, params={"format": name})
    by_type = client.get(finished, headers={"Accept": f"{FORMATS[name].media_type}, */*;q=0.1"})
    assert by_name.status_code == by_type.status_code == 200
    assert by_type.headers["content-type"].startswith(FORMATS[name].media_type)
    assert len(by_type.content) == len(by_name.content) > 0
    assert f".{FORMATS[name].extension}" in by_name.headers["content-disposition"]


def test_listed_formats_can_be_requested(client: TestClient, finished: str) -> None:
    listed = client.get("/formats").json()
    assert {row["name"] for row in listed} == set(FORMATS)
    assert all(client.get(finished, params={"format": row["name"]}).status_code == 200 for row in listed)


@pytest.mark.parametrize("query", ["", "?format=vtt"])
def test_unchanged_answers_are_not_sent_again(client: TestClient, finished: str, query: str) -> None:
    job = finished.removesuffix("/result")
    for path in (job, finished + query):
        first = client.get(path)
        tag = first.headers["etag"]
        for names in (tag, f'"other", W/{tag}', "*"):
            again = client.get(path, headers={"If-None-Match": names})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert client.get(path, headers={"If-None-Match": '"other"'}).content == first.content
    assert client.get(f"{finished}?threshold=0", headers={"If-None-Match": tag}).status_code == 200


def test_a_job_that_changes_has_another_tag(client: TestClient) -> None:
    path = upload(client).json()["links"]["self"]
    tag = client.get(path).headers["etag"]
    client.delete(path)
    changed = client.get(path, headers={"If-None-Match": tag})
    assert (changed.status_code, changed.json()["state"]) == (200, "cancelled")


def test_the_video_plays_by_ranges(client: TestClient, finished: str) -> None:
    path = finished.replace("/result", "/video")
    whole = client.get(path)
    part = client.get(path, headers={"Range": "bytes=2-5"})
    assert (whole.status_code, part.status_code) == (200, 206)
    assert part.content == whole.content[2:6]
    assert whole.headers["x-content-type-options"] == "nosniff"
    # A unit that the server does not know is no range (RFC 9110, 14.2).
    in_lines = client.get(path, headers={"Range": "lines=1-2"})
    assert (in_lines.status_code, in_lines.content) == (200, whole.content)
    # Nor is there one of a header alone.
    assert client.head(path, headers={"Range": "bytes=2-5"}).status_code == 200


def test_a_player_that_has_the_video_does_not_get_it_again(client: TestClient, finished: str) -> None:
    path = finished.replace("/result", "/video")
    tag = client.get(path).headers["etag"]
    for headers in ({}, {"Range": "bytes=2-5"}):
        kept = client.get(path, headers={"If-None-Match": f'"other", W/{tag}', **headers})
        assert (kept.status_code, kept.content, kept.headers["etag"]) == (304, b"", tag)
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_the_page_names_no_other_host_and_every_file_it_names_is_there(client: TestClient) -> None:
    page = client.get("/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    paths = re.findall(r'(?:src|href)="(web/[^"#]+)', page.text)
    assert len(paths) > 10
    for path in paths:
        response = client.get(f"/{path}")
        assert response.status_code == 200, path
        assert not re.search(r"https?://(?!www\.w3\.org)", response.text), path
        for name in re.findall(r'from "\./([^"]+)"', response.text):
            assert client.get(f"/web/{name}").status_code == 200, name
    assert not re.search(r"https?://", page.text)


def test_segments_are_cut_again_from_the_stored_curve(client: TestClient, finished: str) -> None:
    kept = client.get(finished, params={"threshold": 0.0, "min_length": 0.5}).json()
    assert kept["options"]["threshold"] == 0.0
    assert [segment["label"] for segment in kept["segments"]] == ["positive"]
    assert client.get(finished, params={"threshold": 1.0}).json()["segments"] == []
    negative = client.get(finished, params={"labels": "negative", "threshold": 0.0}).json()
    assert negative["options"]["labels"] == ["negative"]
    assert negative["segments"] == []
    for query in ({"threshold": 2}, {"labels": "happy"}, {"format": "docx"}, {"treshold": 0.5}):
        assert_problem(client.get(finished, params=query), 422, "invalid_request")


def test_a_failed_job_states_the_reason(client: TestClient, store: JobStore) -> None:
    links = upload(client).json()["links"]
    record = claim(store, links["self"].removeprefix("/jobs/"), "worker", 30.0)
    assert record is not None
    store.fail(record.lease, JobError(code=ErrorCode.NO_VIDEO, detail="The file contains no video."))
    assert client.get(links["self"]).json()["error"] == {
        "code": "no_video",
        "detail": "The file contains no video.",
    }
    assert_problem(client.get(links["result"]), 409, "no_video")


FILE = 'name="video"; filename="a.mp4"'
BAD_FORMS = {
    "missing": (form(end=b"--\r\n"), None, 422, "missing_field"),
    "empty": (form((FILE, b"")), None, 422, "empty_file"),
    "other field": (form(('name="film"; filename="a"', b"x")), None, 422, "unexpected_field"),
    "option": (form((FILE, b"x"), ('name="model"', b"x")), None, 422, "unexpected_field"),
    "two videos": (form((FILE, b"x"), (FILE, b"y")), None, 422, "unexpected_field"),
    "cut off": (form((FILE, b"x"))[:-9], None, 400, "malformed_multipart"),
    "no body": (b"", None, 400, "malformed_multipart"),
    "garbage": (b"\x00\xff" * 50, None, 400, "malformed_multipart"),
    "huge header": (form((f'name="video"; x="{"y" * 70_000}"', b"x")), None, 400, "malformed_multipart"),
    "not multipart": (b"x" * 10, "video/mp4", 415, "not_multipart"),
    "empty json": (b"{}", "application/json", 422, "invalid_request"),
    "json list": (b"[]", "application/json", 422, "invalid_request"),
    "no boundary": (b"x", "multipart/form-data", 415, "not_multipart"),
    "long boundary": (b"x", f"multipart/form-data; boundary={'b' * 300}", 400, "malformed_multipart"),
}


@pytest.mark.parametrize("name", BAD_FORMS)
def test_a_bad_form_is_a_typed_problem_and_leaves_no_file(
    client: TestClient, settings: Settings, store: JobStore, name: str
) -> None:
    body, content_type, status, code = BAD_FORMS[name]
    assert_problem(post_raw(client, body, content_type), status, code)
    assert stored(settings) == []
    assert store.queued() == []


def test_the_size_limit_is_exact(client: TestClient, settings: Settings) -> None:
    limit = settings.max_upload_bytes
    assert upload(client, b"x" * limit).status_code == 202
    assert len(stored(settings)) == 1
    assert_problem(upload(client, b"x" * (limit + 1)), 413, "upload_too_large")
    assert len(stored(settings)) == 1


def test_an_upload_that_is_announced_too_large_is_not_read(client: TestClient) -> None:
    def endless() -> Iterator[bytes]:
        yield b"--"
        raise AssertionError("the body was read on")

    headers = {
        "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
        "Content-Length": str(10**12),
    }
    response = client.post("/localize", content=endless(), headers=headers)
    assert_problem(response, 413, "upload_too_large")


def test_bytes_after_the_end_of_a_form_count(client: TestClient, settings: Settings) -> None:
    """Otherwise a form that has ended goes on for as long as its client sends."""
    head = b'--b\r\nContent-Disposition: form-data; name="video"; filename="a.mp4"\r\n\r\n'
    form = head + VIDEO + b"\r\n--b--\r\n"

    def send(more: int) -> Response:
        parts = iter([form, b"x" * more])
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        answer: Response = client.post("/localize", content=parts, headers=headers)
        return answer

    assert send(100).status_code == 202
    assert_problem(send(settings.max_upload_bytes + (1 << 16)), 413, "upload_too_large")


HOSTILE_NAMES = [
    "../../etc/passwd",
    "..\\..\\boot.ini",
    "/etc/shadow",
    "a\x00b.mp4",
    "C:\\x.mp4",
    "x" * 5000 + ".mp4",
    "con",
    "-rf",
    "a\nb",
    "💥.mp4",
    "%2e%2e%2f",
    "",
    ".",
    "..",
    "<script>",
    "'; DROP TABLE jobs",
]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_names_are_only_shown(client: TestClient, settings: Settings, name: str) -> None:
    raw = form((f'name="video"; filename="{name}"', VIDEO))
    response = post_raw(client, raw)
    outside = {path.parent.name for path in stored(settings)} - {"uploads"}
    assert not outside
    if response.status_code == 202:
        shown = response.json()["source"]["name"]
        assert len(shown) <= 255
        assert not set(shown) & {"/", "\\", "\n", "\x00"}
        assert name != "💥.mp4" or shown == name
    else:
        assert_problem(response, 400, "malformed_multipart")


def test_every_framework_error_is_a_problem(client: TestClient) -> None:
    assert_problem(client.get("/nothing/here"), 404, "not_found")
    assert_problem(client.put("/localize"), 405, "method_not_allowed")
    assert client.put("/localize").headers["allow"] == "OPTIONS, POST"
    assert_problem(client.get("/jobs/not.an.id"), 422, "invalid_request")
    assert_problem(client.get("/jobs/unknown/result"), 404, "job_not_found")


def test_without_redis_clients_get_a_503(settings: Settings, tmp_path: Path) -> None:
    dead = settings.model_copy(update={"redis_url": f"unix://{tmp_path}/none.sock"})
    with TestClient(create_app(dead), raise_server_exceptions=False) as client:
        for response in (upload(client), client.get("/jobs/x"), client.delete("/jobs/x")):
            assert_problem(response, 503, "redis_unavailable")
            assert response.headers["retry-after"]
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["redis"]) == (503, False)
        assert client.get("/healthz").status_code == 200
    assert stored(settings) == []


def test_readiness_names_the_device_or_the_reason(client: TestClient, store: JobStore) -> None:
    silent = client.get("/readyz")
    assert (silent.status_code, silent.json()["reasons"]) == (503, ["No worker is alive."])
    bad = WorkerPresence(name="a", seen_at=0, model="m", error="weights_missing: run this")
    beat(store.redis, store.prefix, bad)
    broken = client.get("/readyz")
    assert (broken.status_code, broken.json()["reasons"]) == (503, ["weights_missing: run this"])
    good = WorkerPresence(
        name="b", seen_at=0, model="m", model_version="1", device="Some CPU", paused="storage_full: no room"
    )
    beat(store.redis, store.prefix, good)
    body = ReadyBody.model_validate(client.get("/readyz").json())
    assert body.ready
    assert body.warnings == ["1 of 2 workers take no jobs: storage_full: no room"]
    assert "Some CPU" in [worker.device for worker in body.workers]


def test_the_documentation_needs_no_other_server(client: TestClient) -> None:
    page = client.get("/docs").text
    assert "http://" not in page
    assert "https://" not in page
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"):
        assert f"/docs/static/{name}" in page
        assert client.get(f"/docs/static/{name}").status_code == 200
    assert_problem(client.get("/docs/static/../../main.py"), 404, "not_found")


def test_every_documented_answer_has_an_example_that_fits(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    models = {
        "JobBody": JobBody,
        "JobListBody": JobListBody,
        "ResultBody": ResultBody,
        "ReadyBody": ReadyBody,
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for status, answer in operation["responses"].items():
                for content in answer.get("content", {}).values():
                    if content["schema"].get("format") == "binary":
                        continue
                    if "$ref" not in content["schema"]:
                        assert content.get("example") or content.get("examples"), (path, method, status)
                        continue
                    name = content["schema"]["$ref"].rpartition("/")[2]
                    schema = document["components"]["schemas"][name]
                    examples = [content.get("example"), *schema.get("examples", [])]
                    examples += [item["value"] for item in content.get("examples", {}).values()]
                    found = [example for example in examples if example is not None]
                    assert found, (path, method, status)
                    for example in found:
                        models.get(name, dict)(**example)


def test_the_page_s_files_are_compressed_and_revalidated(client: TestClient) -> None:
    for path in ("/", "/web/main.js", "/web/style.css"):
        packed = client.get(path, headers={"Accept-Encoding": "br, gzip;q=0.5"})
        plain = client.get(path, headers={"Accept-Encoding": "gzip;q=0"})
        assert packed.headers["content-encoding"] == "gzip", path
        assert "content-encoding" not in plain.headers
        assert plain.content == packed.content
        assert int(packed.headers["content-length"]) < len(plain.content) / 2
        tag = packed.headers["etag"]
        assert tag == plain.headers["etag"]
        again = client.get(path, headers={"If-None-Match": tag})
        assert (again.status_code, again.content) == (304, b"")
        assert client.get(path, headers={"If-None-Match": 'W/"other"'}).status_code == 200
    assert client.get("/web/nothing.js").status_code == 404


def test_only_the_page_s_inline_scripts_may_run(client: TestClient) -> None:
    page = client.get("/")
    policy = page.headers["content-security-policy"]
    for name, kind in (("style", "style-src"), ("script", "script-src")):
        texts = re.findall(f"<{name}>(.*?)</{name}>", page.text, re.S)
        digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
        sources = policy.partition(kind)[2].partition(";")[0].split()
        assert sources[1:] == [f"'sha256-{digest}'" for digest in reversed(digests)]
        assert sources[0] == "'self'"
    assert 'href="web/style.css"' not in page.text
    assert 'src="web/theme.js"' not in page.text
    assert 'src="web/start.js"' not in page.text


def test_the_first_paint_waits_for_no_other_file(client: TestClient) -> None:
    """Outside its template the page links its icon only; the template's links are inert."""
    before, _, rest = client.get("/").text.partition('<template id="later">')
    links, _, after = rest.partition("</template>")
    files = re.findall(r'<(?:link|script|img)\b[^>]*? (?:src|href)="([^"]+)"', before + after)
    assert set(files) == {"web/icon.svg"}
    assert 'src="web/main.js"' in links
    assert 'href="web/result.css"' in links


@pytest.mark.parametrize("path", ["/feedback", "/diff/{id}", "/curve", "", "/nothing"])
def test_no_shared_cache_keeps_an_answer(client: TestClient, finished: str, path: str) -> None:
    job = finished.removesuffix("/result")
    answer = client.get(job + path.format(id=job.rpartition("/")[2]))
    assert {"private", "no-store"} & set(answer.headers["cache-control"].split(", "))


def test_a_cookie_with_many_backslashes_takes_no_time(client: TestClient) -> None:
    """Python's own parser needs seconds for it, and anybody may send it."""
    began = time.process_time()
    for name in ("theme", SESSION_COOKIE):
        cookie = {"Cookie": f'{name}="{chr(92) * 40_000}"'}
        assert client.get("/healthz", headers=cookie).status_code == 200
    assert time.process_time() - began < 1


def test_only_the_cookies_of_the_service_are_passed_on() -> None:
    seen: list[Any] = []

    async def app(scope: Any, *_: Any) -> None:
        seen.extend(scope["headers"])

    given = [
        (b"cookie", b'a="b; mine=1; mine="2"; mine = x-_9 ;'),
        (b"accept", b"*/*"),
        (b"cookie", b"mine=3;=;"),
    ]
    asyncio.run(OwnCookies(app, ["mine"])({"type": "http", "headers": given}, None, None))  # type: ignore[arg-type]
    assert seen == [(b"accept", b"*/*"), (b"cookie", b"mine=1; mine=x-_9; mine=3")]
