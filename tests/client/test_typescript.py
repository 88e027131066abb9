"""The TypeScript client: its types are the document's, it compiles strictly, and it works against a real server."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from sentiloc.app.schemas.jobs import EXAMPLE_QUEUED
from sentiloc.app.settings import Settings
from tests.app.asking import VIDEO
from tests.app.test_address import OPERATIONS
from tests.client.scripted import answer, cut_off, events, problem, scripted
from tests.support import typescript_types
from tests.support.proxies import installed, redirecting
from tests.support.quick_service import QuickService
from tests.support.services import private_redis
from tests.support.web_files import web_files

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "clients" / "typescript"
COMPILER = ROOT / "node_modules" / ".bin" / "tsc"
USE = Path(__file__).with_name("typescript_use.mjs")
UNEXPECTED = USE.with_name("typescript_unexpected.mjs")
README_PROGRAM = 5


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("node") is None or not COMPILER.exists():
        pytest.skip("node or the TypeScript compiler is not installed (npm ci)")
    dist = tmp_path_factory.mktemp("dist")
    (dist / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    command = [str(COMPILER), "--project", str(CLIENT / "tsconfig.json"), "--outDir", str(dist)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return dist


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QuickService]:
    folder = tmp_path_factory.mktemp("server")
    with private_redis(folder) as redis:
        settings = Settings(
            redis_url=redis.url, redis_prefix="ts:", data_dir=folder, root_path="/a/sentiloc", api_keys="off"
        )
        with QuickService(settings) as running:
            yield running


@pytest.fixture(scope="module")
def used(built: Path, server: QuickService, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("use")
    video, webhook = folder / "a.mp4", folder / "webhook.json"
    video.write_bytes(VIDEO)
    webhook.write_text(json.dumps(signed_event()), encoding="utf-8")
    command = [
        "node",
        str(USE),
        str(built),
        f"{server.url}/a/sentiloc/",
        str(video),
        str(webhook),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def signed_event() -> dict[str, Any]:
    """An event that another implementation of Standard Webhooks signs."""
    secret, now = "whsec_" + "c2VjcmV0IHNlY3JldCBzZWNyZXQgMTIzNA==", datetime.now(UTC)
    body = json.dumps({"type": "job.succeeded", "timestamp": "2026-01-31T12:00:00Z", "data": EXAMPLE_QUEUED})
    headers = {
        "Webhook-Id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": f"v1,{secrets.token_urlsafe(8)} {Webhook(secret).sign('msg_1', now, body)}",
    }
    return {"secret": secret, "headers": headers, "body": body}


def test_the_types_are_those_of_the_document() -> None:
    """`python -m tests.support.typescript_types` writes them."""
    assert typescript_types.FILE.read_text(encoding="utf-8") == typescript_types.source()


def test_every_path_of_the_client_is_documented() -> None:
    document = {path.partition(" ")[2] for path in OPERATIONS.values()}
    text = "".join(file.read_text(encoding="utf-8") for file in (CLIENT / "src").glob("*.ts"))
    for part in (
        "/v1/jobs",
        "/v1/localize/upload",
        "/v1/localize/url",
        "/v1/localize",
        "/v1/uploads",
        "/readyz",
        "/v1/batches",
        "/v1/reels",
        "/v1/keys",
        "/v1/webhooks",
    ):
        assert part in document
        assert part in text


def test_it_compiles_strictly(built: Path) -> None:
    assert (built / "index.d.ts").exists()


def test_its_folder_can_be_installed(tmp_path: Path) -> None:
    """As its README says: installed in the clone, which builds it, and then in a project."""
    if shutil.which("npm") is None or not COMPILER.exists():
        pytest.skip("npm or the TypeScript compiler is not installed (npm ci)")
    clone, project = tmp_path / "clone", tmp_path / "project"
    shutil.copytree(CLIENT, clone, ignore=shutil.ignore_patterns("dist", "node_modules"))
    project.mkdir()
    # In the place of the compiler that npm would fetch.
    (clone / "node_modules" / ".bin").mkdir(parents=True)
    (clone / "node_modules" / ".bin" / "tsc").symlink_to(COMPILER.resolve())
    program = 'import("@sentiloc/client").then(({ Sentiloc }) => console.log(typeof Sentiloc))'
    node = ["node", "-e", program]
    install = ["npm", "install", "--offline", "--no-audit"]
    for command in (["npm", "run", "prepare", "--prefix", str(clone)], [*install, str(clone)], node):
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, timeout=240)
        assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "function"


def test_an_upload_goes_on_where_it_broke(used: dict[str, Any]) -> None:
    total = len(VIDEO)
    assert used["told"][0] == [0, total]
    assert used["told"][-1] == [total, total]
    assert [sent for sent, _ in used["told"]] == sorted(sent for sent, _ in used["told"])
    assert (used["name"], used["metadata"]) == ("ü.mp4", {"reel": 3})
    assert sum(one.startswith("POST /a/sentiloc/v1/uploads") for one in used["asked"]) == 1


def test_a_job_is_followed_to_its_result(used: dict[str, Any]) -> None:
    assert used["links"]["self"].startswith("/a/sentiloc/v1/jobs/")
    assert (used["events"][-1], used["final"]) == ("final", "succeeded")
    assert used["polled"] == used["after"] == used["fallback"] == ["final"]
    assert (used["segments"], used["vtt"]) == (1, "WEBVTT")


def test_errors_are_problems(used: dict[str, Any]) -> None:
    assert used["problem"] == [True, 404, "job_not_found", 32]
    assert used["forbidden"] == "url_forbidden"
    assert used["other"]


def test_requests_are_not_doubled(used: dict[str, Any]) -> None:
    assert used["isSame"]
    assert used["listed"] == 2
    assert used["feedback"] == 1


def test_batches_go_to_their_end(used: dict[str, Any]) -> None:
    assert used["batch"] == [True, 2, "finished", True, True]
    assert used["rows"] == [[0, "succeeded", "a.mp4"], [1, "succeeded", "second"]]


def test_reels_keys_and_webhooks_have_methods(used: dict[str, Any]) -> None:
    assert used["reel"][0] == "Best"
    assert used["reels"] == [1, "job_not_found"]
    assert used["keys"] == [False, True, 1, True]
    assert used["hooks"] == [False, 2, None, 1, False, 0, "webhook_not_found"]


def test_webhooks_are_verified(used: dict[str, Any]) -> None:
    assert used["webhook"] == EXAMPLE_QUEUED["id"]
    assert used["refused"] == [True, True, True]


def test_answers_of_other_programs_are_errors(built: Path, server: QuickService, tmp_path: Path) -> None:
    if not installed("nginx"):
        pytest.skip("nginx is not installed")
    page = answer(200, "<title>Log in</title>", "text/html")
    lines = answer(200, '{"index": 0}\n<html>\n', "application/x-ndjson")
    with (
        redirecting(tmp_path / "nginx", f"{server.url}/a/sentiloc") as redirect,
        scripted(page) as login,
        scripted(lines) as half,
        scripted(cut_off) as broken,
        scripted(answer(403, "<title>Forbidden</title>", "text/html")) as forbidden,
        scripted(answer(304)) as unchanged,
    ):
        others = [other.url for other in (login, half, broken, forbidden, unchanged)]
        command = ["node", str(UNEXPECTED), str(built), redirect, *others]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    seen: dict[str, dict[str, str]] = json.loads(done.stdout)
    redirected = seen["redirect"]
    # GET is followed.
    assert redirected.pop("limits") == "done: Object"
    assert all(f"is redirected to {server.url}/a/sentiloc/v1/" in said for said in redirected.values())
    kinds = {
        said.partition(":")[0] for part in ("redirect", "login", "lines") for said in seen[part].values()
    }
    assert kinds == {"UnexpectedAnswerError", "UploadError"}
    assert seen["redirect"]["upload"].startswith("UnexpectedAnswerError")
    assert {said.partition(":")[0] for said in seen["broken"].values()} == {"ConnectionError"}
    for part, status in (("forbidden", 403), ("unchanged", 304)):
        assert {said.partition(":")[0] for said in seen[part].values()} == {"UnexpectedAnswerError"}
        assert all(f"answered {status} without a problem document" in said for said in seen[part].values())


def told(built: Path, folder: Path, lines: str, *arguments: str) -> list[str]:
    """What a program writes that begins by importing the built client as `client`."""
    program = folder / "program.mjs"
    start = f"import * as client from {json.dumps((built / 'index.js').as_uri())};\n"
    program.write_text(start + lines, encoding="utf-8")
    command = ["node", str(program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_only_the_service_can_say_that_a_job_is_gone(
    built: Path, server: QuickService, tmp_path: Path
) -> None:
    lines = """
        for (const server of process.argv.slice(2)) {
          const deleted = new client.Sentiloc({ server }).delete("nobody");
          console.log(await deleted.then(() => "gone", (error) => error.code ?? error.name));
        }
    """
    with scripted(answer(404, "<h1>Not Found</h1>", "text/html")) as other:
        servers = (f"{server.url}/a/sentiloc", f"{server.url}/wrong", other.url)
        assert told(built, tmp_path, lines, *servers) == ["gone", "not_found", "UnexpectedAnswerError"]


def test_a_redirect_is_named_without_its_secrets(built: Path, tmp_path: Path) -> None:
    lines = """
        const server = process.argv[2];
        await new client.Sentiloc({ server }).cancel("abc").catch((error) => console.log(error.message));
    """
    script = answer(307, None, Location="https://me:p@ss@sso.example/in?token=s#t")
    with scripted(script) as server:
        (said,) = told(built, tmp_path, lines, server.url)
    assert "is redirected to https://sso.example/in. Is the" in said


def test_a_key_that_cannot_be_sent_is_refused(built: Path, tmp_path: Path) -> None:
    lines = """
        const server = process.argv[2];
        await new client.Sentiloc({ server, apiKey: "k1\\n" }).job("abc");
        for (const apiKey of ["k\\n1", "k\u00e4"]) {
          try {
            new client.Sentiloc({ server, apiKey });
          } catch (error) {
            console.log(error instanceof client.SentilocError, error.message);
          }
        }
    """
    with scripted(answer(200, EXAMPLE_QUEUED)) as server:
        refused = told(built, tmp_path, lines, server.url)
    assert refused == ["true the API key has characters that cannot be sent"] * 2
    assert server.sent("Authorization") == ["Bearer k1"]


def test_the_readme_starts_with_lines_that_work(built: Path, server: QuickService, tmp_path: Path) -> None:
    program = (CLIENT / "README.md").read_text(encoding="utf-8").split("```")[1].removeprefix("js\n")
    assert len(program.strip().splitlines()) <= README_PROGRAM
    program = program.replace('"@sentiloc/client"', json.dumps((built / "index.js").as_uri()))
    program = program.replace("http://127.0.0.1:8000", f"{server.url}/a/sentiloc")
    (tmp_path / "holiday.mp4").write_bytes(VIDEO)
    (tmp_path / "program.mjs").write_text(program, encoding="utf-8")
    command = ["node", "program.mjs"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["3.2", "6.4", "positive", "0.83"]


def test_a_page_needs_neither_an_origin_nor_tls(built: Path) -> None:
    """As in a frame with `sandbox`, and on a server of the local network without TLS."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    browsing = pytest.importorskip("tests.page.browsing")
    if browsing.find_chromium() is None:
        pytest.skip("no Chromium is installed (`apt-get install chromium`)")
    lines = """async ([module, server]) => {
      const { Sentiloc } = await import(module);
      const job = await new Sentiloc({ server }).submit(new Blob(["video"]));
      return [location.origin, isSecureContext, job.id];
    }"""
    with (
        scripted(answer(202, EXAMPLE_QUEUED)) as server,
        web_files(built) as files,
        playwright.sync_playwright() as started,
    ):
        # Such a page may only load files of other origins that allow it; the question here is another one.
        flags = [*browsing.FLAGS, "--disable-web-security"]
        browser = started.chromium.launch(executable_path=browsing.find_chromium(), args=flags)
        try:
            seen = browser.new_page().evaluate(lines, [f"{files}/index.js", server.url])
        finally:
            browser.close()
    assert seen == ["null", False, EXAMPLE_QUEUED["id"]]
    assert len(str(server.sent("Idempotency-Key")[0])) == 32


