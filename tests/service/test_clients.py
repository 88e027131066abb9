"""The Python client and the commands built on it, against a real service."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sentiloc.cli.verbs import root
from sentiloc.client import (
    ApiError,
    AsyncClient,
    Client,
    Cut,
    Feedback,
    FeedbackPoint,
    FeedbackSegment,
    JobOptions,
    JobState,
    NotFoundError,
    ResultNotReadyError,
    TimeRange,
    Webhook,
)
from sentiloc.client.errors import Code
from tests.proofs.batch import clip_server
from tests.service.running import JOB_SECONDS, RunningService
from tests.support.environments import ROOT, Environment, build
from tests.support.listeners import listening
from tests.support.services import wait_for

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def test_the_client_goes_all_the_way(service: RunningService, clips: Path) -> None:
    told: list[tuple[int, int]] = []
    path, options = clips / "short.mp4", JobOptions(threshold=0.0, metadata={"tour": "all the way"})
    with Client(service.url) as client:
        assert client.ready().ready
        assert client.limits().max_upload_bytes == 100 << 20
        assert any(model.is_default for model in client.models())
        job = client.submit(path, options, idempotency_key="tour", progress=lambda *at: told.append(at))
        assert client.submit(path, options, idempotency_key="tour").id == job.id
        assert told[-1] == (path.stat().st_size, path.stat().st_size)
        events = list(client.watch(job.id))
        assert events[-1].state is JobState.SUCCEEDED
        assert [event.id for event in client.watch(job.id, after=events[0].id)][-1] == events[-1].id
        job = client.wait(job.id, timeout=JOB_SECONDS)
        assert (job.source.name, job.options.metadata) == ("short.mp4", {"tour": "all the way"})
        result = client.result(job.id)
        assert result.curve == client.curve(job.id)
        assert client.result(job.id, Cut(threshold=1.0, labels=("positive",))).options.threshold == 1.0
        for known in client.formats():
            client.render(job.id, known.name)
        assert json.loads(client.render(job.id, "json"))["video"]["duration"] == result.video.duration
        correction = Feedback(
            segments=(FeedbackSegment(start=0.5, end=1.0, label="positive"),),
            points=(FeedbackPoint(time=0.7, label="positive"),),
        )
        assert client.give_feedback(job.id, correction).feedback == correction
        assert [kept.feedback for kept in client.feedback(job.id)] == [correction]
        listed = list(client.list_jobs(state=(JobState.SUCCEEDED,), metadata={"tour": "all the way"}))
        assert [found.id for found in listed] == [job.id]
        assert client.cancel(job.id).state is JobState.SUCCEEDED
        client.delete(job.id)
        with pytest.raises(NotFoundError):
            client.status(job.id)


def test_an_upload_goes_on_after_its_program_and_a_webhook_is_sent_again(
    service: RunningService, clips: Path
) -> None:
    path, begun = clips / "short.mp4", list[str]()
    told: list[tuple[int, int]] = []
    seen: list[int] = []

    def stop(sent: int, _total: int) -> None:
        # At the end of the second piece, and again before the third: the second is answered, of the third nothing sent.
        if sent == 8000 and sent in seen:
            raise KeyboardInterrupt
        seen.append(sent)

    with listening() as receiver, Client(service.url) as client:
        with pytest.raises(KeyboardInterrupt):
            client.submit_resumable(path, piece_bytes=4000, progress=stop, on_begin=begun.append)
        url = f"http://127.0.0.1:{receiver.port}/hook"
        options = JobOptions(webhook=Webhook(url=url, secret=SECRET))
        job = client.submit_resumable(path, options, upload=begun[0], progress=lambda *at: told.append(at))
        assert told[0][0] == 8000
        assert told[-1][0] == path.stat().st_size
        assert client.submit_resumable(path, options, upload=begun[0]).id == job.id == begun[0]
        assert client.wait(job.id, timeout=JOB_SECONDS).state is JobState.SUCCEEDED
        wait_for(lambda: client.webhook_log(job.id).state == "delivered")
        assert client.deliver_again(job.id).event_id == f"msg_{job.id}"
        wait_for(lambda: len(client.webhook_log(job.id).deliveries) == 2)
    assert len(receiver.requests) == 2
    assert all(
        f"webhook-id: msg_{job.id}".lower().encode() in request.lower() for request in receiver.requests
    )


async def _tour(url: str, clips: Path) -> None:
    async with AsyncClient(url) as client:
        results = await asyncio.gather(
            *(client.localize(clips / "short.mp4", timeout=JOB_SECONDS) for _ in range(2))
        )
        assert [result.video.width for result in results] == [128, 128]
        resumed = await client.submit_resumable(clips / "short.mp4", piece_bytes=5000)
        assert resumed.source.bytes == (clips / "short.mp4").stat().st_size
        assert (await client.webhook_log(resumed.id)).deliveries == ()
        with pytest.raises(ApiError) as caught:
            await client.submit_presigned(clips / "short.mp4")
        assert caught.value.code == Code.NOT_PRESIGNED
        running = await client.submit(clips / "long.mp4")
        with pytest.raises(ResultNotReadyError):
            await client.result(running.id)
        async for event in client.watch(running.id):
            if event.state is JobState.EXTRACTING:
                assert (await client.cancel(running.id)).state is JobState.CANCELLED
        assert event.kind == "final"
        assert (await client.wait(running.id)).state is JobState.CANCELLED
        await client.delete(running.id)


def test_the_async_client_does_things_at_the_same_time(service: RunningService, clips: Path) -> None:
    asyncio.run(_tour(service.url, clips))


def sentiloc(service: RunningService, *arguments: str) -> Result:
    return CliRunner().invoke(root, [*arguments, "--server", service.url])


def test_commands_send_follow_and_fetch(service: RunningService, clips: Path, tmp_path: Path) -> None:
    sent = sentiloc(service, "submit", str(clips / "short.mp4"), "--wait", "--json", "--threshold", "0")
    assert sent.exit_code == 0, sent.output
    job = json.loads(sent.stdout)
    assert (job["state"], job["options"]["threshold"]) == ("succeeded", 0.0)
    assert job["id"] in sentiloc(service, "status").stdout
    assert sentiloc(service, "status", job["id"]).stdout == f"{job['id']}  short.mp4: succeeded\n"
    watched = sentiloc(service, "watch", job["id"], "--json")
    assert json.loads(watched.stdout.splitlines()[-1])["kind"] == "final"
    path = tmp_path / "segments.vtt"
    assert sentiloc(service, "result", job["id"], "--format", "vtt", "-o", str(path)).exit_code == 0
    assert path.read_text(encoding="utf-8").startswith("WEBVTT")
    piped = sentiloc(service, "result", job["id"], "--threshold", "1", "--label", "positive")
    assert json.loads(piped.stdout)["options"]["labels"] == ["positive"]
    drawn = sentiloc(service, "result", job["id"], "--format", "text")
    assert drawn.stdout.startswith("short.mp4  ")
    assert "0:02.0" in drawn.stdout


def test_commands_send_in_pieces_or_name_a_url(service: RunningService, clips: Path) -> None:
    video = (clips / "short.mp4").read_bytes()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(video)
    with listening(head + video) as elsewhere:
        url = f"http://127.0.0.1:{elsewhere.port}/short.mp4"
        ids = sentiloc(service, "submit", url, str(clips / "short.mp4"), "--resumable", "--end", "1")
        assert ids.exit_code == 0, ids.output
        with Client(service.url) as client:
            jobs = [client.wait(job, timeout=JOB_SECONDS) for job in ids.stdout.split()]
    assert [job.source.url for job in jobs] == [url, None]
    assert [job.state for job in jobs] == [JobState.SUCCEEDED] * 2
    assert {job.options.time_range for job in jobs} == {TimeRange(start=0.0, end=1.0)}


def test_a_file_of_urls_is_one_batch(service: RunningService, clips: Path, tmp_path: Path) -> None:
    listed = tmp_path / "urls.txt"
    with clip_server(tmp_path / "served") as base:
        item = json.dumps({"url": f"{base}/1/b.mp4", "name": "second", "tags": ["x"]})
        listed.write_text(f"# two videos\n{base}/0/a.mp4\n\n{item}\n", encoding="utf-8")
        key = ("--idempotency-key", f"file-{tmp_path.name}", "--threshold", "0.2")
        sent = sentiloc(service, "batch", str(listed), "--no-wait", *key)
        assert sent.exit_code == 0, sent.output
        done = sentiloc(service, "batch", str(listed), *key)
        assert done.exit_code == 0, done.output
        assert f"sent as {sent.stdout.strip()}: 2 videos" in done.stderr
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert [(one["state"], one["name"]) for one in lines] == [
            ("succeeded", "a.mp4"),
            ("succeeded", "second"),
        ]
        archive = tmp_path / "all.zip"
        zipped = sentiloc(service, "batch", str(listed), *key, "-f", "vtt", "-o", str(archive))
        assert zipped.exit_code == 0, zipped.output
        with zipfile.ZipFile(archive) as opened:
            assert sum(name.endswith(".vtt") for name in opened.namelist()) == 2
        listed.write_text(f"{base}/0/a.mp4\n{base}/missing/c.mp4\n", encoding="utf-8")
        failed = sentiloc(service, "batch", str(listed), "-o", str(tmp_path / "lines.jsonl"))
        assert failed.exit_code == 1
        states = [
            json.loads(line)["state"]
            for line in (tmp_path / "lines.jsonl").read_text(encoding="utf-8").splitlines()
        ]
        assert states == ["succeeded", "failed"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("\n# nothing\n", "no URL"),
        ("{not json}", "line 1"),
        ('{"url": "http://a/", "colour": 1}', "colour"),
    ],
)
def test_a_file_that_is_no_list_of_urls_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "urls.txt").write_text(text, encoding="utf-8")
    refused = CliRunner().invoke(root, ["batch", str(tmp_path / "urls.txt")])
    assert refused.exit_code == 2
    assert reason in " ".join(refused.output.split())


def test_the_client_manages_keys_and_webhooks(service: RunningService) -> None:
    with Client(service.url) as client:
        assert client.own_key().required is False
        made = client.create_key("desk", scopes=("read",), quota_minutes=5.0)
        assert made.key is not None and made.key.startswith(f"sentiloc_{made.id}_")
        rotated = client.rotate_key(made.id, grace_seconds=60)
        assert rotated.key not in (None, made.key)
        assert client.revoke_key(made.id).revoked_at is not None
        assert [one.id for one in client.list_keys()].count(made.id) == 1
        hook = client.create_webhook("https://edit.example/hooks", events=("job.succeeded",))
        assert hook.secret is not None
        assert client.rotate_webhook(hook.id).secret not in (None, hook.secret)
        changed = client.update_webhook(hook.id, events=None, enabled=False)
        assert (changed.events, changed.enabled, changed.secrets) == (None, False, 2)
        assert client.webhook(hook.id) in client.list_webhooks()
        assert client.webhook_deliveries(hook.id) == ()
        client.delete_webhook(hook.id)
        with pytest.raises(NotFoundError):
            client.webhook(hook.id)
    asyncio.run(_manage(service.url))


async def _manage(url: str) -> None:
    async with AsyncClient(url) as client:
        made = await client.create_key("async", s3_prefixes=("s3://footage/a",))
        assert made in [
            replace(one, key=made.key, webhook_secret=made.webhook_secret) for one in await client.list_keys()
        ]
        await client.revoke_key(made.id)
        hook = await client.create_webhook("https://edit.example/hooks", description="async")
        assert [one.description for one in await client.list_webhooks()] == ["async"]
        await client.delete_webhook(hook.id)
        assert (await client.own_key()).required is False


def test_exit_statuses_distinguish_errors(service: RunningService, clips: Path) -> None:
    (clips / "broken.mp4").write_bytes(b"This is no video.")
    failed = sentiloc(service, "submit", str(clips / "broken.mp4"), "--wait")
    assert (failed.exit_code, "broken.mp4: failed: " in failed.stdout) == (1, True)
    running = sentiloc(service, "submit", str(clips / "long.mp4")).stdout.strip()
    waiting = sentiloc(service, "result", running)
    assert (waiting.exit_code, waiting.stdout) == (3, "")
    assert json.loads(sentiloc(service, "cancel", running, "--json").stdout)["state"] == "cancelled"
    assert sentiloc(service, "watch", running).exit_code == 1
    unknown = sentiloc(service, "status", "nobody")
    assert (unknown.exit_code, unknown.stderr.count("\n")) == (4, 1)
    assert sentiloc(service, "result", running, "--format", "docx").exit_code == 2
    assert sentiloc(service, "submit", "none.mp4").exit_code == 2


def test_an_absent_server_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = CliRunner().invoke(root, ["status"], env={"SENTILOC_SERVER": address})
    assert done.exit_code == 5
    assert address in done.stderr
    assert "sentiloc serve" in done.stderr


def test_the_client_alone_needs_httpx_and_nothing_else(
    service: RunningService, clips: Path, tmp_path: Path
) -> None:
    """The first lines of its README, in an environment that holds the client and httpx."""
    folder = ROOT / "clients" / "python"
    environment = Environment(tmp_path / "environment")
    environment.link("httpx")
    environment.install(str(build(folder, tmp_path / "wheel")))
    lines = (folder / "README.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    script = lines.replace("http://127.0.0.1:8000", service.url).replace(
        "holiday.mp4", str(clips / "short.mp4")
    )
    done = environment.run("-c", f"{script}\nimport sys; print('numpy' in sys.modules)")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "False"
    assert environment.run("-c", "import sentiloc").returncode != 0
