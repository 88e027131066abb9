"""Traces are off by default; a job's span in the worker belongs to the request that created the job."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from sentiloc.app.jobs.store import JobStore
from sentiloc.app.main import create_app
from sentiloc.app.settings import Settings
from sentiloc.app.telemetry import tracing
from tests.app.asking import upload
from tests.support.services import ROOT

memory = pytest.importorskip(
    "opentelemetry.sdk.trace.export.in_memory_span_exporter", reason="needs the extra `otel`"
)


def make_exporter() -> tuple[Any, Any]:
    """An exporter that keeps spans in memory, and its processor."""
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    exporter = memory.InMemorySpanExporter()
    return exporter, SimpleSpanProcessor(exporter)


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The exporter of the application's spans."""
    exporter, processor = make_exporter()
    monkeypatch.setattr(tracing, "_otlp_processor", lambda: processor)
    yield exporter
    tracing.stop_tracing()


def test_a_job_s_span_joins_its_request(exporter: Any, settings: Settings, store: JobStore) -> None:
    outer = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    traced = settings.model_copy(update={"tracing": True})
    with TestClient(create_app(traced), headers={"traceparent": outer}) as client:
        job_id = upload(client).json()["id"]
    request = next(one for one in exporter.get_finished_spans() if one.name == "POST /localize")
    assert f"{request.context.trace_id:032x}" == outer.split("-")[1]
    assert request.attributes["http.response.status_code"] == 202
    record = store.get(job_id)
    assert record is not None and record.trace is not None
    assert record.trace.split("-")[1:3] == [outer.split("-")[1], f"{request.context.span_id:016x}"]
    at_worker, processor = make_exporter()
    tracing.configure_tracing(traced, "worker", processor)
    with tracing.span("job", record.trace, {"job.id": job_id}), tracing.span("localize"):
        pass
    inner, job = at_worker.get_finished_spans()
    assert job.parent.span_id == request.context.span_id
    assert inner.parent.span_id == job.context.span_id
    assert job.resource.attributes["service.name"] == "sentiloc-worker"


def test_nothing_is_traced_or_loaded_by_default(client: TestClient, store: JobStore) -> None:
    # The Redis client loads the SDK by itself where it is installed; the exporter is only ours.
    job = store.get(upload(client).json()["id"])
    assert job is not None and job.trace is None
    script = (
        "import sys, sentiloc.app.main; from sentiloc.app.settings import Settings\n"
        "from sentiloc.app.telemetry import tracing\n"
        "tracing.configure_tracing(Settings(), 'api')\n"
        "with tracing.span('x') as found: assert found is None\n"
        "sys.exit(any(name.startswith('opentelemetry.exporter') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0
