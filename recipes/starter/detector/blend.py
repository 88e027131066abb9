"""A network between two exported ones of the same shape: the average of their weights.

A detector that learns new kinds of faces moves the boxes of the old ones a little, and some old ones get lost. Weights
between the old and the new network keep most of both (Wortsman 2022, "Robust fine-tuning of zero-shot models").
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper


def blend(old: Path, new: Path, share: float, out: Path) -> None:
    """Write the network `new` to `out` with weights of `share` new and the rest old.

    Raises ValueError if the two networks have different weights.
    """
    model = onnx.load(new)
    before_all, after_all = _weights(onnx.load(old)), _weights(model)
    if [list(one.dims) for one in before_all] != [list(one.dims) for one in after_all]:
        raise ValueError(f"{old} and {new} have weights of different shapes")
    for before, after in zip(before_all, after_all, strict=True):
        mixed = (1 - share) * numpy_helper.to_array(before) + share * numpy_helper.to_array(after)
        after.CopyFrom(numpy_helper.from_array(mixed.astype(np.float32), after.name))
    onnx.save(model, out)


def _weights(model: onnx.ModelProto) -> list[TensorProto]:
    """Initializers in the order of the layers. Their names do not match, because each export renumbers folded
    convolutions.
    """
    return [one for one in model.graph.initializer if one.data_type == TensorProto.FLOAT and one.dims]
