"""A short run of `tests.proofs.fuzz_media`: damaged videos end as a success or a typed error and leave no files."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.proofs.fuzz_media import SUFFIXES, Fuzz
from tests.proofs.mutations import mutate
from tests.worker.decoding import leaves_nothing_behind

_clean = pytest.fixture(autouse=True)(leaves_nothing_behind)

MUTANTS = 60


def test_damaged_videos_end_as_success_or_typed_error(tmp_path: Path) -> None:
    fuzz = Fuzz(tmp_path, whole_every=10**9)
    # A whole-pipeline run costs the loading of the models: the long command does those.
    row = fuzz.batch(1, MUTANTS)
    assert row["untyped"] == []
    assert sum(row["codes"].values()) == MUTANTS
    assert row["codes"]["success"] > 0
    assert len(row["codes"]) > 2
    assert len(row["families"]) > 6
    assert set(row["families"]) <= set(SUFFIXES)


def test_a_mutant_is_repeatable_and_differs(tmp_path: Path) -> None:
    fuzz = Fuzz(tmp_path, whole_every=10**9)
    for number in range(20):
        assert fuzz.mutant(number) == fuzz.mutant(number)
    assert len({fuzz.mutant(number) for number in range(20)}) == 20


def test_tiny_inputs_can_be_damaged() -> None:
    for length in range(40):
        mutate(bytes(length), b"other bytes", random.Random(length))
