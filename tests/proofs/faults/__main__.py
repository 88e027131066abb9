"""Proofs under faults. Each resumes an interrupted run, prints a summary and writes it to tests/proofs/results.

    python -m tests.proofs.faults kills        `kill -9` of the worker                  100 times, about 20 minutes
    python -m tests.proofs.faults redis api    `kill -9` of Redis, of the API           20 times each
    python -m tests.proofs.faults poison       a job that kills its worker
    python -m tests.proofs.faults visibility   three visibility timeouts
    python -m tests.proofs.faults sigterm      the worker is told to stop
    python -m tests.proofs.faults hang         a network that computes for ever
    python -m tests.proofs.faults disk         a volume that runs full; needs root
    python -m tests.proofs.faults limits       the decoder's limits
    python -m tests.proofs.faults gpu          a missing device
    python -m tests.proofs.faults releases     workers of two releases; needs the history
    python -m tests.proofs.faults upgrade      API and worker of two releases side by side: 500 jobs; needs the history
    python -m tests.proofs.faults sentinel     the primary of a replicated Redis is lost (3 Sentinels)
    python -m tests.proofs.faults several      three APIs and three workers, killed at random (--count seconds)
    python -m tests.proofs.faults outage       the object store is away under load (--count seconds, default 600)
    python -m tests.proofs.faults redis_outage Redis is away under load (--count seconds, default 600)
    python -m tests.proofs.faults replacement  a model package that is replaced under load

`--work` is a folder for the services' data and the ledgers of what was found (default: runs/faults).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from tests.proofs.faults import (
    disk,
    hangs,
    leases,
    limits,
    long_outages,
    outages,
    releases,
    sentinel,
    several,
    upgrade,
    worker_kills,
)
from tests.proofs.faults.rig import Row, save

PROOFS: dict[str, tuple[int, Callable[[Path, int], Row]]] = {
    "kills": (100, worker_kills.prove),
    "redis": (20, outages.prove_redis),
    "api": (20, outages.prove_api),
    "poison": (3, leases.prove_poison),
    "visibility": (3, leases.prove_visibility),
    "sigterm": (20, leases.prove_sigterm),
    "hang": (2, hangs.prove_hang),
    "disk": (1, disk.prove_disk),
    "limits": (1, limits.prove_limits),
    "gpu": (1, limits.prove_gpu),
    "releases": (12, releases.prove_releases),
    "upgrade": (500, upgrade.prove_upgrade),
    "sentinel": (3, sentinel.prove_sentinel),
    "several": (600, several.prove_several),
    "outage": (600, long_outages.prove_store_outage),
    "redis_outage": (600, long_outages.prove_redis_outage),
    "replacement": (40, releases.prove_replacement),
}


def main() -> None:
    """Run the requested proofs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("proofs", nargs="+", choices=[*PROOFS, "all"])
    parser.add_argument("--count", type=int, help="repetitions; default: each proof's own number")
    parser.add_argument("--work", type=Path, default=Path("runs") / "faults")
    args = parser.parse_args()
    work = args.work.resolve()
    for name in PROOFS if "all" in args.proofs else args.proofs:
        default, prove = PROOFS[name]
        count = args.count or default
        save(f"faults_{name}", f"python -m tests.proofs.faults {name} --count {count}", prove(work, count))


if __name__ == "__main__":
    main()
