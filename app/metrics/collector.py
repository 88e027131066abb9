"""The service's metrics for Prometheus. Labels are states, queues, stages and models, never jobs or keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from sentiloc.app.jobs.presence import WorkerPresence
from sentiloc.app.jobs.record import TERMINAL, JobState
from sentiloc.app.metrics.job_counters import FACTOR_BUCKETS, STAGE_BUCKETS
from sentiloc.app.metrics.queue import QueueMetrics
from sentiloc.app.storage.disk import free_bytes
from sentiloc.app.webhooks.store import WebhookState

_OUTCOMES = {
    WebhookState.DELIVERED: "accepted",
    WebhookState.PENDING: "to_be_retried",
    WebhookState.FAILED: "given_up",
}


class ServiceCollector(Collector):
    """Turns the current state of queue, workers and broker into metric families."""

    def __init__(
        self, queue: QueueMetrics, workers: list[WorkerPresence], messages: Mapping[str, int]
    ) -> None:
        self._queue = queue
        self._workers = workers
        self._messages = messages

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family."""
        yield from self._jobs()
        yield from self._work()
        yield from self._models()

    def _jobs(self) -> Iterator[Metric]:
        queue = self._queue
        queued = {str(priority): count for priority, count in queue.queued.items()}
        yield _gauges("jobs_queued", "Jobs that wait for a worker", "priority", queued)
        yield _gauge(
            "oldest_queued_seconds",
            "Age in seconds of the oldest queued job, without those whose model no worker can run",
            queue.oldest_queued_seconds,
        )
        yield _gauge("jobs_unserved", "Queued jobs whose model no worker can run", queue.unserved)
        yield _gauge("jobs_running", "Jobs that a worker runs", sum(queue.running.values()))
        yield _gauge("jobs_kept", "Job records in any state", queue.kept)
        states = {JobState.QUEUED: sum(queue.queued.values()), **queue.running}
        yield _gauges("jobs", "Jobs that are not finished", "state", states)
        yield _gauges("queue_messages", "Broker messages that no worker has taken", "queue", self._messages)
        finished = {state: queue.counts.get("jobs", state) for state in TERMINAL}
        yield _counters("jobs_finished", "Jobs that have ended", "state", finished)
        yield _gauge("webhooks_waiting", "Webhooks that no receiver has accepted yet", queue.webhooks_waiting)
        tries = {name: queue.counts.get("webhooks", state) for state, name in _OUTCOMES.items()}
        yield _counters("webhook_deliveries", "Attempts to deliver a webhook", "outcome", tries)

    def _work(self) -> Iterator[Metric]:
        counts = self._queue.counts
        stages = HistogramMetricFamily(
            "sentiloc_stage_seconds", "Seconds that the stages of a job take", labels=["stage"]
        )
        for stage in counts.stages():
            found = counts.histogram(STAGE_BUCKETS, "stage", stage)
            stages.add_metric([stage], found.buckets, found.total)
        yield stages
        factor = counts.histogram(FACTOR_BUCKETS, "factor")
        meaning = "Seconds of work per second of video, by job"
        yield HistogramMetricFamily(
            "sentiloc_realtime_factor", meaning, buckets=factor.buckets, sum_value=factor.total
        )
        yield _counter(
            "media_seconds", "Seconds of video that were localized", counts.get("media_milliseconds") / 1000
        )
        yield _counter(
            "work_seconds", "Seconds that workers spent on it", counts.get("work_milliseconds") / 1000
        )
        yield _counter("video_bytes", "Bytes of video that were localized", counts.get("video_bytes"))

    def _models(self) -> Iterator[Metric]:
        yield _gauge("workers", "Worker processes that are alive", len(self._workers))
        paused = sum(worker.paused is not None for worker in self._workers)
        yield _gauge(
            "workers_paused", "Worker processes that take no jobs for a fault of their storage", paused
        )
        labels = ["model", "version", "device"]
        ready = GaugeMetricFamily(
            "sentiloc_worker_ready", "1 if a worker has the model loaded", labels=labels
        )
        # The count is a metric of its own: the value of `sentiloc_worker_ready` has always been 1.
        count = GaugeMetricFamily(
            "sentiloc_workers_ready", "Worker processes that have the model loaded", labels=labels
        )
        load = GaugeMetricFamily(
            "sentiloc_model_load_seconds", "Longest time to load it, in seconds", labels=labels
        )
        loads: dict[tuple[str, str, str], list[float]] = {}
        for worker in self._workers:
            if worker.is_ready:
                name = (worker.model, worker.model_version or "", worker.device or "")
                # One value per model and device: labels per worker would grow with every restart.
                loads.setdefault(name, []).append(worker.load_seconds or 0.0)
        for name, seconds in sorted(loads.items()):
            ready.add_metric(name, 1)
            count.add_metric(name, len(seconds))
            load.add_metric(name, max(seconds))
        yield ready
        yield count
        yield load


class DiskCollector(Collector):
    """The room that this API process has for uploads."""

    def __init__(self, folder: Path, reserve_bytes: int) -> None:
        self._folder = folder
        self._reserve_bytes = reserve_bytes

    def collect(self) -> Iterator[Metric]:
        """Yield both metric families; only the second one if the disk cannot be asked."""
        free = free_bytes(self._folder)
        if free is not None:
            yield _gauge("data_free_bytes", "Free bytes on the disk of this API process's data folder", free)
        meaning = "Free bytes below which this API process refuses uploads"
        yield _gauge("upload_reserve_bytes", meaning, self._reserve_bytes)


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(f"sentiloc_{name}", meaning, value=value)


def _counter(name: str, meaning: str, value: float) -> Metric:
    return CounterMetricFamily(f"sentiloc_{name}", meaning, value=value)


def _gauges(name: str, meaning: str, label: str, values: Mapping[Any, float]) -> Metric:
    family = GaugeMetricFamily(f"sentiloc_{name}", meaning, labels=[label])
    for value, count in values.items():
        family.add_metric([value], count)
    return family


def _counters(name: str, meaning: str, label: str, values: Mapping[Any, float]) -> Metric:
    family = CounterMetricFamily(f"sentiloc_{name}", meaning, labels=[label])
    for value, count in values.items():
        family.add_metric([value], count)
    return family
