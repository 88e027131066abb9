"""One face video in memory for GIM: flow features, points, and annotated expressions for evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from sentiloc.model.gim.labels import Point
from sentiloc.model.segments import FloatArray


class Expression(NamedTuple):
    """An annotated expression: frames onset <= apex <= offset (all inclusive), class 0 macro or 1 micro."""

    onset: int
    apex: int
    offset: int
    class_index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpressionItem:
    """A video of T frames: flow (T, inputs), whose face it is, one point per expression, and the truth.

    Training uses only the points.
    """

    name: str
    subject: str
    flow: FloatArray
    points: tuple[Point, ...] = ()
    expressions: tuple[Expression, ...] = ()

    def __post_init__(self) -> None:
        for frame in (p.frame for p in self.points):
            if not 0 <= frame < len(self.flow):
                raise ValueError(f"{self.name}: point at frame {frame} of {len(self.flow)}")
