"""Settings that contradict each other are refused at the start, with the reason."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from sentiloc.app.settings import Settings


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"webhook_backoff_seconds": 100, "webhook_backoff_max_seconds": 50}, "webhook_backoff_seconds"),
        ({"fault_pause_seconds": 60, "fault_pause_max_seconds": 30}, "fault_pause_seconds"),
        ({"upload_idle_seconds": 30, "upload_expiry_seconds": 10}, "upload_idle_seconds"),
        ({"stall_cpu_seconds": 50, "stall_busy_seconds": 45}, "stall_cpu_seconds"),
        ({"stall_seconds": 60}, "stall_seconds"),
        ({"model_load_seconds": 40_000}, "model_load_seconds"),
        ({"fetch_seconds": 7200, "job_time_limit_seconds": 3600}, "fetch_seconds"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, float], reason: str) -> None:
    with pytest.raises(ValidationError, match=f"{reason} must not be greater than"):
        Settings(**changes)  # type: ignore[arg-type]


def test_the_defaults_fit_together() -> None:
    assert Settings().fault_pause_seconds <= Settings().fault_pause_max_seconds
