"""Linear probes: how much the features of each block of a network tell about the class of a picture, colours aside.

Source: the test of task generalisation in Zhang, Isola, Efros, "Colorful Image Colorization", ECCV 2016, section 3.2.
"""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor, nn

from .. import ops
from ..data import Source, pictures
from ..models.sizes import input_size
from ..models.weights import load
from .recognition import folder_of

_WIDEST = 2048  # features a picture and block, after pooling over places


def blocks(model: Any) -> list[tuple[str, nn.Module]]:
    """The parts of a network to probe, in order: those of its encoder where it has one, else its own."""
    if hasattr(model, "encoder_blocks"):
        return [(f"encoder.{i}", part) for i, part in enumerate(model.encoder_blocks)]
    found: list[tuple[str, nn.Module]] = []
    for name, part in model.named_children():
        if isinstance(part, nn.ModuleList):
            found += [(f"{name}.{i}", inner) for i, inner in enumerate(part)]
        else:
            found.append((name, part))
    return found


@torch.no_grad()
def features(model: nn.Module, lightness: Tensor) -> dict[str, Tensor]:
    """The output of each block, averaged over a grid as fine as 2,048 numbers a picture allow.

    Args:
        model: in evaluation mode. lightness: (N, 1, H, W), L in [0, 100].

    Returns:
        (N, D) by the block's name, for the blocks that are run and put out maps.
    """
    outputs: dict[str, Tensor] = {}

    def keep(name: str, value: object) -> None:
        if isinstance(value, Tensor) and value.dim() == 4 and value.shape[-1] > 1:
            side = max(1, min(math.isqrt(_WIDEST // value.shape[1]), *value.shape[2:]))
            outputs[name] = F.adaptive_avg_pool2d(value.float(), side).flatten(1).cpu()

    hooks = [
        part.register_forward_hook(lambda _module, _input, value, name=name: keep(name, value))
        for name, part in blocks(model)
    ]
    try:
        model(lightness)
    finally:
        for hook in hooks:
            hook.remove()
    return outputs


def fit(x: Tensor, label: Tensor, classes: int, *, decay: float = 1e-2, steps: int = 200) -> tuple[Tensor, Tensor]:
    """Multinomial logistic regression: the minimum of the mean cross entropy + decay / 2 |weight|^2, by L-BFGS.

    Args:
        x: (N, D) features. label: (N,) int64 below `classes`.

    Returns:
        weight (classes, D) and bias (classes,), float64.

    Example:
        >>> weight, bias = fit(torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1]), 2)
        >>> (torch.tensor([[3.0]]).double() @ weight.T + bias).argmax().item()
        1
    """
    x = x.double()
    weight = torch.zeros(classes, x.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [weight, bias], max_iter=steps, tolerance_grad=1e-6, tolerance_change=1e-10, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = F.cross_entropy(F.linear(x, weight, bias), label) + decay / 2 * (weight**2).sum()
        value.backward()
        return value

    optimiser.step(loss)
    return weight.detach(), bias.detach()


def accuracy(x: Tensor, label: Tensor, held_out: Tensor, classes: int) -> float:
    """Percent of the held-out pictures that a linear classifier of the others' standardised features gets right."""
    mean, deviation = x[~held_out].mean(0), x[~held_out].std(0, correction=0)
    x = (x - mean) / deviation.clamp(min=1e-6)
    x = x / math.sqrt(x.shape[1])  # one decay for blocks of any width
    weight, bias = fit(x[~held_out], label[~held_out], classes, decay=1e-4)
    right = F.linear(x[held_out].double(), weight, bias).argmax(1) == label[held_out]
    return 100 * float(right.double().mean())


def probe(model: nn.Module, data: Source, size: int) -> dict[str, float]:
    """Probe every block of a network with labelled pictures. All features are kept in memory: for thousands of them.

    Args:
        model: a generator in evaluation mode. data: pictures in one folder a class, at least two classes, each with two
            pictures or more; every fifth of a class, from the first on, is held out. size: of the central square that
            the network sees, in pixels.

    Returns:
        Top-1 accuracy on the held-out pictures in percent by block, and "chance": that of the most frequent class.

    Raises:
        ValueError: fewer than two classes, or a class with one picture.
    """
    device = next(model.parameters()).device
    rows: dict[str, list[Tensor]] = {}
    names: list[str] = []
    for name, rgb in pictures(data):
        image = ImageOps.fit(Image.fromarray(rgb).convert("L"), (size, size), Image.Resampling.BICUBIC)
        lightness = ops.luma_to_input(torch.from_numpy(np.array(image))[None], (size, size))
        for block, row in features(model, lightness.to(device)).items():
            rows.setdefault(block, []).append(row)
        names.append(folder_of(name))
    classes = sorted(set(names))
    if len(classes) < 2 or any(names.count(one) < 2 for one in classes):
        raise ValueError(
            "probes: pictures must lie in one folder a class, at least two classes of two pictures, "
            f"got {', '.join(f'{one!r}: {names.count(one)}' for one in classes[:5])}"
        )
    label = torch.tensor([classes.index(name) for name in names])
    held_out = torch.zeros(len(names), dtype=torch.bool)
    for one in range(len(classes)):
        held_out[(label == one).nonzero().flatten()[::5]] = True
    result = {name: accuracy(torch.cat(row), label, held_out, len(classes)) for name, row in rows.items()}
    chance = label[held_out].bincount().max() / held_out.sum()
    return {"chance": 100 * float(chance), **result}


def probe_weights(weights: str | os.PathLike[str], data: Source, size: int, device: torch.device) -> dict[str, float]:
    """`probe` of weights by name or file, each name beginning with "probe_". size: brought to the nearest multiple of
    the network's stride."""
    generator = load(weights)
    side, _ = input_size(size, size, size, generator.stride)
    return {f"probe_{block}": value for block, value in probe(generator.model.to(device), data, side).items()}
