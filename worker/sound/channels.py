"""Reduces sound with any number of channels to one or two without losing a channel.

libav guesses positions where a file states none: the third of three separate microphones becomes a subwoofer, and is
left out of a stereo mix. Channels without positions are added up here instead.
"""

from __future__ import annotations

import re

import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.layout import AudioLayout
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

Samples = NDArray[np.float32]

_STEREO, _SURROUND = 2, 8
_WITHOUT_POSITIONS = re.compile(r"\d+ channels?")
_LISTED = re.compile(r"\d+ channels? \(.*|ambisonic.*")
"""How libav describes a layout that has no name. Names such as "5.1(side)" have brackets too."""


def settle_layout(context: AudioCodecContext) -> None:
    """Give a context whose channels are listed one by one, in an unusual order, a layout without positions.

    PyAV 18.1 frees such a list with every object that refers to it, which corrupts memory at the first decoded frame.
    After this call, one object has freed it, and nothing refers to it.
    """
    listed = context.layout
    if not listed.nb_channels:
        # The layout is known only with the first packet.
        return
    has_no_name = _LISTED.fullmatch(listed.name)
    context.layout = f"{listed.nb_channels} channels" if has_no_name else listed.name


class Narrowing:
    """Resamples frames of one format, layout and rate to `rate`; mono stays mono, everything else becomes stereo."""

    def __init__(self, like: AudioFrame, rate: int) -> None:
        channels = like.layout.nb_channels
        self._adds_up = channels if _has_no_positions(like.layout) else 0
        layout = like.layout.name if self._adds_up else "mono" if channels == 1 else "stereo"
        # PyAV reads beyond the end of a frame that has eight planes or more, so many channels come interleaved.
        self._resampler = AudioResampler(format="flt" if self._adds_up else "fltp", layout=layout, rate=rate)

    def resample(self, frame: AudioFrame | None) -> list[Samples]:
        """The samples (1 or 2, n) that are ready after `frame`; after None, all that are left.

        Raises ValueError and libav's errors for a damaged frame.
        """
        found = [np.asarray(out.to_ndarray(), np.float32) for out in self._resampler.resample(frame)]
        return [_add_up(samples.reshape(-1, self._adds_up)) for samples in found] if self._adds_up else found


def _has_no_positions(layout: AudioLayout) -> bool:
    """Whether no channel has a position; those of more than 7.1 are not all part of libav's stereo mix."""
    if layout.nb_channels <= _STEREO:
        return False
    return layout.nb_channels > _SURROUND or bool(_WITHOUT_POSITIONS.fullmatch(layout.name))


def _add_up(samples: Samples) -> Samples:
    """(n, channels) to (2, n): every odd channel to the left, every even one to the right."""
    return np.stack([samples[:, 0::2].sum(axis=1), samples[:, 1::2].sum(axis=1)]).astype(np.float32)
