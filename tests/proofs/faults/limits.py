"""Rows 10 and 15: a decoder that reaches its limits, and a requested GPU that is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.proofs.faults.rig import Row, clip, is_whole, outcome, running
from tests.service.running import RunningService
from tests.support.services import wait_for

LIMITS: dict[str, dict[str, Any]] = {
    "memory": {"decoder_memory_bytes": 150 << 20},
    "wall time": {"decoder_wall_seconds": 0.05},
}


def prove_limits(work: Path, _: int) -> Row:
    """One video exceeds each limit; the same worker process then decodes the next video.

    (CPU: `test_decoder_limits`.)
    """
    video = clip(work, "dense.mp4", 20.0, size=(320, 240))
    rows: dict[str, Row] = {}
    for name, settings in LIMITS.items():
        with running(work, "limits", **settings) as service:
            child = service.worker_child()
            ends = [outcome(service, service.submit(video)) for _ in range(2)]
            rows[name] = {"ends": ends, "worker_lives": service.worker_child() == child}
    right = all(
        row["worker_lives"] and all(end["error"] == "resource_limit" and is_whole(end) for end in row["ends"])
        for row in rows.values()
    )
    return {"limits": rows, "passed": right}


def prove_gpu(work: Path, _: int) -> Row:
    """A service set to CUDA on a machine without: it reports the missing device and never uses the CPU instead."""
    rows = {device: _ask_for(work, device) for device in ("cuda", "tensorrt")}
    return {
        "devices": rows,
        "passed": all(
            row["status"] == 503 and row["said"] and row["a_job_then"] == [503, "model_unavailable"]
            for row in rows.values()
        ),
    }


def _ask_for(work: Path, device: str) -> Row:
    service = RunningService(work / f"gpu_{device}", device=device)
    service.folder.mkdir(parents=True, exist_ok=True)
    service.launch()
    try:
        wait_for(lambda: "cannot localize yet" in service.output, 180)
        service.client.base_url = service.url
        answer = service.client.get("/readyz")
        body = answer.json()
        # No worker has the device, so a job is refused instead of waiting without an answer.
        refused = service.post(clip(work, "moment.mp4", 0.4))
        return {
            "status": answer.status_code,
            "reasons": body["reasons"],
            "devices": [worker["device"] for worker in body["workers"]],
            "said": any(reason in service.output for reason in body["reasons"]),
            "a_job_then": [refused.status_code, refused.json().get("code")],
        }
    finally:
        service.stop()
