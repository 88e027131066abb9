"""Expressions that a trained GIM finds in videos, and their counts against the ground truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from sentiloc.model.gim.items import ExpressionItem
from sentiloc.model.gim.labels import EXPRESSIONS
from sentiloc.model.gim.network import GIM
from sentiloc.model.gim.spotting import (
    DEFAULT_RULE,
    Counts,
    SpottedExpression,
    SpottingRule,
    add_counts,
    spot,
    video_counts,
)


def spot_items(
    network: GIM, items: Sequence[ExpressionItem], rule: SpottingRule = DEFAULT_RULE
) -> list[list[SpottedExpression]]:
    """Expressions that the network finds in each video."""
    network.eval()
    found = []
    with torch.inference_mode():
        for item in items:
            output = network(torch.from_numpy(np.ascontiguousarray(item.flow))[None])
            found.append(spot(output.intensity[0].numpy(), output.actions[0].numpy(), rule))
    return found


def evaluate_items(
    network: GIM, items: Sequence[ExpressionItem], rule: SpottingRule = DEFAULT_RULE
) -> dict[str, Counts]:
    """Counts by class and overall over some videos."""
    rows = [
        video_counts(found, [(e.onset, e.offset, e.class_index) for e in item.expressions])
        for item, found in zip(items, spot_items(network, items, rule), strict=True)
    ]
    return {name: add_counts(row[name] for row in rows) for name in (*EXPRESSIONS, "overall")}
