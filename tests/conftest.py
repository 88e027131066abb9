"""The order of the tests."""

from __future__ import annotations

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move the long files to the front; otherwise keep the order."""
    items.sort(key=lambda item: not item.path.as_posix().endswith(LONG))
