"""Shows high dynamic range and wide gamuts (BT.2020, P3) on ordinary screens: BT.709, with white at 203 cd/m2.

HLG and PQ are decoded to light as in ITU-R BT.2100. Highlights are compressed as in BT.2390, by the largest of the
three colours, which preserves hues. Colours outside BT.709 are clipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorTrc
from numpy.typing import NDArray

Light = NDArray[np.float32]
"""In cd/m2."""

WIDE_FORMAT = "rgb48le"
"""The pixel format of pictures to convert: 8 bits would show steps in dark areas."""
_WHITE, _PEAK = 203.0, 1000.0
"""cd/m2: diffuse white (ITU-R BT.2408), and the usual brightest highlight of PQ and HLG."""
_SCREEN_GAMMA, _HLG_GAMMA = 2.4, 1.2
_LUMA = np.array([0.2126, 0.7152, 0.0722])
_FROM_BT2020 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
_FROM_P3 = np.array([[1.2249, -0.2247, -0.0002], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0983]])
_GAMUTS = {ColorPrimaries.BT2020: _FROM_BT2020, ColorPrimaries.SMPTE432: _FROM_P3}
_PQ_M1, _PQ_M2 = 2610 / 16384, 2523 / 32
_PQ_C1, _PQ_C2, _PQ_C3 = 3424 / 4096, 2413 / 128, 2392 / 128
_HLG_A, _HLG_B, _HLG_C = 0.17883277, 0.28466892, 0.55991073
_CODES, _GAINS, _SHADES = 1 << 16, 1 << 12, 1 << 18


@dataclass(frozen=True, slots=True)
class Colours:
    """How a picture codes light: its transfer characteristic and its primaries, as libav numbers them."""

    transfer: int
    primaries: int

    @property
    def is_high_range(self) -> bool:
        """Whether it has highlights that are brighter than white."""
        return self.transfer in (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)

    @property
    def is_wide(self) -> bool:
        """Whether ordinary screens would show it with wrong colours."""
        return self.is_high_range or self.primaries in _GAMUTS


def colours_of(frame: VideoFrame) -> Colours:
    """The colours that a picture states. Pictures of high range that state no primaries have those of BT.2020."""
    colours = Colours(int(frame.color_trc), int(frame.color_primaries))
    if colours.is_high_range and colours.primaries == ColorPrimaries.UNSPECIFIED:
        return Colours(colours.transfer, int(ColorPrimaries.BT2020))
    return colours


def to_screen(coded: NDArray[np.uint16], colours: Colours) -> NDArray[np.uint8]:
    """A picture (height, width, 3) of the format `WIDE_FORMAT` as RGB for a screen of BT.709."""
    gamut = _gamut(colours)
    light = [np.take(_light_table(colours.transfer), coded[..., colour]) for colour in range(3)]
    if colours.transfer == ColorTrc.ARIB_STD_B67:
        # The system gamma of BT.2100 for a screen of `_PEAK`.
        luma = np.maximum(_weighted(light, _LUMA @ gamut), 0)
        _multiply(light, np.power(luma / np.float32(_PEAK), np.float32(_HLG_GAMMA - 1)))
    if colours.is_high_range:
        brightest = np.maximum(np.maximum(light[0], light[1]), light[2])
        places = (brightest * np.float32((_GAINS - 1) / _PEAK)).astype(np.uint16)
        _multiply(light, np.take(_gain_table(), places))
    shown = np.empty(coded.shape, np.uint8)
    for colour, row in enumerate(gamut * ((_SHADES - 1) / _WHITE)):
        shades = np.clip(_weighted(light, row), 0, _SHADES - 1).astype(np.uint32)
        shown[..., colour] = np.take(_screen_table(), shades)
    return shown


def _weighted(light: list[Light], weights: NDArray[np.float64]) -> Light:
    """The sum of red, green and blue light with these weights."""
    red, green, blue = (plane * np.float32(weight) for plane, weight in zip(light, weights, strict=True))
    red += green
    red += blue
    return red


def _multiply(light: list[Light], factors: Light) -> None:
    for plane in light:
        plane *= factors


@lru_cache(maxsize=1)
def _screen_table() -> NDArray[np.uint8]:
    """The level of a screen for each shade of light from 0 to `_WHITE`."""
    return np.rint(255 * np.linspace(0, 1, _SHADES) ** (1 / _SCREEN_GAMMA)).astype(np.uint8)


def _gamut(colours: Colours) -> NDArray[np.float64]:
    """The matrix from light of the picture's primaries to light of BT.709's."""
    return next((matrix for name, matrix in _GAMUTS.items() if name == colours.primaries), np.eye(3))


@lru_cache(maxsize=4)
def _light_table(transfer: int) -> Light:
    """The light of each 16-bit code, at most `_PEAK`; for HLG that of the scene, in the same unit."""
    codes = np.linspace(0, 1, _CODES)
    if transfer == ColorTrc.SMPTE2084:
        light = _from_pq(codes)
    elif transfer == ColorTrc.ARIB_STD_B67:
        high = (np.exp((codes - _HLG_C) / _HLG_A) + _HLG_B) / 12
        light = _PEAK * np.where(codes <= 0.5, codes**2 / 3, high)
    else:
        light = _WHITE * codes**_SCREEN_GAMMA
    return np.minimum(light, _PEAK).astype(np.float32)


@lru_cache(maxsize=1)
def _gain_table() -> Light:
    """Factors for light from 0 to `_PEAK` that bring it to at most `_WHITE`: a spline above a knee (BT.2390, 5.4.1)."""
    light = np.linspace(0, _PEAK, _GAINS)
    peak = _to_pq(np.array(_PEAK))
    place, most = _to_pq(light) / peak, float(_to_pq(np.array(_WHITE)) / peak)
    knee = 1.5 * most - 0.5
    t = np.maximum(place - knee, 0) / (1 - knee)
    bent = (
        (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * most
    )
    return np.where(place < knee, 1, _from_pq(bent * peak) / np.maximum(light, 1e-9)).astype(np.float32)


def _from_pq(codes: NDArray[np.float64]) -> NDArray[np.float64]:
    root = codes ** (1 / _PQ_M2)
    return np.asarray(10_000 * (np.maximum(root - _PQ_C1, 0) / (_PQ_C2 - _PQ_C3 * root)) ** (1 / _PQ_M1))


def _to_pq(light: NDArray[np.float64]) -> NDArray[np.float64]:
    power = (light / 10_000) ** _PQ_M1
    return np.asarray(((_PQ_C1 + _PQ_C2 * power) / (1 + _PQ_C3 * power)) ** _PQ_M2)
