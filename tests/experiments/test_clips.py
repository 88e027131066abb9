"""Videos for benchmarks are as long as they say, without a gap where they repeat."""

from __future__ import annotations

from pathlib import Path

from bench.clips import LOOP_SECONDS, make_clip
from sentiloc.worker.decoder.decode import AudioChunk, DecodeLimits, DecodeRequest, EndOfMedia, decode


def test_a_repeated_clip_has_every_frame_and_sample_twice(tmp_path: Path) -> None:
    path = make_clip(tmp_path, "h264", 144, 2 * LOOP_SECONDS)
    events = list(decode(path, DecodeRequest(audio_rate=16_000), DecodeLimits(threads=1)))
    end = events[-1]
    assert isinstance(end, EndOfMedia)
    assert end.frames == 2 * LOOP_SECONDS * 25
    assert abs(end.duration - 2 * LOOP_SECONDS) < 0.05
    heard = sum(len(event.samples) for event in events if isinstance(event, AudioChunk))
    assert abs(heard / 16_000 - 2 * LOOP_SECONDS) < 0.1
    assert make_clip(tmp_path, "h264", 144, 2 * LOOP_SECONDS) == path
