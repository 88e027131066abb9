"""Damaged videos in the worker's real pipeline: each must end as a success or a typed error.

    python -m tests.proofs.fuzz_media [--mutants 10000] [--whole-every 200] [--work runs/fuzz]

Every mutant goes through the sandboxed decoder (forked from a warm process, otherwise as in serving), its pictures are
read and its sound goes through the audio extractor. One in `--whole-every`, and up to as many again of those that did
something new, go through the whole pipeline: faces, pictures, network and result. A mutant whose outcome was not seen
before (error, streams, size, counts) becomes a seed itself: the guidance there is without an instrumented libav. An
interrupted run can be resumed.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.package import load_package
from sentiloc.worker.config import RuntimeConfig
from sentiloc.worker.decoder.decode import (
    AudioChunk,
    DecodeLimits,
    DecodeRequest,
    EndOfMedia,
    SnippetFrames,
    VideoInfo,
    decode,
)
from sentiloc.worker.features.audio import AudioExtractor
from sentiloc.worker.pipelines.sentiment import SentimentPipeline, load_sentiment_pipeline
from tests.proofs.faults.rig import Ledger, Row, save
from tests.proofs.mutations import mutate
from tests.support.media import make_clip

LIMITS = DecodeLimits(threads=1, max_duration_seconds=60, cpu_seconds=20, wall_seconds=120, stall_seconds=60)
REQUEST = DecodeRequest(face_samples=(4, 11), visual_size=224, audio_rate=16_000)
SEEDS: dict[str, tuple[str, str | None, str]] = {
    "h264.mp4": ("libx264", "aac", "yuv420p"),
    "anim.webp": ("libwebp_anim", None, "yuv420p"),
    "av1.mp4": ("libsvtav1", "aac", "yuv420p"),
    "mpeg4.mov": ("mpeg4", "pcm_s16le", "yuv420p"),
    "prores.mov": ("prores_ks", "alac", "yuv422p10le"),
    "vp8.webm": ("libvpx", "libopus", "yuv420p"),
    "vp9.webm": ("libvpx-vp9", "libopus", "yuv420p"),
    "ffv1.mkv": ("ffv1", "flac", "yuv420p"),
    "hevc.mkv": ("libx265", "ac3", "yuv420p"),
    "mpeg4.avi": ("mpeg4", "libmp3lame", "yuv420p"),
    "mjpeg.avi": ("mjpeg", "pcm_s16le", "yuvj420p"),
    "mpeg2.ts": ("mpeg2video", "mp2", "yuv420p"),
    "h264.ts": ("libx264", "aac", "yuv420p"),
    "mpeg2.mxf": ("mpeg2video", "pcm_s16le", "yuv420p"),
    "jpeg2000.mxf": ("jpeg2000", None, "yuv422p"),
    "wmv2.wmv": ("wmv2", None, "yuv420p"),
    "dv.dv": ("dvvideo", None, "yuv420p"),
    "v210.mov": ("v210", None, "yuv422p10le"),
    "cineform.mov": ("cfhd", None, "yuv422p10le"),
    "png.mov": ("png", None, "rgb24"),
    "animation.mov": ("qtrle", None, "rgb24"),
    "magicyuv.avi": ("magicyuv", None, "yuv420p"),
    "anim.gif": ("gif", None, "gray"),
    "anim.apng": ("apng", None, "rgb24"),
    "vp9.ivf": ("libvpx-vp9", None, "yuv420p"),
}
SIZES = {"dv.dv": (720, 576), "cineform.mov": (128, 96)}
SUFFIXES = sorted({Path(name).suffix for name in SEEDS})
UNTYPED = {ErrorCode.INTERNAL}
_CRASHED = "decoding it crashed"
_BATCH = 250
_MOST_SEEDS = 400


def make_seeds(folder: Path) -> list[tuple[str, bytes]]:
    """Small real videos of every accepted container family that PyAV can encode: (suffix, content)."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (codec, audio, pixels) in SEEDS.items():
        if not (folder / name).exists():
            rate = 44_100 if audio == "libmp3lame" else 48_000
            look: dict[str, Any] = {
                "size": SIZES.get(name, (64, 48)),
                "codec": codec,
                "pixel_format": pixels,
                "audio": audio,
                "audio_rate": rate,
            }
            make_clip(folder / name, seconds=0.5, options=(), **look)
    return [(Path(name).suffix, (folder / name).read_bytes()) for name in SEEDS]


@dataclass(slots=True)
class Outcome:
    """The outcome of one mutant; `signature` distinguishes outcomes."""

    code: str
    detail: str = ""
    signature: tuple[object, ...] = field(default=())
    seconds: float = 0.0


def decode_and_listen(path: Path) -> Outcome:
    """Run the decoder and the audio extractor on one file. Only defects raise."""
    started = time.monotonic()
    info, shape, snippets, checksum = None, None, 0, 0
    sound = AudioExtractor()
    try:
        for event in decode(path, REQUEST, LIMITS):
            if isinstance(event, VideoInfo):
                info = event
            elif isinstance(event, SnippetFrames):
                snippets += 1
                shape = event.faces.shape
                checksum += int(event.faces[:, ::16, ::16].sum())
            elif isinstance(event, AudioChunk):
                sound.push(event.samples)
            elif isinstance(event, EndOfMedia):
                audio, _ = sound.finish(event.snippets)
                assert event.snippets == snippets == len(audio)
                assert np.isfinite(audio).all()
    except SentilocError as error:
        failed = (str(error.code), error.detail, snippets > 0)
        return Outcome(str(error.code), error.detail, failed, time.monotonic() - started)
    assert info is not None
    seen = ("ok", info.has_audio, shape, min(snippets, 8), round(info.fps), checksum == 0)
    return Outcome("success", "", seen, time.monotonic() - started)


