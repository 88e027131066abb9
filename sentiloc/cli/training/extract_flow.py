"""`sentiloc extract --spec flow`: block flow of the face in every frame, for `sentiloc train --task gim`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentiloc.model.spec import ModelSpec
    from sentiloc.worker.config import RuntimeConfig


def extract_flows(videos: Sequence[Path], output: Path, spec: ModelSpec, config: RuntimeConfig) -> int:
    """Write FOLDER/flow/NAME.npy of each video; finished ones are skipped. Exit status: 1 if one failed."""
    import numpy as np
    from rich.console import Console
    from rich.progress import track

    from sentiloc.model.data.feature_store import write_spec
    from sentiloc.model.errors import SentilocError
    from sentiloc.model.gim.paths import FLOW_FOLDER
    from sentiloc.worker.pipelines.expression import extract_flow, load_flow_detector

    detector, limits = load_flow_detector(config.thread_count), config.decode_limits
    console, failed = Console(stderr=True), 0
    (output / FLOW_FOLDER).mkdir(parents=True, exist_ok=True)
    write_spec(output, spec)
    for video in track(videos, description="extracting", console=console):
        path = output / FLOW_FOLDER / f"{video.stem}.npy"
        if path.exists():
            continue
        try:
            found = extract_flow(video, spec, detector, limits, lambda _stage, _done: None)
        except SentilocError as error:
            failed = 1
            console.print(f"{video}: {error.detail} ({error.code})", style="red")
            continue
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.save(file, found.flow)
        partial.replace(path)
    return failed
