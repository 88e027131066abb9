"""One step of FSENet: a forward pass and its losses, in the precision of the run: what training differentiates.

CTEN's temporal erasing for the video-level setting is here, too, because it passes parts of the video through the
network again. W_sent and the strongest class score replace the attention of CTEN's two modalities. A step is erased if
both, normalised within the video (its equation 8), reach theta (equation 9). The video of the erased steps and that of
the remaining steps are classified as well (equation 12).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from sentiloc.model.cten.erasing import erasing_mask, normalise
from sentiloc.model.fsenet.batching import Batch
from sentiloc.model.fsenet.losses import LossConfig, LossTerms, base_loss, time_mean, top_mean, total_loss
from sentiloc.model.fsenet.network import FSENet, FSENetOutput


class BatchLoss(nn.Module):
    """The network with its losses, so that parameters that no loss reaches can be found.

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


def erased_steps(output: FSENetOutput, valid: Tensor, theta: float) -> Tensor:
    """Keyframes (B, T) of each video; carries no gradient."""
    saliency = normalise(output.saliency.detach().float().squeeze(-1), valid)
    strongest = normalise(output.scores.detach().float()[..., :-1].amax(-1), valid)
    return erasing_mask(saliency, strongest, theta) & valid


def erasing_loss(network: FSENet, batch: Batch, output: FSENetOutput, config: LossConfig) -> Tensor:
    """Base loss of the keyframes and of the remaining steps. Videos that erasing does not split do not count."""
    theta = config.erasing
    valid = batch.valid if batch.labels.used is None else batch.valid & batch.labels.used
    if theta is None:
        return output.scores.new_zeros(())
    erased = erased_steps(output, valid, theta)
    left = valid & ~erased
    split = erased.any(1) & left.any(1)
    if not bool(split.any()):
        return output.scores.new_zeros(())
    losses = [
        # Unsplit videos stay whole: an empty video would be NaN, even if it does not count.
        _part_loss(network, batch, part | (valid & ~split[:, None]), split, config)
        for part in (erased, left)
    ]
    return torch.stack(losses).sum()


def _part_loss(network: FSENet, batch: Batch, shown: Tensor, split: Tensor, config: LossConfig) -> Tensor:
    """Base loss of the split videos restricted to the steps `shown` (B, T)."""
    scores = network(**{**batch.inputs(), "valid": shown}).scores.float()[..., :-1]
    form, pool = config.resolve()
    predicted = time_mean(scores, shown) if pool == "mean" else top_mean(scores, shown, config.k)
    wanted = batch.labels.video_classes.float()
    return base_loss(predicted[split], wanted[split], form) * (split.sum() / len(split))
