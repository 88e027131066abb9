"""Proofs under faults; each goes on where it was stopped, prints a summary and writes it to bench/results.

    python -m bench.faults kills --count 100        row 1   [about 20 minutes]

`--work` is a folder for the services' data and the ledgers of what was found (default: runs/faults).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from bench.faults import worker_kills
from bench.faults.rig import Row, save

PROOFS: dict[str, tuple[int, Callable[[Path, int], Row]]] = {
    "kills": (100, worker_kills.prove),
}


def main() -> None:
    """Run the proofs that were asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("proofs", nargs="+", choices=[*PROOFS, "all"])
    parser.add_argument("--count", type=int, help="how often; the default is what the documents state")
    parser.add_argument("--work", type=Path, default=Path("runs") / "faults")
    args = parser.parse_args()
    for name in PROOFS if "all" in args.proofs else args.proofs:
        default, prove = PROOFS[name]
        count = args.count or default
        save(f"faults_{name}", f"python -m bench.faults {name} --count {count}", prove(args.work, count))


if __name__ == "__main__":
    main()
