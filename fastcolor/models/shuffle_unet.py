"""The way up that DDColor and DeOldify share: fastai's U-Net with pixel shuffles, blurs and spectral normalisation.

Published weights hold a spectrally normalised filter as `weight_orig` with the vectors `weight_u` and `weight_v`. What
counts in evaluation is weight_orig / (u' W v) with the vectors as they are stored: no other estimate of the norm gives
the published network. `plain()` folds it once, for `layers.fold_batch_norm`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Conv = TypeVar("Conv", nn.Conv1d, nn.Conv2d)


def _normalise(conv: SpectralConv1d | SpectralConv2d) -> None:
    """Replace `weight` (outputs, ...) by the published three; u and v start as one round of power iteration."""
    weight = conv.weight.detach()
    del conv.weight
    matrix = weight.flatten(1)
    u = F.normalize(torch.randn(len(matrix)), dim=0)
    v = F.normalize(matrix.t() @ u, dim=0)
    conv.weight_orig = nn.Parameter(weight)
    conv.register_buffer("weight_u", F.normalize(matrix @ v, dim=0))
    conv.register_buffer("weight_v", v)


def _normalised(conv: SpectralConv1d | SpectralConv2d) -> Tensor:
    return conv.weight_orig / torch.dot(conv.weight_u, conv.weight_orig.flatten(1) @ conv.weight_v)


class SpectralConv2d(nn.Conv2d):
    """A convolution that divides its filters by their estimated spectral norm (Miyato et al. 2018)."""

    weight_orig: nn.Parameter
    weight_u: Tensor
    weight_v: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, *, bias: bool = False) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2, bias=bias)
        _normalise(self)

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, _normalised(self), self.bias)

    def plain(self) -> nn.Conv2d:
        """The same convolution with the norm folded in."""
        return _folded(self, nn.Conv2d, _normalised(self))


class SpectralConv1d(nn.Conv1d):
    """As `SpectralConv2d`, 1x1 and without a bias, over a row of pixels."""

    weight_orig: nn.Parameter
    weight_u: Tensor
    weight_v: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 1, bias=False)
        _normalise(self)

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, _normalised(self), None)

    def plain(self) -> nn.Conv1d:
        return _folded(self, nn.Conv1d, _normalised(self))


class WeightNormConv2d(nn.Conv2d):
    """A 1x1 convolution under weight normalisation: g v / |v|, the norm over all but the outputs (Salimans, Kingma)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 1)
        weight = self.weight.detach()
        del self.weight
        self.weight_g = nn.Parameter(weight.flatten(1).norm(dim=1)[:, None, None, None])
        self.weight_v = nn.Parameter(weight)

    def _weight(self) -> Tensor:
        return self.weight_v * (self.weight_g / self.weight_v.flatten(1).norm(dim=1)[:, None, None, None])

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self._weight(), self.bias)

    def plain(self) -> nn.Conv2d:
        return _folded(self, nn.Conv2d, self._weight())


def _folded(conv: Conv, kind: Callable[..., Conv], weight: Tensor) -> Conv:
    outputs, inputs = weight.shape[:2]
    made = kind(inputs, outputs, weight.shape[2:], padding=conv.padding, bias=conv.bias is not None)
    made.weight = nn.Parameter(weight.detach(), requires_grad=False)
    if conv.bias is not None:
        made.bias = nn.Parameter(conv.bias.detach(), requires_grad=False)
    return made.to(weight.dtype).train(conv.training)


class Shuffle(nn.Module):
    """x (N, C, h, w) -> (N, outputs, scale h, scale w): 1x1 convolution, ReLU, pixel shuffle, and a blur of 2x2 against
    its checkerboard (Shi et al. 2016; Sugawara et al. 2018), which looks left and up.

    Args:
        norm: a BatchNorm before the ReLU. conv: None is a spectral one, without a bias where there is a norm.
    """

    def __init__(
        self, inputs: int, outputs: int, scale: int = 2, *, norm: bool = True, conv: nn.Module | None = None
    ) -> None:
        super().__init__()
        wide = outputs * scale**2
        layers: list[nn.Module] = [conv or SpectralConv2d(inputs, wide, 1, bias=not norm)]
        self.conv = nn.Sequential(*layers, *([nn.BatchNorm2d(wide)] if norm else []), nn.ReLU(inplace=True))
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        x = F.pixel_shuffle(self.conv(x), self.scale)
        return F.avg_pool2d(F.pad(x, (1, 0, 1, 0), mode="replicate"), 2, stride=1)


def spectral_block(inputs: int, outputs: int, *, norm: bool = True) -> nn.Sequential:
    """A 3x3 spectral convolution, ReLU, and behind it BatchNorm; without the norm the convolution has a bias."""
    conv = SpectralConv2d(inputs, outputs, 3, bias=not norm)
    return nn.Sequential(conv, nn.ReLU(inplace=True), *([nn.BatchNorm2d(outputs)] if norm else []))


class ShuffleUp(nn.Module):
    """x (N, C, h, w) and a skip (N, S, about 2h, about 2w) -> (N, outputs, as the skip).

    Args:
        shuffled: channels of x after its shuffle. outputs: of each 3x3 convolution behind the join, by its name.
    """

    def __init__(self, inputs: int, skip: int, shuffled: int, outputs: dict[str, int]) -> None:
        super().__init__()
        self.shuf = Shuffle(inputs, shuffled)
        self.bn = nn.BatchNorm2d(skip)
        joined = shuffled + skip
        self._names = tuple(outputs)
        for name, channels in outputs.items():
            self.add_module(name, spectral_block(joined, channels))
            joined = channels

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = self.shuf(x)
        if x.shape[2:] != skip.shape[2:]:  # sides that are no multiples of the network's stride
            x = F.interpolate(x, skip.shape[2:], mode="nearest")
        x = F.relu(torch.cat([x, self.bn(skip)], 1))
        for name in self._names:
            x = self.get_submodule(name)(x)
        return x
