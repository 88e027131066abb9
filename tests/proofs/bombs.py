"""Files with excessive demands: time, error and memory of each refusal.

    python -m tests.proofs.bombs [--work runs/bombs]

Each file is decoded by a worker's decoder with the default limits in its own process, so the peak memory belongs to
that file. Seconds include the start of the decoder's interpreter; on a busy machine only its processor seconds are
reliable.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

from sentiloc.model.errors import SentilocError
from sentiloc.worker.decoder.decode import DecodeLimits, DecodeRequest, decode
from tests.proofs.bomb_files import BOMBS
from tests.proofs.faults.rig import Row, save

REQUEST = DecodeRequest(face_samples=(4, 11), visual_size=224, audio_rate=16_000)
MOST_SECONDS, MOST_BYTES = 2.0, 512 << 20


def one(path: Path) -> Row:
    """Decode in this process; returns the outcome."""
    started = time.monotonic()
    try:
        code = f"{sum(1 for _ in decode(path, REQUEST, DecodeLimits()))} events"
    except SentilocError as error:
        code = str(error.code)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "outcome": code,
        "seconds": round(time.monotonic() - started, 2),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
        "decoder_peak_bytes": used.ru_maxrss * 1024,
    }


def measure(path: Path) -> Row:
    """`one` in a process of its own."""
    command = [sys.executable, "-m", "tests.proofs.bombs", "--one", str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    row: Row = {"file_bytes": path.stat().st_size, **json.loads(done.stdout)}
    return row


def passes(row: Row) -> bool:
    """Whether the file was refused soon and with little memory."""
    seconds = min(row["seconds"], row["cpu_seconds"])
    return (
        not row["outcome"].endswith("events")
        and seconds <= MOST_SECONDS
        and row["decoder_peak_bytes"] < MOST_BYTES
    )


def main() -> None:
    """Make missing files, measure all, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=Path("runs") / "bombs")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one is not None:
        print(json.dumps(one(args.one)))
        return
    args.work.mkdir(parents=True, exist_ok=True)
    rows = {}
    for name, build in BOMBS.items():
        path = args.work / name
        if not path.exists():
            build(path)
        rows[name] = measure(path)
        print(name, rows[name], flush=True)
    failed = [name for name, row in rows.items() if not passes(row)]
    save("bombs", "python -m tests.proofs.bombs", {"bombs": rows, "failed": failed, "passed": not failed})


if __name__ == "__main__":
    main()
