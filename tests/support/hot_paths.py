"""Hot paths of a job as programs whose instructions can be counted.

    python -m tests.support.hot_paths     # count all, and write what was counted
    python -m tests.support.hot_paths run # run all, for valgrind

Each runs in one thread, on made input, so that two runs take the same instructions. What a run costs is the difference
between processes that run the path three times and once. So imports and input do not count. These processes are forked
from one that has imported everything, because an import takes longer than a path.
"""

from __future__ import annotations

import json
import mmap
import multiprocessing
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

COUNTED = Path(__file__).parent / "hot_paths.json"
_ROOT = Path(__file__).parents[2]
_SECONDS, _SNIPPETS, _FEW, _MANY = 2.0, 1_100, 1, 3
_LIBRARIES = ("av", "numpy")
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def decode(folder: Path) -> Callable[[], None]:
    """A pass over two seconds of video, as in the decoder's process: selection, pictures, sound, changes of shot."""
    from sentiloc.worker.decoder.channel import Sender
    from sentiloc.worker.decoder.child import perform
    from sentiloc.worker.decoder.request import DecodeLimits, DecodeRequest
    from sentiloc.worker.decoder.task import Output, Task
    from tests.support.media import make_clip

    video = folder / "clip.mp4"
    make_clip(video, seconds=_SECONDS, size=(320, 180), audio="aac", beeps=((0.2, 1.5),))
    request = DecodeRequest(face_samples=(4, 12), face_grey=True, audio_rate=16_000, find_shots=True)
    task = Task(
        media_fd=-1,
        frames_fd=os.memfd_create("frames"),
        out_fd=os.open(os.devnull, os.O_WRONLY),
        credit_fd=os.pipe()[0],
        slots=8,
        parent_pid=os.getpid(),
        container_format="mov",
        request=request,
        limits=replace(DecodeLimits(), threads=1),
        grab_seconds=None,
    )
    os.ftruncate(task.frames_fd, task.slots * request.slot_bytes)

    def run() -> None:
        memory = mmap.mmap(task.frames_fd, task.slots * request.slot_bytes)
        sender = Sender(task.out_fd, task.credit_fd, task.slots)
        with video.open("rb", buffering=0) as file:
            perform(task, file, Output(sender, memory, request))

    return run


def sound(_folder: Path) -> Callable[[], None]:
    """Log-mel features of four seconds of noise, in chunks as the decoder sends them."""
    from sentiloc.worker.features.audio import AudioExtractor

    chunks = np.random.default_rng(1).normal(0, 0.1, (8, 8_000)).astype(np.float32)

    def run() -> None:
        extractor = AudioExtractor()
        for chunk in chunks:
            extractor.push(chunk)
        extractor.finish(6)

    return run


def segments(_folder: Path) -> Callable[[], None]:
    """The segments and the JSON of a curve of twelve minutes."""
    from sentiloc.model.proposals.calibration import Calibration
    from sentiloc.model.results.cut import cut_segments
    from sentiloc.model.results.result import SegmentOptions, make_curve
    from sentiloc.model.segments import FrameScores

    rows = np.random.default_rng(2).random((_SNIPPETS, 4), np.float32)
    smooth = np.apply_along_axis(lambda row: np.convolve(row, np.ones(9) / 9, "same"), 0, rows)
    scores = FrameScores(scores=smooth[:, :3].astype(np.float32), saliency=smooth[:, 3].astype(np.float32))

    def run() -> None:
        curve = make_curve(scores, 0.64, (True,) * _SNIPPETS, {})
        cut_segments(curve, 0.64 * _SNIPPETS, Calibration(), SegmentOptions(threshold=0.3))

    return run


PATHS: dict[str, Callable[[Path], Callable[[], None]]] = {
    "decode": decode,
    "sound": sound,
    "segments": segments,
}


def count() -> dict[str, int]:
    """Instructions of one run of each path, by valgrind."""
    # Strings are hashed with a seed; another seed takes other instructions.
    settings = {**dict.fromkeys(_ONE_THREAD, "1"), "PYTHONHASHSEED": "0", "PYTHONPATH": str(_ROOT)}
    done = subprocess.run(
        [
            *("valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"),
            *(sys.executable, "-m", "tests.support.hot_paths", "run"),
        ],
        env={**os.environ, **settings},
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    # A forked process continues the count of its parent.
    instructions = {
        int(pid): int(refs.replace(",", ""))
        for pid, refs in re.findall(r"==(\d+)== I\s+refs:\s+([\d,]+)", done.stderr)
    }
    processes: dict[str, list[int]] = json.loads(done.stdout)
    counts = {name: [instructions[pid] for pid in pids] for name, pids in processes.items()}
    return {name: (many - few) // (_MANY - _FEW) for name, (few, many) in counts.items()}


def _run_all() -> None:
    """Run each path few and many times, in a forked process each, and write the ids of these processes as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: prepare(Path(folder)) for name, prepare in PATHS.items()}
        pids = {name: [_forked(run, times) for times in (_FEW, _MANY)] for name, run in runs.items()}
    sys.stdout.write(json.dumps(pids))


def _forked(run: Callable[[], None], times: int) -> int:
    """The id of a process that has run a path several times and has ended."""
    process = multiprocessing.get_context("fork").Process(target=_repeat, args=(run, times))
    process.start()
    process.join()
    assert process.pid is not None and process.exitcode == 0
    return process.pid


def _repeat(run: Callable[[], None], times: int) -> None:
    for _ in range(times):
        run()


def built_with() -> dict[str, str]:
    """What counts depend on besides our code."""
    python = ".".join(platform.python_version_tuple()[:2])
    valgrind = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, check=True)
    return {
        "python": python,
        "machine": platform.machine(),
        "valgrind": valgrind.stdout.strip(),
        **{name: version(name) for name in _LIBRARIES},
    }


def _write() -> None:
    counts: dict[str, Any] = {"built with": built_with(), "instructions": count()}
    COUNTED.write_text(json.dumps(counts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["run"]:
        _run_all()
    else:
        _write()
