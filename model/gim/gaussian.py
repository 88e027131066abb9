"""Gaussian-based instance-adaptive intensity modelling, equations 1-5, as pure functions.

Frames T of one video, feature width D; a range of frames is an inclusive pair (first, last), cut at the video's
ends.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Avoids a division by zero if all features are equal.
_SMALLEST = 1e-6


def frames_within(centre: float, reach: float, total: int) -> tuple[int, int]:
    """The integers n with centre - reach <= n <= centre + reach that are frames of the video; at least `centre`."""
    # Ceiling and floor without importing math; reach may be a fraction of a frame.
    first, last = -int(-(centre - reach) // 1), int((centre + reach) // 1)
    nearest = min(max(round(centre), 0), total - 1)
    return min(max(first, 0), nearest), max(min(last, total - 1), nearest)


def pseudo_apex(intensity: Tensor, point: int, duration: int) -> int:
    """Equation 1: the frame of highest intensity within k_c / 4 of the point; intensity (T,), duration k_c."""
    first, last = frames_within(point, duration / 4, len(intensity))
    return first + int(intensity[first : last + 1].argmax())


def rough_duration(intensity: Tensor, apex: int, duration: int, theta: float) -> int:
    """Equation 3: L, how many frames within k_c / 2 of the apex exceed theta; at least 1, the apex itself."""
    first, last = frames_within(apex, duration / 2, len(intensity))
    return max(1, int((intensity[first : last + 1] > theta).sum()))


def proposal_frames(apex: int, rough: int, delta: float, total: int) -> tuple[int, int]:
    """K of equations 4 and 5: the frames within delta L / 2 of the apex."""
    return frames_within(apex, delta * rough / 2, total)


def spread(features: Tensor, mean: Tensor, frames: tuple[int, int], count: float) -> Tensor:
    """Equation 4: sigma = sqrt(sum_K |x_j - mu|^2 / count); features (T, D), mean (D,), count = delta L."""
    distances = (features[frames[0] : frames[1] + 1] - mean).square().sum(-1)
    return (distances.sum() / count).sqrt()


def soft_labels(features: Tensor, mean: Tensor, sigma: Tensor, frames: tuple[int, int]) -> Tensor:
    """Equation 5: exp(-|x_j - mu|^2 / (2 sigma^2)) for the frames of K, (len K,), each in (0, 1].

    If all features equal the mean, sigma is 0 and every label is 1.
    """
    distances = (features[frames[0] : frames[1] + 1] - mean).square().sum(-1)
    return torch.exp(-distances / (2 * sigma.square()).clamp(min=_SMALLEST**2))


def gaussian_labels(features: Tensor, centre: int, frames: tuple[int, int], count: float) -> Tensor:
    """Equations 2, 4 and 5: soft labels around the frame `centre`, whose feature is the mean."""
    mean = features[centre]
    return soft_labels(features, mean, spread(features, mean, frames, count), frames)
