"""The service's figures in Prometheus's form: states, queues, stages, names of models; never a job's or a key's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from sentiloc.app.jobs.presence import WorkerPresence
from sentiloc.app.jobs.record import TERMINAL, JobState
from sentiloc.app.metrics.job_counters import FACTOR_BUCKETS, STAGE_BUCKETS
from sentiloc.app.metrics.queue import StoreFigures
from sentiloc.app.webhooks.store import WebhookState

_OUTCOMES = {
    WebhookState.DELIVERED: "accepted",
    WebhookState.PENDING: "to_be_retried",
    WebhookState.FAILED: "given_up",
}


class Snapshot(Collector):
    """One moment's figures."""

    def __init__(
        self, figures: StoreFigures, workers: list[WorkerPresence], messages: Mapping[str, int]
    ) -> None:
        self._figures = figures
        self._workers = workers
        self._messages = messages

    def collect(self) -> Iterator[Metric]:
        """One family after the other."""
        yield from self._jobs()
        yield from self._work()
        yield from self._models()

    def _jobs(self) -> Iterator[Metric]:
        figures = self._figures
        queued = {str(priority): count for priority, count in figures.queued.items()}
        yield _gauges("jobs_queued", "Jobs that wait for a worker", "priority", queued)
        yield _gauge(
            "oldest_queued_seconds", "Age of the job that waits longest", figures.oldest_queued_seconds
        )
        yield _gauge("jobs_running", "Jobs that a worker holds", sum(figures.running.values()))
        yield _gauge("jobs_kept", "Job records of every state", figures.kept)
        states = {JobState.QUEUED: sum(figures.queued.values()), **figures.running}
        yield _gauges("jobs", "Jobs that are not finished", "state", states)
        yield _gauges("queue_messages", "Messages that no worker has taken", "queue", self._messages)
        finished = {state: figures.counts.get("jobs", state) for state in TERMINAL}
        yield _counters("jobs_finished", "Jobs that came to their end", "state", finished)
        yield _gauge("webhooks_waiting", "Webhooks that are still to be accepted", figures.webhooks_waiting)
        tries = {name: figures.counts.get("webhooks", state) for state, name in _OUTCOMES.items()}
        yield _counters("webhook_deliveries", "Tries to deliver a webhook", "outcome", tries)

    def _work(self) -> Iterator[Metric]:
        counts = self._figures.counts
        stages = HistogramMetricFamily(
            "sentiloc_stage_seconds", "What stages of a job take", labels=["stage"]
        )
        for stage in counts.stages():
            found = counts.histogram(STAGE_BUCKETS, "stage", stage)
            stages.add_metric([stage], found.buckets, found.total)
        yield stages
        factor = counts.histogram(FACTOR_BUCKETS, "factor")
        meaning = "Seconds of work for a second of video, by job"
        yield HistogramMetricFamily(
            "sentiloc_realtime_factor", meaning, buckets=factor.buckets, sum_value=factor.total
        )
        yield _counter("media_seconds", "Video that was localized", counts.get("media_milliseconds") / 1000)
        yield _counter(
            "work_seconds", "Time that workers spent on it", counts.get("work_milliseconds") / 1000
        )
        yield _counter("video_bytes", "Bytes of it", counts.get("video_bytes"))

    def _models(self) -> Iterator[Metric]:
        yield _gauge("workers", "Worker processes heard of lately", len(self._workers))
        labels = ["model", "version", "device"]
        ready = GaugeMetricFamily("sentiloc_worker_ready", "Loaded models", labels=labels)
        load = GaugeMetricFamily("sentiloc_model_load_seconds", "Longest time to load one", labels=labels)
        slowest: dict[tuple[str, str, str], float] = {}
        for worker in self._workers:
            if worker.is_ready:
                name = (worker.model, worker.model_version or "", worker.device or "")
                slowest[name] = max(slowest.get(name, 0.0), worker.load_seconds or 0.0)
        for name, seconds in sorted(slowest.items()):
            ready.add_metric(name, 1)
            load.add_metric(name, seconds)
        yield ready
        yield load


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