def localize(pipeline: SentimentPipeline, path: Path) -> str:
    """Run the whole pipeline on one file, up to the JSON that would be stored."""
    try:
        result = pipeline.localize(path, lambda *_: None)
    except SentilocError as error:
        return str(error.code)
    json.dumps(result.to_dict(), allow_nan=False)
    return "success"


class Fuzz:
    """Mutants by number; the same number and seeds give the same mutant."""

    def __init__(self, work: Path, whole_every: int) -> None:
        self._path = work / "mutant"
        self._whole_every = whole_every
        self.seeds = make_seeds(work / "seeds")
        self._seen: set[tuple[object, ...]] = set()
        self.failures = work / "failures"
        self.failures.mkdir(parents=True, exist_ok=True)

    @cache  # noqa: B019
    def pipeline(self) -> SentimentPipeline:
        """Loaded when first needed."""
        return load_sentiment_pipeline(load_package("fsenet-starter"), RuntimeConfig(threads=1))

    def batch(self, first: int, count: int) -> Row:
        """Run mutants `first` to `first + count`; returns counts by outcome."""
        row: Row = {
            "first": first,
            "mutants": count,
            "whole": {},
            "untyped": [],
            "slowest": 0.0,
            "crashes": 0,
        }
        codes: Counter[str] = Counter()
        families: Counter[str] = Counter()
        whole: Counter[str] = Counter()
        for number in range(first, first + count):
            suffix, mutant = self.mutant(number)
            self._path.write_bytes(mutant)
            families[suffix] += 1
            try:
                outcome = decode_and_listen(self._path)
                codes[outcome.code] += 1
                row["slowest"] = max(row["slowest"], outcome.seconds)
                row["crashes"] += _CRASHED in outcome.detail
                is_new = self._learn(suffix, mutant, outcome)
                if number % self._whole_every == 0 or (
                    is_new and sum(whole.values()) < count // self._whole_every * 2
                ):
                    whole[localize(self.pipeline(), self._path)] += 1
                if outcome.code in UNTYPED or _CRASHED in outcome.detail:
                    self._keep(number, suffix, mutant, row, outcome.detail)
            except Exception as error:
                codes["untyped"] += 1
                self._keep(number, suffix, mutant, row, repr(error))
        return {**row, "codes": codes, "families": families, "whole": whole, "signatures": len(self._seen)}

    def mutant(self, number: int) -> tuple[str, bytes]:
        """Suffix and content of a mutant."""
        chance = random.Random(number)
        # Each container gets its share, however many of its mutants have become seeds.
        suffix = chance.choice(SUFFIXES)
        data = chance.choice([content for name, content in self.seeds if name == suffix])
        return suffix, mutate(data, chance.choice(self.seeds)[1], chance)

    def _learn(self, suffix: str, mutant: bytes, outcome: Outcome) -> bool:
        signature = (suffix, *outcome.signature)
        if signature in self._seen:
            return False
        self._seen.add(signature)
        if len(self.seeds) < _MOST_SEEDS:
            self.seeds.append((suffix, mutant))
        return True

    def _keep(self, number: int, suffix: str, mutant: bytes, row: Row, what: str) -> None:
        (self.failures / f"{number}{suffix}").write_bytes(mutant)
        row["untyped"].append(f"{number}{suffix}: {what}")


def batches(work: Path, mutants: int, whole_every: int) -> Iterator[Row]:
    """Run the batches that are not in the ledger yet; yields all rows."""
    ledger = Ledger(work / "fuzz.jsonl")
    yield from ledger.rows()
    done = sum(row["mutants"] for row in ledger.rows())
    fuzz = Fuzz(work, whole_every)
    while done < mutants:
        row = fuzz.batch(done, min(_BATCH, mutants - done))
        ledger.add(row)
        done += row["mutants"]
        yield row


def summary(rows: list[Row]) -> Row:
    """The sums over all batches."""
    total: dict[str, Counter[str]] = {
        name: sum((Counter(row[name]) for row in rows), Counter()) for name in ("codes", "families", "whole")
    }
    untyped = [text for row in rows for text in row["untyped"]]
    return {
        "mutants": sum(row["mutants"] for row in rows),
        "by_container": dict(total["families"]),
        "outcomes": dict(total["codes"]),
        "through_the_whole_pipeline": dict(total["whole"]),
        "decoder_crashes_contained": sum(row["crashes"] for row in rows),
        "slowest_seconds": round(max(row["slowest"] for row in rows), 1),
        "untyped": untyped,
        "passed": not any("crashed" not in text for text in untyped),
    }


def main() -> None:
    """Run and save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mutants", type=int, default=10_000)
    parser.add_argument("--whole-every", type=int, default=200)
    parser.add_argument("--work", type=Path, default=Path("runs") / "fuzz")
    args = parser.parse_args()
    rows = list(batches(args.work, args.mutants, args.whole_every))
    save("fuzz_media", f"python -m tests.proofs.fuzz_media --mutants {args.mutants}", summary(rows))


if __name__ == "__main__":
    main()
