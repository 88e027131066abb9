"""Legal timeline rates, and the choice of one for a video's frames and timecode.

Seconds in a result are exact. Editing formats count frames, and editing programs support only a small set of rates:
SMPTE's and their doubles. Any other rate is written at a legal rate whose grid it fits, such as 15 frames per second at
30.
"""

from __future__ import annotations

from fractions import Fraction
from math import inf, log

LEGAL_RATES = (
    Fraction(24000, 1001),
    Fraction(24),
    Fraction(25),
    Fraction(30000, 1001),
    Fraction(30),
    Fraction(48000, 1001),
    Fraction(48),
    Fraction(50),
    Fraction(60000, 1001),
    Fraction(60),
    Fraction(100),
    Fraction(120000, 1001),
    Fraction(120),
)

EXACT = 0.0003
"""Relative; less than half of the difference between a rate and its NTSC version (1/1001)."""
_CLOSE, _ROUGH = 0.003, 0.04
_MOST_MULTIPLE, _SMALLEST_TIMELINE, _LARGEST_DIVISOR = 30, 22.0, 2


def legal_rate(fps: float) -> Fraction:
    """The timeline rate for a video of `fps` frames per second, which may be any positive number.

    A legal rate near `fps`; for a slower video the smallest legal multiple of `fps`, for a faster one a legal rate of
    half of it; else the legal rate whose ratio to `fps` is nearest to 1.
    """
    if not 0 < fps < inf:
        return Fraction(25)
    # From strict to loose tolerances, so that an exact fit wins over a nearer rate.
    for tolerance, most in ((EXACT, _MOST_MULTIPLE), (_CLOSE, _MOST_MULTIPLE), (_ROUGH, 2)):
        found = [rate for rate in LEGAL_RATES if _misfit(rate, fps, most) <= tolerance]
        if found:
            return min(found, key=lambda rate: (round(abs(log(rate / fps)), 2), _misfit(rate, fps, most)))
    return min(_WHOLE, key=lambda rate: abs(log(rate / fps)))


def _misfit(rate: Fraction, fps: float, most: int) -> float:
    """Relative distance of `rate` from the nearest multiple of `fps`, at most `most` times it, or from its half."""
    ratio = float(rate) / fps
    nearest = round(ratio)
    if ratio < 1:
        return min(abs(ratio - 1), abs(ratio * _LARGEST_DIVISOR - 1))
    if nearest == 1:
        return abs(ratio - 1)
    is_slow = fps < _SMALLEST_TIMELINE and nearest <= most
    return abs(ratio / nearest - 1) if is_slow else inf


def nearest_legal(fps: float, tolerance: float = EXACT) -> Fraction | None:
    """The legal rate within `tolerance` of `fps`; None if there is none."""
    best = min(LEGAL_RATES, key=lambda rate: abs(float(rate) - fps))
    return best if abs(float(best) / fps - 1) <= tolerance else None


_WHOLE = tuple(rate for rate in LEGAL_RATES if rate.denominator == 1)
