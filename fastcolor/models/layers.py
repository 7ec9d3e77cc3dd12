"""Blocks that several networks are made of."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv_norm(inputs: int, outputs: int, kernel: int = 3, *, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """A convolution that keeps the size (before its stride) and a BatchNorm, which inference folds into it."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(outputs)]


class ConvNormAct(nn.Sequential):
    """conv -> BatchNorm -> ReLU6."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__(*conv_norm(inputs, outputs, kernel, stride=stride, groups=groups), nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    """MobileNetV2's block: widen by 1x1, filter each channel, narrow by 1x1 without activation (Sandler et al. 2018).

    Parameter names are torchvision's.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int, widen: int) -> None:
        super().__init__()
        hidden = inputs * widen
        layers: list[nn.Module] = [] if widen == 1 else [ConvNormAct(inputs, hidden, 1)]
        layers.append(ConvNormAct(hidden, hidden, stride=stride, groups=hidden))
        self.conv = nn.Sequential(*layers, *conv_norm(hidden, outputs, 1))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


class Residual(nn.Module):
    """Two 3x3 convolutions around a shortcut (He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(ConvNormAct(channels, channels), *conv_norm(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """Fold every BatchNorm that directly follows a convolution into it, in place. For inference only.

    Args:
        network: in evaluation mode, its conv-BatchNorm pairs neighbours in nn.Sequential.

    Returns:
        The same network, BatchNorms replaced by identities.
    """
    if network.training:
        raise ValueError("network: must be in evaluation mode to be folded, got training mode")
    for module in network.modules():
        if not isinstance(module, nn.Sequential):
            continue
        for i in range(len(module) - 1):
            if isinstance(module[i], nn.Conv2d) and isinstance(module[i + 1], nn.BatchNorm2d):
                module[i] = torch.nn.utils.fusion.fuse_conv_bn_eval(module[i], module[i + 1])
                module[i + 1] = nn.Identity()
    return network
