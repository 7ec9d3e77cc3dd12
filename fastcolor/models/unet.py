"""pix2pix's generator for 256 px (Isola et al. 2017): eight halvings, eight doublings, a skip at every size.

54.4 M parameters. The published one takes multiples of 256; this one is the same there and also takes multiples of 32.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import AB_RANGE, check_lightness, dtype_of, init_normal


def _down(inputs: int, outputs: int, *, norm: bool = True) -> nn.Sequential:
    layers = [nn.LeakyReLU(0.2), nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False)]
    return nn.Sequential(*layers, *([nn.BatchNorm2d(outputs)] if norm else []))


def _up(inputs: int, outputs: int, *, dropout: float = 0.0) -> nn.Sequential:
    layers = [nn.ReLU(), nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([nn.Dropout(dropout)] if dropout else []))


class UNetGenerator(nn.Module):
    """L (N, 1, H, W) in [0, 100], H and W multiples of 32 -> ab (N, 2, H, W) float32 in (-110, 110).

    In training mode at least two values a channel must reach the innermost BatchNorm: a picture of 256 px, or two
    smaller ones. `torch.export` keeps the batch open but fixes height and width, on which sides below 1/32 depend.

    Args:
        channels: of the outermost block (pix2pix's ngf). dropout: of the three blocks next to the innermost one.
    """

    kind = "regressor"
    stride = 32

    def __init__(self, channels: int = 64, dropout: float = 0.5) -> None:
        super().__init__()
        widths = [channels * factor for factor in (1, 2, 4, 8, 8, 8, 8, 8)]
        downs = [nn.Sequential(nn.Conv2d(1, channels, 4, 2, 1, bias=False))]
        downs += [_down(a, b) for a, b in pairwise(widths[:-1])]
        self.downs = nn.ModuleList([*downs, _down(widths[-2], widths[-1], norm=False)])
        # From the innermost to the second outermost; all but the first see their skip beside what came up.
        ups = [_up(widths[-1], widths[-2])]
        for level in range(6, 0, -1):
            ups.append(_up(2 * widths[level], widths[level - 1], dropout=dropout if level >= 4 else 0.0))
        self.ups = nn.ModuleList(ups)
        self.head = nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(2 * channels, 2, 4, 2, 1))
        init_normal(self)

    def forward(self, lightness: Tensor) -> Tensor:
        check_lightness(lightness, self.stride)
        x = (lightness / 50 - 1).to(dtype_of(self.head[1]))
        skips = []
        for level, down in enumerate(self.downs):
            if level >= 5:  # below 1/32 of the size, odd sides grow by the zeros that the convolution pads with anyway
                x = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))
            x = down(x)
            skips.append(x)
        x = self.ups[0](x)
        for up, skip in zip(self.ups[1:], skips[-2:0:-1], strict=True):
            x = up(torch.cat([skip, x[..., : skip.shape[2], : skip.shape[3]]], 1))
        x = self.head(torch.cat([skips[0], x], 1))
        return AB_RANGE * torch.tanh(x.float())
