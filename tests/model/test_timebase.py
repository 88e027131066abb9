"""Every frame rate maps to a standard rate: the nearest one whose grid fits."""

from __future__ import annotations

from fractions import Fraction

import pytest

from sentiloc.model.timebase import LEGAL_RATES, legal_rate, nearest_legal

NTSC = Fraction(1000, 1001)


@pytest.mark.parametrize("rate", LEGAL_RATES)
def test_a_legal_rate_is_its_own_timebase(rate: Fraction) -> None:
    assert legal_rate(float(rate)) == rate
    assert legal_rate(round(float(rate), 3)) == rate
    assert nearest_legal(float(rate)) == rate


@pytest.mark.parametrize(
    ("fps", "wanted"),
    [
        (1, 24),
        (5, 25),
        (10, 30),
        (12, 24),
        (12.5, 25),
        (15, 30),
        (14.985, 30 * NTSC),
        (20, 60),
        (29.87, 30 * NTSC),
        (30.02, 30),
        (90, 100),
        (144, 120),
        (239.76, 120 * NTSC),
        (240.05, 120),
        (1000, 120),
        (0, 25),
        (float("nan"), 25),
    ],
)
def test_other_rates_are_written_at_a_legal_one(fps: float, wanted: Fraction) -> None:
    assert legal_rate(fps) == wanted


def test_every_rate_from_one_to_a_thousand_has_a_legal_timebase() -> None:
    assert {legal_rate(tenth / 10) for tenth in range(1, 10_001)} <= set(LEGAL_RATES)
