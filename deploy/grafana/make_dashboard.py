"""Writes the Grafana dashboard from the list of panels below: `python deploy/grafana/make_dashboard.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

# Every API process reports the same values, except for requests. `max` takes them once; `sum` would count them several
# times.
# Title, unit, expression, legend.
PANELS = [
    ("Queued jobs", "short", "max by (priority) (sentiloc_jobs_queued)", "{{priority}}"),
    ("Oldest queued job", "s", "max(sentiloc_oldest_queued_seconds)", "age"),
    ("Running jobs", "short", "max(sentiloc_jobs_running)", "running"),
    (
        "Workers ready",
        "short",
        "max by (model, version, device) (sentiloc_workers_ready)",
        "{{model}} {{version}} on {{device}}",
    ),
    (
        "Jobs ended a minute",
        "short",
        "60 * max by (state) (rate(sentiloc_jobs_finished_total[5m]))",
        "{{state}}",
    ),
    (
        "Seconds of work for a second of video",
        "short",
        "max(rate(sentiloc_work_seconds_total[15m])) / max(rate(sentiloc_media_seconds_total[15m]))",
        "ratio",
    ),
    (
        "Time of stages, median",
        "s",
        "histogram_quantile(0.5, sum by (le, stage) (rate(sentiloc_stage_seconds_bucket[15m])))",
        "{{stage}}",
    ),
    (
        "Requests a second",
        "reqps",
        "sum by (status) (rate(sentiloc_http_request_seconds_count[5m]))",
        "{{status}}",
    ),
    (
        "Requests, 99th percentile",
        "s",
        "histogram_quantile(0.99, sum by (le, route) (rate(sentiloc_http_request_seconds_bucket[5m])))",
        "{{route}}",
    ),
    ("Webhooks waiting", "short", "max(sentiloc_webhooks_waiting)", "waiting"),
    (
        "Webhook deliveries a minute",
        "short",
        "60 * max by (outcome) (rate(sentiloc_webhook_deliveries_total[5m]))",
        "{{outcome}}",
    ),
    ("Jobs kept", "short", "max(sentiloc_jobs_kept)", "records"),
]
_COLUMNS, _WIDTH, _HEIGHT = 3, 8, 7


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it; it asks for the Prometheus to use."""
    return {
        "title": "Sentiloc",
        "uid": "sentiloc",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [{"name": "source", "type": "datasource", "query": "prometheus"}]},
        "panels": [_panel(number, *row) for number, row in enumerate(PANELS)],
    }


def _panel(number: int, title: str, unit: str, expression: str, legend: str) -> dict[str, Any]:
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": title,
        "datasource": {"type": "prometheus", "uid": "${source}"},
        "gridPos": {
            "x": number % _COLUMNS * _WIDTH,
            "y": number // _COLUMNS * _HEIGHT,
            "w": _WIDTH,
            "h": _HEIGHT,
        },
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [{"refId": "A", "expr": expression, "legendFormat": legend}],
    }


if __name__ == "__main__":
    text = json.dumps(dashboard(), indent=2) + "\n"
    Path(__file__).with_name("sentiloc.json").write_text(text)