def test_an_answer_that_breaks_off_is_asked_for_again(built: Path, tmp_path: Path) -> None:
    lines = """
        const sentiloc = new client.Sentiloc({ server: process.argv[2], retries: { firstWait: 1 } });
        console.log((await sentiloc.job("abc")).id);
        await sentiloc.keys.create({ name: "desk" }).catch((error) => console.log(error.name));
    """
    script = (cut_off, cut_off, answer(200, EXAMPLE_QUEUED), cut_off)
    with scripted(*script) as server:
        assert told(built, tmp_path, lines, server.url) == [EXAMPLE_QUEUED["id"], "ConnectionError"]
    # The key may have been made, so it is not asked for again.
    assert len(server.requests) == 4


def test_a_file_that_has_changed_is_not_taken_for_a_lost_connection(
    built: Path, server: QuickService, tmp_path: Path
) -> None:
    lines = """
        const { openAsBlob, writeFileSync } = await import("node:fs");
        const [server, video] = process.argv.slice(2);
        const sentiloc = new client.Sentiloc({ server });
        const file = await openAsBlob(video);
        writeFileSync(video, "other");
        for (const send of ["submit", "upload"]) {
          await sentiloc[send](file).catch((error) => console.log(error.name, error.message));
        }
    """
    video = tmp_path / "a.mp4"
    video.write_bytes(VIDEO)
    said = told(built, tmp_path, lines, f"{server.url}/a/sentiloc", str(video))
    why = "The file cannot be read. It has changed, or it is gone."
    assert said == [f"UploadError {why}", f"UploadError The upload stopped at 0 of {len(VIDEO)} bytes: {why}"]


