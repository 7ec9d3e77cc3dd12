"""Data-dependent initialisation (Kraehenbuehl, Doersch, Donahue and Darrell, "Data-dependent Initializations of
Convolutional Neural Networks", ICLR 2016).

Every layer is set from what a batch of real pictures sends into it, so all channels are in use from the first step;
then layers are scaled against one another, so that all of them learn at the same pace.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Layer = nn.Conv2d | nn.ConvTranspose2d | nn.Linear
_LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
_HOMOGENEOUS = (nn.ReLU, nn.LeakyReLU, nn.Identity, nn.modules.dropout._DropoutNd)  # f(c x) = c f(x) for c > 0
_NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.modules.instancenorm._InstanceNorm)
_PATCHES, _DIRECTIONS = 20_000, 256  # patches clustered a layer, and principal directions that they are whitened in


@torch.no_grad()
def data_dependent(
    network: nn.Module,
    *inputs: Tensor,
    method: Literal["kmeans", "random"] = "kmeans",
    mean: float = 0.0,
    seed: int = 0,
) -> nn.Module:
    """Set the weights of every convolution and linear layer, in the order in which `network(*inputs)` runs them.

    Filters of a convolution become the centres of a spherical k-means of the whitened patches that they will look at;
    filters of other layers, and any the patches are too few for, are Gaussian. Each filter and bias is then scaled so
    that its channel's output has the given mean and variance 1 on these inputs. Layers without a bias keep a mean of
    their own. One forward pass in training mode sets all layers.

    Args:
        network: changed in place; any network. inputs: a real batch, as the network takes it.
        method: "kmeans" or "random" (all filters Gaussian). mean: of each channel (the paper's beta). seed: of the
            Gaussians, the patches and the clustering.

    Returns:
        The network, in the mode it was in.

    Example:
        >>> layer = data_dependent(nn.Conv2d(1, 8, 3), torch.randn(4, 1, 32, 32) * 9 + 5)
        >>> round(layer(torch.randn(4, 1, 32, 32) * 9 + 5).std().item())
        1
    """
    if method not in ("kmeans", "random"):
        raise ValueError(f"method: must be 'kmeans' or 'random', got {method!r}")
    generator = torch.Generator().manual_seed(seed)
    done: set[nn.Module] = set()

    def set_layer(layer: Layer, arguments: tuple[Tensor, ...]) -> None:
        if layer in done:  # one that runs twice is set for what it sees first
            return
        done.add(layer)
        x = arguments[0].float()
        weight = torch.randn(layer.weight.shape, generator=generator)
        if method == "kmeans" and isinstance(layer, nn.Conv2d) and layer.groups == 1:
            centres = _centres(_patches(x, layer, generator), len(weight), generator)
            weight[: len(centres)] = centres.view(-1, *weight.shape[1:])
        layer.weight.copy_(weight)
        if layer.bias is not None:
            layer.bias.zero_()
        y = layer(x.to(layer.weight.dtype)).float()
        channel = y.dim() - 1 if isinstance(layer, nn.Linear) else 1
        others = [axis for axis in range(y.dim()) if axis != channel]
        deviation, average = torch.std_mean(y, others, correction=0)
        deviation = deviation.where(deviation > 1e-6, 1.0)  # a channel that sees nothing change stays as it is
        # (out, in, ...) of a convolution; a transposed one is (in, out / groups, ...).
        if isinstance(layer, nn.ConvTranspose2d):
            factor = (1 / deviation).view(layer.groups, 1, -1, 1, 1)
            layer.weight.copy_((layer.weight.view(layer.groups, -1, *layer.weight.shape[1:]) * factor).flatten(0, 1))
        else:
            layer.weight.div_(deviation.view(-1, *[1] * (layer.weight.dim() - 1)))
        if layer.bias is not None:
            layer.bias.copy_(mean - average / deviation)

    def before(layer: Layer, arguments: tuple[Tensor, ...]) -> None:
        for handle in handles.pop(layer, ()):  # the layer itself runs once within, to be measured
            handle.remove()
        set_layer(layer, arguments)

    layers = [m for m in network.modules() if isinstance(m, _LAYERS)]
    handles = {layer: (layer.register_forward_pre_hook(before),) for layer in layers}
    training = network.training
    try:
        network.train()
        for module in network.modules():
            if isinstance(module, nn.modules.dropout._DropoutNd):
                module.eval()  # the statistics are those of the data, not of the noise
        network(*inputs)
    finally:
        network.train(training)
        for left in handles.values():
            for handle in left:
                handle.remove()
    return network


def balance_gradients(network: nn.Module, *inputs: Tensor, seed: int = 0) -> nn.Module:
    """Scale layers so that a gradient step changes each by the same share of its weights; what the network computes
    stays the same.

    Layers that follow one another in an nn.Sequential, with nothing but ReLUs between, can be scaled freely when a
    normalisation follows the last, and against one another when none does. With weights times t the gradient is divided
    by t, so that the rate C = |dl/dW| / |W| is divided by t^2: t = sqrt(C / mean) makes all rates equal at once, where
    the paper approaches this in damped rounds. Layers elsewhere stay as they are.

    Args:
        network: changed in place. inputs: a real batch. seed: of the random direction that stands for a loss.

    Returns:
        The network, in the mode it was in.

    Source: section 3.2 of the paper, between-layer normalisation.

    Example:
        >>> network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4))
        >>> balance_gradients(network, torch.randn(16, 4)) is network
        True
    """
    chains = [chain for module in network.modules() if isinstance(module, nn.Sequential) for chain in _chains(module)]
    weights = [layer.weight for layers, _ in chains for layer in layers]
    if not weights:
        return network
    training = {module: module.training for module in network.modules()}
    network.train()
    for module in network.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.eval()
    try:
        with torch.enable_grad():
            output = network(*inputs)
            direction = torch.randn(output.shape, generator=torch.Generator().manual_seed(seed))
            gradients = torch.autograd.grad((output * direction.to(output)).sum(), weights)
    finally:
        for module, mode in training.items():
            module.training = mode
    # A layer that nothing flows through has no rate; it counts as the mean.
    rates = [(g.norm() / w.norm().clamp(min=1e-12)).item() for g, w in zip(gradients, weights, strict=True)]
    log_rate = torch.tensor([rate if rate > 0 else math.nan for rate in rates]).log()
    overall = log_rate.nanmean()
    at = 0
    with torch.no_grad():
        for layers, free in chains:
            own = log_rate[at : at + len(layers)]
            at += len(layers)
            factors = (0.5 * (own - (overall if free else own.nanmean()))).nan_to_num(0.0).exp()
            for layer, factor, all_so_far in zip(layers, factors.tolist(), factors.cumprod(0).tolist(), strict=True):
                layer.weight.mul_(factor)
                if layer.bias is not None:
                    layer.bias.mul_(all_so_far)
    return network


def _chains(sequence: nn.Sequential) -> list[tuple[list[Layer], bool]]:
    """Layers that follow one another, and whether a normalisation follows the last."""
    found: list[tuple[list[Layer], bool]] = []
    layers: list[Layer] = []
    for module in [*sequence, None]:
        if isinstance(module, _LAYERS) and module.weight.requires_grad:
            layers.append(module)
        elif not isinstance(module, _HOMOGENEOUS):
            if layers:
                found.append((layers, isinstance(module, _NORMS)))
            layers = []
    return found


def _patches(x: Tensor, layer: nn.Conv2d, generator: torch.Generator) -> Tensor:
    """Random patches (n, C k k) of what a convolution looks at; padded ones only where there are no others."""
    count = max(1, _PATCHES // len(x))
    reach = [d * (k - 1) + 1 for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
    if any(s < r for s, r in zip(x.shape[2:], reach, strict=True)):
        x = F.pad(x, layer._reversed_padding_repeated_twice)  # as the layer does, whose padding may be a word ("same")
    rows = []
    for picture in x.split(1):
        columns = F.unfold(picture, layer.kernel_size, layer.dilation, 0, layer.stride)[0]
        pick = torch.randperm(columns.shape[1], generator=generator)[:count].to(x.device)
        rows.append(columns[:, pick].T)
    return torch.cat(rows)


def _centres(patches: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """At most `count` filters: directions of a spherical k-means of whitened patches, in terms of the patches
    themselves (Coates and Ng, "Learning Feature Representations with K-means", 2012)."""
    patches = patches.cpu()
    patches = patches - patches.mean(0)
    if len(patches) < count:
        return patches.new_empty(0, patches.shape[1])
    covariance = patches.T @ patches / len(patches)
    if len(covariance) > _DIRECTIONS:
        basis, values, _ = torch.svd_lowrank(covariance, _DIRECTIONS)
    else:
        values, basis = torch.linalg.eigh(covariance)
    keep = values > 1e-6 * values.max().clamp(min=1e-12)
    whiten = basis[:, keep] / (values[keep] + 0.01 * values.max()).sqrt()
    points = F.normalize(patches @ whiten, dim=1)
    points = points[points.abs().sum(1) > 0]
    if len(points) < count:
        return patches.new_empty(0, patches.shape[1])
    centres = points[torch.randperm(len(points), generator=generator)[:count]]
    for _ in range(10):
        nearest = (points @ centres.T).argmax(1)
        sums = torch.zeros_like(centres).index_add_(0, nearest, points)
        empty = sums.norm(dim=1) < 1e-6
        sums[empty] = points[torch.randint(len(points), (int(empty.sum()),), generator=generator)]
        centres = F.normalize(sums, dim=1)
    return centres @ whiten.T
