"""Calibration: maps a proposal's score to the probability that it is correct; always monotone."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sentiloc.model.errors import ErrorCode, SentilocError

Floats = NDArray[np.float64]
Method = Literal["identity", "isotonic", "platt"]
Fit = Literal["identity", "isotonic", "platt", "smooth"]
"""How it is fitted. A smooth one is stored as `isotonic` with close knots, so that every release reads it."""

_NEWTON_STEPS = 100
_BIN = 60
"""The number of outcomes in a bin of the smooth fit. Fewer would fit noise; more would blur the curve at high, rare
scores.
"""
_KNOTS_BETWEEN = 8
_LEAST_ODDS = 1e-4
# Keeps the Newton step finite when the scores separate right from wrong perfectly.
_RIDGE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A monotone map from score to probability.

    identity: the score itself, clipped to [0, 1]. isotonic: straight lines between `knots` of (score, probability),
    flat outside. platt: 1 / (1 + exp(-(slope · score + intercept))), slope >= 0. `calibrated` says whether confidences
    are probabilities, measured on held-out videos; the identity's are not. `without_face` is added to the log-odds of a
    segment, multiplied by the share of its time without a face: at the same score, segments found from sound alone are
    right less often.
    """

    method: Method = "identity"
    knots: tuple[tuple[float, float], ...] = ()
    slope: float = 1.0
    intercept: float = 0.0
    calibrated: bool | None = None
    without_face: float = 0.0

    def __post_init__(self) -> None:
        if self.calibrated is None:
            object.__setattr__(self, "calibrated", self.method != "identity")
        if not isinstance(self.calibrated, bool):
            raise ValueError(f"calibrated is {self.calibrated!r}, not true or false")
        values = np.array(self.knots, dtype=np.float64).reshape(-1, 2)
        # Checked here because a package's file may have been edited by hand.
        if self.method not in ("identity", "isotonic", "platt") or (self.method == "isotonic") != bool(
            self.knots
        ):
            raise ValueError(f"calibration {self.method!r} with {len(self.knots)} knots")
        if (
            not np.isfinite([*values.ravel(), self.slope, self.intercept, self.without_face]).all()
            or self.slope < 0
        ):
            raise ValueError("calibration needs finite numbers and a slope of 0 or more")
        if (np.diff(values, axis=0) < 0).any() or (values[:, 1] < 0).any() or (values[:, 1] > 1).any():
            raise ValueError("calibration knots must rise, with probabilities in [0, 1]")

    def apply(self, score: float) -> float:
        """Probability of one score."""
        return float(self.probabilities(np.array([score]))[0])

    def probabilities(self, scores: Floats, unseen: Floats | None = None) -> Floats:
        """Probabilities of scores (N,); `unseen` (N,) is the share of each segment's time without a face."""
        sure = self._of_score(scores)
        if not self.without_face or unseen is None:
            return sure
        return _sigmoid(_log_odds(sure) + self.without_face * unseen)

    def _of_score(self, scores: Floats) -> Floats:
        if self.method == "isotonic":
            knots = np.array(self.knots)
            return np.asarray(np.interp(scores, knots[:, 0], knots[:, 1]), dtype=np.float64)
        if self.method == "platt":
            return _sigmoid(self.slope * np.asarray(scores, dtype=np.float64) + self.intercept)
        return np.clip(scores, 0.0, 1.0)

    def to_json(self) -> str:
        """The calibration as JSON, which `parse_calibration` reads.

        `without_face` is left out where it is 0, because releases before it read no other fields than theirs.
        """
        raw = asdict(self)
        return json.dumps(raw if self.without_face else _without_shift(raw), sort_keys=True, indent=2)


