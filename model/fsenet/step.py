"""One forward pass of FSENet and its losses, in the precision of the run: what training differentiates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from sentiloc.model.fsenet.batching import Batch
from sentiloc.model.fsenet.erasing import erasing_loss
from sentiloc.model.fsenet.losses import LossConfig, LossTerms, total_loss
from sentiloc.model.fsenet.network import FSENet, FSENetOutput


class BatchLoss(nn.Module):
    """The network with its losses, so that what no loss reaches can be told from what one does.

    dtype: half precision of the forward pass, or None for float32. `forward` gives the total, (), and all terms
    without gradients in the order of `LossTerms.items`, (5,).
    """

    def __init__(
        self, network: FSENet, loss: LossConfig, dtype: torch.dtype | None, *, compiled: bool = False
    ) -> None:
        super().__init__()
        self.network, self.loss, self.dtype = network, loss, dtype
        # A bound method: a compiled module beside the network would list every parameter twice.
        step: Any = torch.compile(network, dynamic=True) if compiled else network
        self.run: Callable[..., FSENetOutput] = step.__call__

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Losses of a batch on the network's device."""
        terms = self._terms(batch)
        return terms.total, terms.stacked()

    def _terms(self, batch: Batch) -> LossTerms:
        """Forward in the run's precision, losses in float32."""
        with torch.autocast(batch.valid.device.type, self.dtype, enabled=self.dtype is not None):
            output = self.run(**batch.inputs())
            erases = self.loss.erasing is not None and self.loss.supervision == "video"
            erasing = erasing_loss(self.network, batch, output, self.loss) if erases else None
        # Outside autocast: logarithms of half-precision scores lose what the focal loss weighs.
        terms = total_loss(output, batch.labels, batch.valid, self.loss)
        return terms if erasing is None else replace(terms, total=terms.total + erasing)
