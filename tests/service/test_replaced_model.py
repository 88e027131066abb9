"""A model package that is replaced under load: every result names the version that computed its scores."""

from __future__ import annotations

import pytest

from tests.proofs.faults.releases import prove_replacement


def test_results_name_the_version_that_scored_them(tmp_path_factory: pytest.TempPathFactory) -> None:
    # A socket's path must be short.
    found = prove_replacement(tmp_path_factory.mktemp("r"), 6)
    assert found["passed"], found
