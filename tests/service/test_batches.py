"""A batch through the whole service with the Python client: from URLs and stored objects to one archive."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sentiloc.client import BatchItem, Client, JobOptions, JobState, Result
from tests.proofs.batch import clip_server, run
from tests.service.running import JOB_SECONDS, RunningService
from tests.support.s3_server import BUCKET, s3_server
from tests.support.web_files import web_files


@pytest.fixture
def web(clips: Path) -> Iterator[str]:
    with web_files(clips) as url:
        yield url


def test_a_batch_of_urls_and_objects_comes_to_its_end(tmp_path: Path, clips: Path, web: str) -> None:
    with s3_server() as store:
        boto3 = pytest.importorskip("boto3")
        s3 = boto3.client("s3", endpoint_url=store, region_name="us-east-1")
        s3.upload_file(str(clips / "short.mp4"), BUCKET, "week/short clip.mp4")
        service = RunningService(
            tmp_path,
            storage_endpoint=store,
            s3_sources=f'["s3://{BUCKET}/week"]',
            feature_cache_bytes=1 << 28,
        )
        try:
            service.start()
            with Client(service.url) as client:
                check_batch(client, web)
        finally:
            service.stop()


def check_batch(client: Client, web: str) -> None:
    items = [
        BatchItem(url=f"{web}/short.mp4", tags=("a",)),
        BatchItem(url=f"s3://{BUCKET}/week/short clip.mp4", name="B.mp4"),
        BatchItem(url=f"{web}/nothing.mp4"),
        BatchItem(url=f"s3://{BUCKET}/week/nothing.mp4"),
    ]
    batch = client.submit_batch(items, JobOptions(metadata={"week": 12}), name="Week 12")
    ended = client.wait_batch(batch.id, timeout=JOB_SECONDS)
    assert (ended.counts.succeeded, ended.counts.failed, ended.progress) == (2, 2, 1.0)
    lines = client.batch_results(batch.id)
    assert [line.job_id for line in lines] == list(batch.job_ids)
    assert isinstance(lines[1].result, Result)
    assert [line.error.code for line in lines if line.error] == ["url_unreachable"] * 2
    archive = zipfile.ZipFile(io.BytesIO(client.export_batch(batch.id, "csv")))
    assert archive.namelist() == ["short.csv", "B.csv", "index.csv"]
    assert client.status(batch.job_ids[0]).duration == pytest.approx(2.0, abs=0.2)
    again = client.wait(client.rerun(batch.job_ids[0], threshold=0.1).id, timeout=JOB_SECONDS)
    assert (again.state, again.rerun_of) == (JobState.SUCCEEDED, batch.job_ids[0])
    timings = client.result(again.id).timings
    assert "face" not in timings, "features were extracted again"
    assert len(client.diff(batch.job_ids[0], again.id).lost) == 0
    assert client.update(again.id, tags=["x"], metadata={"week": None}).options.tags == ("x",)
    assert client.summary(batch=batch.id).states == {"succeeded": 2, "failed": 2}
    assert [job.id for job in client.list_page(tag=("a",), sort="name").jobs][-1] == batch.job_ids[0]
    assert sum(day.succeeded for day in client.usage()) == 3
    assert client.delete_jobs(tag=("x",)).deleted == 1
    client.delete_batch(batch.id)
    assert client.list_page().jobs == ()


def test_many_urls_come_to_their_end(tmp_path: Path) -> None:
    """`python -m tests.proofs.batch` does the same with a thousand, and measures the memory."""
    service = RunningService(tmp_path, feature_cache_bytes=64 << 20)
    service.start()
    try:
        with clip_server(tmp_path / "clips") as base:
            found = run(service, base, 25)
    finally:
        service.stop()
    assert found["states"] == {"succeeded": 24, "failed": 1}
    assert (found["errors"], found["with_result"]) == ({"url_unreachable": 1}, 24)
    assert found["jobs_in_order"] and found["repeat_is_the_same"] and found["finals_not_one"] == 0
    assert (found["jobs_of_the_batch"], found["batches"]) == (25, 1)
