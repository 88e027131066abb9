"""Compare the results of two states of the code on the same videos.

    python -m bench.agreement read FOLDER VIDEO ...      # once with each state of the code, or with --face-looks 1
    python -m bench.agreement compare BEFORE AFTER [-o FILE]

`read` writes the starter's results for each video: faces, segments, and processor seconds without the decoder's.
`compare` reports how many segments are kept (same label, overlap at least 0.9), in how many snippets a face is present
in only one result or the number of faces differs, and how well the embeddings correlate. No labels are used. For an
estimate of the usual noise, also read the same videos re-encoded with `ffmpeg -crf 18`.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.harness import save
from sentiloc.model.errors import SentilocError
from sentiloc.worker.config import RuntimeConfig
from sentiloc.worker.pipelines.registry import load_pipeline
from sentiloc.worker.pipelines.sentiment import SentimentPipeline

MODEL = "fsenet-starter"
KEPT_OVERLAP = 0.9
Segment = tuple[str, float, float]


def read(folder: Path, videos: list[Path], face_looks: int | None = None) -> None:
    """Write one file per video into the folder; existing ones are left unchanged."""
    folder.mkdir(parents=True, exist_ok=True)
    # One thread, so that processor time does not depend on how threads wait for each other.
    pipeline = load_pipeline(MODEL, RuntimeConfig(threads=1, face_looks=face_looks))
    assert isinstance(pipeline, SentimentPipeline)
    for video in videos:
        out = folder / f"{video.parent.name}__{video.name}.npz"
        if not out.exists():
            try:
                np.savez(out, **read_video(pipeline, video))
            except SentilocError as error:
                print(f"{video.name}: {error}", flush=True)


def read_video(pipeline: SentimentPipeline, video: Path) -> dict[str, Any]:
    """Faces (T, dim), where they are (T,), how many (T,), segments as JSON, and seconds."""
    # Of this process alone, because decoders are children, whose time does not depend on the networks.
    start = time.process_time()
    found = pipeline.extractor.extract(video, lambda *_: None)
    seconds = time.process_time() - start
    segments = pipeline.localize_features(found, pipeline.default_options).segments
    return {
        "face": found.features.face,
        "present": found.features.face_present,
        "count": found.faces.count if found.faces else np.zeros(len(found.features.face_present), np.int32),
        "segments": json.dumps([[one.label, one.start, one.end] for one in segments]),
        "seconds": seconds,
    }


@dataclass(slots=True)
class Agreement:
    """Sums over videos."""

    videos: int = 0
    snippets: int = 0
    presence_differs: int = 0
    count_differs: int = 0
    segments: int = 0
    segments_after: int = 0
    kept: int = 0
    seconds: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    correlations: list[float] = field(default_factory=list)

    def add(self, before: Any, after: Any) -> None:
        """Add the two results of one video."""
        count = min(len(before["present"]), len(after["present"]))
        present = [one["present"][:count] for one in (before, after)]
        self.videos += 1
        self.snippets += count
        self.presence_differs += int((present[0] != present[1]).sum())
        self.count_differs += int((before["count"][:count] != after["count"][:count]).sum())
        # Snippets in which only one result has a face are already counted by `presence_differs`.
        both = present[0] & present[1]
        pairs = zip(before["face"][:count][both], after["face"][:count][both], strict=True)
        self.correlations += [float(np.corrcoef(*pair)[0, 1]) for pair in pairs]
        old, new = (json.loads(str(one["segments"])) for one in (before, after))
        self.segments += len(old)
        self.segments_after += len(new)
        self.kept += sum(any(is_kept(one, other) for other in new) for one in old)
        self.seconds += np.array([float(before["seconds"]), float(after["seconds"])])

    def summary(self) -> dict[str, object]:
        """The totals, for JSON and the table."""
        shares = np.percentile(self.correlations or [1.0], [1, 5, 50]).round(5).tolist()
        return {
            "videos": self.videos,
            "snippets": self.snippets,
            "presence_differs": self.presence_differs,
            "count_differs": self.count_differs,
            "segments": [self.segments, self.segments_after],
            "kept": self.kept,
            "correlation_1_5_50_percent": shares,
            "seconds": self.seconds.round(2).tolist(),
        }


def is_kept(one: Segment, other: Segment) -> bool:
    """Same label, and intersection over union of the two times of at least KEPT_OVERLAP."""
    shared = min(one[2], other[2]) - max(one[1], other[1])
    union = max(one[2], other[2]) - min(one[1], other[1])
    return one[0] == other[0] and union > 0 and shared / union >= KEPT_OVERLAP


def compare(before: Path, after: Path) -> dict[str, object]:
    """The agreement of two folders of results, by folder of the videos and over all."""
    groups: dict[str, Agreement] = {}
    for path in sorted(after.glob("*.npz")):
        if (before / path.name).exists():
            with np.load(before / path.name) as old, np.load(path) as new:
                for group in (path.name.split("__")[0], "all"):
                    groups.setdefault(group, Agreement()).add(old, new)
    return {name: group.summary() for name, group in groups.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, dest="command")
    reading = commands.add_parser("read")
    reading.add_argument("folder", type=Path)
    reading.add_argument("videos", type=Path, nargs="+")
    reading.add_argument("--face-looks", type=int, help="frames of a snippet that are searched for faces")
    comparing = commands.add_parser("compare")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    comparing.add_argument("-o", "--out", type=Path)
    options = parser.parse_args()
    if options.command == "read":
        read(options.folder, options.videos, options.face_looks)
        return
    report = compare(options.before, options.after)
    for name, values in report.items():
        print(name, json.dumps(values))
    if options.out:
        save(options.out, report)


if __name__ == "__main__":
    main()
