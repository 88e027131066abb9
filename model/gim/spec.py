"""The spec of GIM's input, common to all packages and folders of flow, and the files of such a folder. Numpy only."""

from __future__ import annotations

from sentiloc.model.gim.spotting import EXPRESSIONS
from sentiloc.model.spec import FlowStream, ModelSpec

TASK = "expression"
FLOW_FOLDER, POINT_FILE, TRUTH_FILE = "flow", "points.csv", "expressions.csv"
FRAME_RATE = 30.0
"""Frames per second of the paper's durations."""
CONFIDENCE_THRESHOLD = 0.3
"""Default minimum confidence of an expression, if the package does not state one."""
RESOLUTIONS = 3
"""Flow over 0.2, 0.4 and 0.6 s: a micro-expression, and from a slow macro-expression's onset towards its apex."""


def expression_spec(name: str, version: str, flow: FlowStream | None = None) -> ModelSpec:
    """The spec of a package: flow alone, at 30 frames a second."""
    return ModelSpec(
        name=name,
        version=version,
        task=TASK,
        frame_rate=FRAME_RATE,
        visual=None,
        audio=None,
        face=None,
        flow=flow or FlowStream(resolutions=RESOLUTIONS),
        classes=EXPRESSIONS,
        proposal_rule="gim",
        confidence_threshold=CONFIDENCE_THRESHOLD,
    )