def parse_calibration(text: str) -> Calibration:
    """Read `Calibration.to_json`; raises `spec_mismatch` for anything else."""
    try:
        raw = json.loads(text)
        knots = tuple((float(score), float(probability)) for score, probability in raw.get("knots", ()))
        return Calibration(**{**raw, "knots": knots})
    except RecursionError as error:
        raise SentilocError(ErrorCode.SPEC_MISMATCH, "not a calibration: nested too deeply") from error
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise SentilocError(ErrorCode.SPEC_MISMATCH, f"not a calibration: {error}") from error


def fit_calibration(scores: ArrayLike, correct: ArrayLike, method: Fit = "isotonic") -> Calibration:
    """Fit to scores (N,) and whether each was right (N,); one pair at least, or ValueError."""
    x, y = np.asarray(scores, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape or not x.size:
        raise ValueError(f"cannot calibrate scores {x.shape} on outcomes {y.shape}")
    if not np.isfinite(x).all() or not np.isin(y, (0, 1)).all():
        raise ValueError("cannot calibrate: scores must be finite, and outcomes 0 or 1")
    if method == "isotonic":
        return _fit_isotonic(x, y)
    if method == "smooth":
        return _fit_smooth(x, y)
    return _fit_platt(x, y) if method == "platt" else Calibration()


def fit_without_face(
    calibration: Calibration, scores: ArrayLike, correct: ArrayLike, unseen: ArrayLike
) -> Calibration:
    """The calibration with the `without_face` of the highest likelihood, a normal prior of deviation 1 on it.

    Scores, whether each was right, and its share of time without a face: (N,). Without any such time it stays 0.
    """
    share, right = np.asarray(unseen, np.float64), np.asarray(correct, np.float64)
    known = _log_odds(replace(calibration, without_face=0.0).probabilities(np.asarray(scores, np.float64)))
    shift, most = 0.0, float(share.sum())
    low, high = -most, most
    for _ in range(_NEWTON_STEPS):
        fitted = _sigmoid(known + shift * share)
        slope = float((share * (right - fitted)).sum()) - shift
        low, high = (shift, high) if slope > 0 else (low, shift)
        before = shift
        shift += slope / (float((share**2 * fitted * (1 - fitted)).sum()) + 1)
        # Where probabilities near 0 or 1 are wrong, the likelihood is almost straight, and Newton's steps swing.
        if not low <= shift <= high:
            shift = (low + high) / 2
        if abs(shift - before) < 1e-10:
            break
    return replace(calibration, without_face=shift)


def expected_calibration_error(probabilities: ArrayLike, correct: ArrayLike, bins: int = 10) -> float:
    """Mean gap between stated probability and share right over equal-width bins, weighted by their size."""
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    if p.shape != y.shape or not p.size:
        raise ValueError(f"cannot compare probabilities {p.shape} with outcomes {y.shape}")
    # Negated, because comparisons with NaN are false.
    if not ((p >= 0) & (p <= 1)).all() or not np.isin(y, (0, 1)).all():
        raise ValueError("probabilities must be in [0, 1], and outcomes 0 or 1")
    # A probability of 1 belongs to the last bin.
    place = np.minimum((p * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(place, weights=p - y, minlength=bins)
    return float(np.abs(gaps).sum() / p.size)


def _fit_isotonic(scores: Floats, correct: Floats) -> Calibration:
    """Least-squares increasing steps.

    Each stays within [1/(N+2), (N+1)/(N+2)], so that small samples give no certainty.
    """
    levels, place = np.unique(scores, return_inverse=True)
    weight = np.bincount(place).astype(np.float64)
    steps = pool_adjacent_violators(np.bincount(place, weights=correct) / weight, weight)
    bound = 1 / (scores.size + 2)
    steps = np.clip(steps, bound, 1 - bound)
    # Only the ends of each flat part are needed for the interpolation.
    ends = np.ones(levels.size, dtype=np.bool_)
    ends[1:-1] = (steps[1:-1] != steps[:-2]) | (steps[1:-1] != steps[2:])
    knots = zip(levels[ends].tolist(), steps[ends].tolist(), strict=True)
    return Calibration(method="isotonic", knots=tuple(knots))


def _fit_smooth(scores: Floats, correct: Floats) -> Calibration:
    """A monotone cubic (Fritsch & Carlson, 1980) through the centres of bins that hold equally many scores.

    Neighbouring bins with falling shares of right outcomes are pooled first, as the isotonic fit pools scores. Each
    share counts half a right and half a wrong outcome more. The isotonic fit jumps at its steps, so that a small change
    of a score moves the probability by 0.1; this curve does not.
    """
    from scipy.interpolate import PchipInterpolator  # Serving fits nothing, so it need not load this.

    order = np.argsort(scores, kind="stable")
    bins = np.array_split(order, max(scores.size // _BIN, 1))
    sizes = np.array([len(part) for part in bins], np.float64)
    right = np.array([correct[part].sum() for part in bins])
    pooled = pool_adjacent_violators((right + 0.5) / (sizes + 1), sizes)
    _, place = np.unique(pooled, return_inverse=True)
    weight = np.bincount(place, weights=sizes)
    centre = np.bincount(place, weights=[scores[part].sum() for part in bins]) / weight
    share = np.bincount(place, weights=pooled * sizes) / weight
    distinct = np.append(True, np.diff(centre) > 0)
    centre, share = centre[distinct], share[distinct]
    between = np.arange(0, len(centre) - 1 + 1e-9, 1 / _KNOTS_BETWEEN)
    at = np.interp(between, np.arange(len(centre)), centre)
    curve = PchipInterpolator(centre, share)(at) if len(centre) > 1 else share
    knots = zip(at.tolist(), np.maximum.accumulate(np.clip(curve, 0.0, 1.0)).tolist(), strict=True)
    return Calibration(method="isotonic", knots=tuple(knots))


def pool_adjacent_violators(values: Floats, weights: Floats) -> Floats:
    """The increasing sequence (N,) that is nearest to values (N,) in weighted squares."""
    means: list[float] = []
    masses: list[float] = []
    sizes: list[int] = []
    for value, mass in zip(values.tolist(), weights.tolist(), strict=True):
        size = 1
        while means and means[-1] >= value:
            total = mass + masses[-1]
            value = (value * mass + means.pop() * masses.pop()) / total
            mass, size = total, size + sizes.pop()
        means.append(value)
        masses.append(mass)
        sizes.append(size)
    return np.repeat(means, sizes)


def _fit_platt(scores: Floats, correct: Floats) -> Calibration:
    """Logistic regression by Newton steps on Platt's softened targets; a falling fit becomes a constant."""
    right = correct.sum()
    # Platt (1999), equation 4: targets of exactly 0 and 1 would make small samples overconfident.
    high, low = (right + 1) / (right + 2), 1 / (scores.size - right + 2)
    targets = np.where(correct > 0.5, high, low)
    columns = np.stack([scores, np.ones_like(scores)], axis=1)
    beta = np.zeros(2)
    for _ in range(_NEWTON_STEPS):
        fitted = _sigmoid(columns @ beta)
        curvature = (columns.T * (fitted * (1 - fitted))) @ columns + _RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, columns.T @ (targets - fitted) - _RIDGE * beta)
        beta = beta + step
        if np.abs(step).max() < 1e-10:
            break
    if beta[0] < 0 or not np.isfinite(beta).all():
        mean = float(targets.mean())
        beta = np.array([0.0, math.log(mean / (1 - mean))])
    return Calibration(method="platt", slope=float(beta[0]), intercept=float(beta[1]))


def _log_odds(probabilities: Floats) -> Floats:
    kept = np.clip(probabilities, _LEAST_ODDS, 1 - _LEAST_ODDS)
    return np.log(kept / (1 - kept))


def _without_shift(raw: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in raw.items() if name != "without_face"}


def _sigmoid(values: Floats) -> Floats:
    # Equal to the sigmoid, and cannot overflow.
    return 0.5 * (1 + np.tanh(0.5 * values))
