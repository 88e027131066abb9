"""Start a training from a shipped ONNX file, whose batch norms the export has folded into the convolutions.

A folded convolution computes `conv(x) + bias`. The network gets its batch norm back: first as that bias alone, then as
mean, variance, scale and shift that together compute the same. Mean and variance are measured on real input. Without
the second step, training would normalize every layer to unit variance and lose the trained weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn


def load_folded(net: nn.Module, network: Path, batches: Iterable[Tensor]) -> list[str]:
    """Fill `net` from the initializers of `network`; `batches` are inputs that look like the training's.

    Parameters that are not in the file, such as a new head, keep their values. Returns their names.

    Raises:
        ValueError: the file has fewer folded convolutions than the network, or one of another shape.
    """
    held = {
        i.name: torch.from_numpy(np.array(onnx.numpy_helper.to_array(i)))
        for i in onnx.load(network).graph.initializer
    }
    # These are the names of the exporter without dynamo: weight and bias of each layer in turn.
    folded = [value for name, value in held.items() if name.startswith("onnx::Conv")]
    pairs = list(_folded_pairs(net))
    if len(folded) != 2 * len(pairs):
        raise ValueError(f"{network} has {len(folded) // 2} folded convolutions, the net {len(pairs)}")
    for (conv, norm), weight, bias in zip(pairs, folded[::2], folded[1::2], strict=True):
        _fill(conv, norm, weight, bias)
    missing = _fill_named(net, held, {id(module) for pair in pairs for module in pair})
    _measure(net, [norm for _, norm in pairs], batches)
    return missing


def _folded_pairs(net: nn.Module) -> Iterator[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Each convolution without a bias and the batch norm after it, in the order of the modules."""
    waiting: nn.Conv2d | None = None
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module.bias is None:
            waiting = module
        elif isinstance(module, nn.BatchNorm2d) and waiting is not None:
            yield waiting, module
            waiting = None


def _fill(conv: nn.Conv2d, norm: nn.BatchNorm2d, weight: Tensor, bias: Tensor) -> None:
    if conv.weight.shape != weight.shape:
        raise ValueError(f"a convolution of shape {tuple(weight.shape)}, not {tuple(conv.weight.shape)}")
    with torch.no_grad():
        conv.weight.copy_(weight)
        # Cancels the epsilon under the root, so that the norm is exactly the identity plus the bias.
        norm.weight.fill_(1.0).mul_((1 + norm.eps) ** 0.5)
        norm.bias.copy_(bias)
        norm.reset_running_stats()


def _fill_named(net: nn.Module, held: dict[str, Tensor], done: set[int]) -> list[str]:
    """Copy parameters by name, ignoring prefixes in the file; returns the missing names."""
    own = {
        f"{path}.{name}": value
        for path, module in net.named_modules()
        if id(module) not in done
        for name, value in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
        if name != "num_batches_tracked"
    }
    missing = []
    for name, value in own.items():
        found = next((h for key, h in held.items() if key == name or key.endswith("." + name)), None)
        if found is None or found.shape != value.shape:
            missing.append(name)
            continue
        with torch.no_grad():
            value.copy_(found)
    return missing


def _measure(net: nn.Module, norms: list[nn.BatchNorm2d], batches: Iterable[Tensor]) -> None:
    """Give each batch norm the mean and variance of its input, and the scale and shift that keep its output."""
    sums: dict[nn.Module, list[Tensor]] = {norm: [] for norm in norms}

    def note(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        # In double precision: a variance as difference of large sums loses digits.
        flat = inputs[0].double().transpose(0, 1).flatten(1)
        sums[norm].append(
            torch.stack([torch.full_like(flat[:, 0], flat.shape[1]), flat.sum(1), flat.square().sum(1)])
        )

    hooks = [norm.register_forward_pre_hook(note) for norm in norms]
    training = net.training
    with torch.no_grad():
        for batch in batches:
            # In evaluation mode every norm still is the identity plus its bias, as `_fill` left it.
            net.eval()(batch)
        for norm in norms:
            count, total, squares = torch.stack(sums[norm]).sum(0)
            mean, variance = total / count, squares / count - (total / count).square()
            norm.running_mean.copy_(mean)  # type: ignore[union-attr]
            norm.running_var.copy_(variance)  # type: ignore[union-attr]
            norm.bias.add_(mean)
            norm.weight.copy_((variance + norm.eps).sqrt())
    net.train(training)
    for hook in hooks:
        hook.remove()
