"""Content negotiation by the `Accept` header (RFC 9110, section 12.5.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# Bounds the work for a maliciously long header.
_MOST_RANGES = 50


@dataclass(frozen=True, slots=True)
class _Range:
    """One entry of the header: `text/*;q=0.5`."""

    kind: str
    quality: float

    @property
    def precision(self) -> int:
        """2 for a media type, 1 for `type/*`, 0 for `*/*`."""
        return 0 if self.kind == "*/*" else 1 if self.kind.endswith("/*") else 2

    def covers(self, offer: str) -> bool:
        """True if this entry matches the media type."""
        return self.precision == 0 or offer == self.kind or offer.startswith(self.kind.removesuffix("*"))


def choose(accept: str, offers: Sequence[str]) -> str | None:
    """The media type of `offers` that the client prefers; None if it accepts none of them.

    Among equal qualities, a type that is named comes before one that a wildcard matches. Then the order of the header
    decides, then that of `offers`. Without a header everything is accepted.
    """
    ranges = [found for part in accept.split(",")[:_MOST_RANGES] if (found := _parse(part))]
    if not ranges:
        # A missing header, and one without a readable entry, accept everything.
        return offers[0]
    # Negative, because max prefers larger values and earlier offers come first.
    rated = [(_rating(offer, ranges), -place, offer) for place, offer in enumerate(offers)]
    rating, _, best = max(rated)
    return best if rating[0] > 0 else None


def _rating(offer: str, ranges: Sequence[_Range]) -> tuple[float, int, int]:
    """Quality, precision and position of the most precise entry for the media type."""
    covering = [(one.precision, -place, one.quality) for place, one in enumerate(ranges) if one.covers(offer)]
    if not covering:
        return (0.0, 0, 0)
    precision, place, quality = max(covering)
    return (quality, precision, place)


def _parse(part: str) -> _Range | None:
    kind, *parameters = [piece.strip().lower() for piece in part.split(";")]
    if "/" not in kind:
        return None
    quality = next((one[2:] for one in parameters if one.startswith("q=")), "1")
    try:
        return _Range(kind, min(1.0, max(0.0, float(quality))))
    except ValueError:
        # An unreadable quality refuses the type instead of preferring it.
        return _Range(kind, 0.0)
