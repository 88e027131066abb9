"""Mixes two channels to one without losing signals in opposite phase.

A plain mean cancels signals with opposite signs in the two channels. If it would lose much, the channels are added band
by band: in bands where the right channel opposes the left one, its sign is flipped.
"""

from __future__ import annotations

import numpy as np
from numpy import fft
from numpy.typing import NDArray

Samples = NDArray[np.float32]

_KEPT = 0.7
"""Share of the channels' power that the mean must keep; uncorrelated channels keep half."""
_SIZE, _HOP, _BAND = 512, 256, 4


def mix_to_mono(channels: Samples) -> Samples:
    """(2, n) to (n,): the mean, or the mean with the right channel's sign chosen for each band."""
    left, right = channels
    mean: Samples = ((left + right) * np.float32(0.5)).astype(np.float32)
    power = float(np.square(left, dtype=np.float64).mean() + np.square(right, dtype=np.float64).mean()) / 2
    if power == 0 or float(np.square(mean, dtype=np.float64).mean()) >= _KEPT * power:
        return mean
    return _aligned(channels)


def _aligned(channels: Samples) -> Samples:
    """The mean of `channels` (2, n) with one sign for each band of about 125 Hz at 16 kHz, the same for all n."""
    count = channels.shape[1]
    frames = -(-count // _HOP) + 1
    padded = np.zeros((2, (frames + 1) * _HOP), np.float32)
    padded[:, _HOP : _HOP + count] = channels
    # The window is applied twice, before and after the transform. Its squares add up to one at half overlap, so with
    # equal signs the result is the plain mean.
    window = np.sin(np.pi * (np.arange(_SIZE) + 0.5) / _SIZE)
    pieces = np.lib.stride_tricks.sliding_window_view(padded, _SIZE, axis=1)[:, ::_HOP]
    left, right = fft.rfft(pieces * window, axis=2)
    # One sign for the whole piece: signs that change from frame to frame would cause clicks.
    cross = (left * right.conj()).real.sum(axis=0)
    bands = np.add.reduceat(cross, np.arange(0, len(cross), _BAND))
    signs = np.where(np.repeat(bands, _BAND)[: len(cross)] < 0, -1.0, 1.0)
    mixed = fft.irfft((left + right * signs) / 2, _SIZE, axis=1) * window
    out = np.zeros(padded.shape[1])
    out[: frames * _HOP] += mixed[:, :_HOP].reshape(-1)
    out[_HOP:] += mixed[:, _HOP:].reshape(-1)
    return out[_HOP : _HOP + count].astype(np.float32)