def test_json_of_another_program_is_an_error(built: Path, tmp_path: Path) -> None:
    lines = """
        async function first(found) {
          for await (const one of found) return one;
        }
        const calls = {
          job: (at) => at.job("abc"),
          poll: (at) => first(at.follow("abc", { poll: true })),
          list: (at) => first(at.jobs()),
          batch: (at) => at.batches.wait("abc"),
          keys: (at) => at.keys.list(),
          webhooks: (at) => at.webhooks.list(),
          deliveries: (at) => at.webhooks.deliveries("abc"),
          resume: (at) => at.upload(new Blob(["video"]), { resume: "abc" }),
          delete: (at) => at.delete("abc"),
        };
        for (const server of process.argv.slice(2)) {
          for (const [name, call] of Object.entries(calls)) {
            const error = await call(new client.Sentiloc({ server })).catch((error) => error);
            if (error?.name !== "UnexpectedAnswerError") console.log(server, name, error);
          }
        }
    """
    with scripted(answer(200, {"status": "ok"})) as other, scripted(answer(200, "null")) as nothing:
        assert told(built, tmp_path, lines, other.url, nothing.url) == []


@pytest.mark.parametrize("stored", ["0", "-3", "1e9", "2.5"])
def test_an_upload_ends_if_the_server_stores_nothing(built: Path, tmp_path: Path, stored: str) -> None:
    lines = """
        const sentiloc = new client.Sentiloc({ server: process.argv[2] });
        await sentiloc.upload(new Blob(["video"])).catch((error) => console.log(error.name, error.uploadId));
    """
    created = answer(201, None, Location="/v1/uploads/abc")
    with scripted(created, answer(204, None, **{"Upload-Offset": stored})) as server:
        assert told(built, tmp_path, lines, server.url) == ["UploadError abc"]
    assert len(server.requests) == 2


