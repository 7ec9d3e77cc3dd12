"""Networks that tell true colours from painted ones, for adversarial training."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm as normalise_spectrum

from .layers import AB_RANGE, check_lightness, dtype_of, init_normal


class PatchDiscriminator(nn.Module):
    """PatchGAN (Isola et al. 2017): L (N, 1, H, W) and ab (N, 2, H, W), both sides 24 or more -> logits
    (N, 1, H/8 - 2, W/8 - 2), each of them a verdict on the 70 x 70 pixels around it.

    Args:
        channels: of the first layer (pix2pix's ndf). spectral_norm: bound each layer's gain (Miyato et al. 2018), in
            place of BatchNorm, which would undo the bound.
    """

    def __init__(self, channels: int = 64, spectral_norm: bool = False) -> None:
        super().__init__()
        widths = [3, channels, 2 * channels, 4 * channels, 8 * channels]
        stages = []
        for i, (inputs, outputs) in enumerate(pairwise(widths)):
            norm = i > 0 and not spectral_norm
            layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, 4, 2 if i < 3 else 1, 1, bias=not norm)]
            layers += [nn.BatchNorm2d(outputs)] if norm else []
            stages.append(nn.Sequential(*layers, nn.LeakyReLU(0.2)))
        stages.append(nn.Sequential(nn.Conv2d(widths[-1], 1, 4, 1, 1)))
        self.stages = nn.ModuleList(stages)
        init_normal(self)
        if spectral_norm:
            for stage in stages:
                normalise_spectrum(stage[0])

    def forward(self, lightness: Tensor, ab: Tensor, *, features: bool = False) -> Tensor | tuple[Tensor, list[Tensor]]:
        """The logits; with `features` also what each stage but the last made of the input, for feature matching."""
        check_lightness(lightness)
        n, _, height, width = lightness.shape
        if ab.shape != (n, 2, height, width):
            raise ValueError(f"ab: must have shape {(n, 2, height, width)}, as lightness has, got {tuple(ab.shape)}")
        if min(height, width) < 24:
            raise ValueError(f"lightness: height and width must be at least 24, got {height} x {width}")
        x = torch.cat([lightness / 50 - 1, ab / AB_RANGE], 1).to(dtype_of(self.stages[0].get_submodule("0")))
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return (x, maps[:-1]) if features else x
