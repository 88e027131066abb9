"""The position of events of a variable-rate video and the drift of sound: one minute of `tests.proofs.two_hours`."""

from __future__ import annotations

from pathlib import Path

from tests.proofs.two_hours import measure, passes


def test_events_stay_on_their_frames_and_sound_on_its_picture(tmp_path: Path) -> None:
    row = measure(tmp_path, 60)
    assert row["pictures"]["variable_rate"]
    assert row["pictures"]["timebase"] == "30/1"
    assert passes(row), row