@pytest.mark.parametrize("offset", ["2", -1, 6, 0.5, None])
def test_an_upload_is_not_resumed_at_an_offset_that_is_none(
    built: Path, tmp_path: Path, offset: object
) -> None:
    lines = """
        const sentiloc = new client.Sentiloc({ server: process.argv[2] });
        const file = new Blob(["video"]);
        await sentiloc.upload(file, { resume: "abc" }).catch((error) => console.log(error.name));
    """
    with scripted(answer(200, {"id": "abc", "offset": offset, "length": 5})) as server:
        assert told(built, tmp_path, lines, server.url) == ["UnexpectedAnswerError"]
    assert len(server.requests) == 1


def test_an_upload_does_not_wait_for_days(built: Path, tmp_path: Path) -> None:
    lines = """
        const sentiloc = new client.Sentiloc({ server: process.argv[2] });
        await sentiloc.upload(new Blob(["video"])).catch((error) => console.log(error.name, error.cause.code));
    """
    created = answer(201, None, Location="/v1/uploads/abc")
    with scripted(created, problem(429, "rate_limited", Retry_After="9999999")) as server:
        assert told(built, tmp_path, lines, server.url) == ["UploadError rate_limited"]
    assert len(server.requests) == 2


@pytest.mark.parametrize("asked", ["0", "9999999", "1e300"])
def test_a_server_cannot_ask_for_polls_without_a_pause(built: Path, tmp_path: Path, asked: str) -> None:
    """A timer of Node and of browsers that is longer than 24 days ends at once."""
    lines = """
        const sentiloc = new client.Sentiloc({ server: process.argv[2] });
        const found = sentiloc.follow("abc", { poll: true, signal: AbortSignal.timeout(700) });
        try {
          for await (const one of found) console.log(one.type);
        } catch (error) {
          console.log(error.name);
        }
    """
    with scripted(answer(200, EXAMPLE_QUEUED, Retry_After=asked)) as server:
        assert told(built, tmp_path, lines, server.url) == ["position", "TimeoutError"]


