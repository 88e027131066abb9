"""The order of the tests, and one thread for each process of theirs."""

from __future__ import annotations

import os

import pytest

LONG = (
    "service/test_whole_way.py",
    "service/test_model_wait.py",
    "service/test_tutorial.py",
    "service/test_faults.py",
    "bench/test_gpu.py",
    "cli/test_extract_workers.py",
    "cli/test_without_parts.py",
)
"""Files with few tests that take long. They begin first: at the end, one process would work on them alone."""

# PyTorch reads it when it is imported. Its threads wait for each other in loops, which on processors that others use
# takes many times the work: the networks of the tests are small.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move the long files to the front; otherwise keep the order."""
    items.sort(key=lambda item: not item.path.as_posix().endswith(LONG))
