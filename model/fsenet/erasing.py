"""CTEN's temporal erasing for FSENet's video-level setting: also train on the video without its keyframes.

W_sent and the strongest class score replace the attention of CTEN's two modalities. A step is erased if both,
normalised within the video (equation 8), reach theta (equation 9). The video of the erased steps and that of the
remaining steps are classified as well (equation 12).
"""

from __future__ import annotations

import torch
from torch import Tensor

from sentiloc.model.cten.erasing import erasing_mask, normalise
from sentiloc.model.fsenet.batching import Batch
from sentiloc.model.fsenet.losses import LossConfig, base_loss, time_mean, top_mean
from sentiloc.model.fsenet.network import FSENet, FSENetOutput


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
