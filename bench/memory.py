"""Peak memory of the whole service (supervisor, API, worker, decoder, Redis) by length of the video.

    python -m bench.memory --minutes 10 120 [--height 144] [--clips FOLDER]

The memory is the PSS of all processes, sampled twice a second from upload to result. Each length has its own service.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from bench.clips import make_clip
from bench.harness import Service, benchmark_parser, save

RESULTS = Path(__file__).parent / "results" / "memory.json"


def measure(clips: Path, minutes: float, height: int, model: str) -> dict[str, Any]:
    """Upload one video of `minutes`; returns seconds and MiB."""
    video = make_clip(clips, "h264", height, 60 * minutes)
    with tempfile.TemporaryDirectory() as folder, Service(Path(folder), model=model) as service:
        idle, busy = service.tree.peak_mib, service.tree.cpu_seconds()
        service.tree.forget()
        start = time.perf_counter()
        result = service.wait(service.submit(video))
        return {
            "minutes": result["video"]["duration"] / 60,
            "height": height,
            "model": model,
            "seconds": time.perf_counter() - start,
            "cpu_seconds": service.tree.cpu_seconds() - busy,
            "starting_mib": idle,
            "peak_mib": service.tree.peak_mib,
            "parts_mib": service.tree.peak_parts,
            "timings": result["timings"],
        }


def main() -> None:
    parser = benchmark_parser(__doc__, RESULTS)
    parser.add_argument("--minutes", type=float, nargs="+", default=[10, 120])
    parser.add_argument("--height", type=int, default=144)
    parser.add_argument("--model", default="fsenet-starter")
    options = parser.parse_args()
    rows = []
    for minutes in options.minutes:
        rows.append(measure(options.clips, minutes, options.height, options.model))
        print(
            f"{rows[-1]['minutes']:7.1f} min {options.height}p: {rows[-1]['peak_mib']:6.0f} MiB", flush=True
        )
        ratio = rows[-1]["peak_mib"] / rows[0]["peak_mib"]
        save(options.out, {"rows": rows, "last_to_first": ratio})


if __name__ == "__main__":
    main()
