"""Differences between features and those of float32."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sentiloc.model.segments import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureEffect:
    """Differences of features (T, dim) from float32, over all snippets.

    largest: relative to the largest feature. mean: relative to the mean feature. cosine: the lowest of any snippet.
    of_variation: the root mean square error, relative to the standard deviation of the features over all snippets. That
        variation is what distinguishes snippets, so at 1 the error hides all of it. None if all snippets are equal.
    """

    largest: float
    mean: float
    cosine: float
    of_variation: float | None


def feature_effect(exact: FloatArray, ours: FloatArray) -> FeatureEffect:
    """Compare features (T, dim), T >= 1, in float32 and in another precision."""
    error = np.abs(exact - ours)
    norms = np.linalg.norm(exact, axis=1) * np.linalg.norm(ours, axis=1)
    variation = float(np.sqrt(np.square(exact - exact.mean(axis=0)).mean()))
    # Avoids 0/0 for features that are all zero.
    tiny = float(np.finfo(np.float32).tiny)
    return FeatureEffect(
        largest=float(error.max() / max(float(np.abs(exact).max()), tiny)),
        mean=float(error.mean() / max(float(np.abs(exact).mean()), tiny)),
        cosine=float(((exact * ours).sum(axis=1) / np.maximum(norms, tiny)).min()),
        of_variation=float(np.sqrt(np.square(error).mean())) / variation if variation else None,
    )