@pytest.mark.parametrize("data", ["null", "3", "[" * 2**21, "x" * 2**21])
def test_a_stream_of_other_things_is_left_for_polls(built: Path, tmp_path: Path, data: str) -> None:
    lines = """
        const sentiloc = new client.Sentiloc({ server: process.argv[2] });
        for await (const one of sentiloc.follow("abc")) console.log(one.type);
    """
    ended = answer(200, {**EXAMPLE_QUEUED, "state": "succeeded"})
    stream = events(f"data: {data}")
    breaks = 3 if len(data) > 5 else 1
    with scripted(*[stream] * breaks, ended) as server:
        assert told(built, tmp_path, lines, server.url) == ["final"]
    assert server.requests[-1].path == "/v1/jobs/abc"


def test_a_problem_of_wrong_types_is_an_error_with_texts(built: Path, tmp_path: Path) -> None:
    lines = """
        const sentiloc = new client.Sentiloc({ server: process.argv[2], retries: { attempts: 1 } });
        const error = await sentiloc.job("abc").catch((error) => error);
        console.log(error.message, error.code, error.requestId);
    """
    wrong = answer(503, {"detail": {"a": 1}, "title": 3, "code": 5, "request_id": []})
    with scripted(wrong) as server:
        assert told(built, tmp_path, lines, server.url) == ["HTTP 503 unknown null"]


def test_what_cannot_be_sent_is_not_tried_again(built: Path, tmp_path: Path) -> None:
    lines = """
        const server = process.argv[2];
        const file = new Blob(["video"]);
        const attempts = [
          () => new client.Sentiloc({ server }).submit(file, { idempotencyKey: "a\\nb" }),
          async () => new client.Sentiloc({ server: "/sentiloc" }),
          async () => new client.Sentiloc({ server: "http://[" }),
          () => new client.Sentiloc({ server }).upload(file, { chunkBytes: 0 }),
        ];
        for (const attempt of attempts) await attempt().catch((error) => console.log(error.name));
    """
    with scripted(problem(503, "busy")) as server:
        names = told(built, tmp_path, lines, server.url)
    assert names == ["SentilocError", "SentilocError", "SentilocError", "RangeError"]
    assert server.requests == []


def test_a_password_of_a_proxy_may_be_in_the_address(built: Path, tmp_path: Path) -> None:
    lines = """
        const server = process.argv[2].replace("//", "//me:p%C3%A4ss@");
        await new client.Sentiloc({ server, apiKey: "k1" }).job("abc");
        const unescaped = process.argv[2].replace("//", "//me:50%off@");
        await new client.Sentiloc({ server: unescaped, apiKey: "k1" }).job("abc");
    """
    with scripted(answer(200, EXAMPLE_QUEUED)) as server:
        told(built, tmp_path, lines, server.url)
    assert server.sent("Authorization") == ["Basic bWU6cMOkc3M=", "Basic bWU6NTAlb2Zm"]
    assert server.sent("X-API-Key") == ["k1", "k1"]


def test_types_need_no_browser_and_take_undefined(built: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.ts"
    program.write_text(
        f"""
        import {{ Sentiloc, type FollowOptions }} from {json.dumps(str(built / "index.js"))};
        export function start(apiKey: string | undefined, signal: AbortSignal | undefined, file: Blob) {{
          const follow: FollowOptions = {{ signal, after: undefined }};
          const sentiloc = new Sentiloc({{ apiKey }});
          return [sentiloc.upload(file, {{ signal, name: undefined }}), sentiloc.wait("abc", follow)];
        }}
        """,
        encoding="utf-8",
    )
    options = ["--noEmit", "--strict", "--exactOptionalPropertyTypes", "--target", "es2022", "--types", ""]
    modules = ["--module", "esnext", "--moduleResolution", "bundler"]
    command = [str(COMPILER), "--ignoreConfig", *options, *modules, "--lib", "es2023,dom", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    # Node's types have no `BodyInit`; they are not installed here.
    assert not any("BodyInit" in file.read_text(encoding="utf-8") for file in built.glob("*.d.ts"))
