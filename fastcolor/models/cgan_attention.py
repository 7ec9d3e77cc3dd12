"""A conditional generator with residual blocks, dilated convolutions, self-attention, and dropout for noise.

7.8 M parameters. Dilation (Yu and Koltun 2016) widens what the middle sees without another halving of the size;
self-attention (Zhang et al. 2019) lets far parts of an object agree on its colour.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .decoder import Head, Heads, Up
from .layers import check_lightness, conv_norm, dtype_of


class DilatedResidual(nn.Module):
    """Two 3x3 convolutions around a shortcut, the first dilated, dropout between them."""

    def __init__(self, channels: int, dilation: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *conv_norm(channels, channels, dilation=dilation),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            *conv_norm(channels, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))


class SelfAttention(nn.Module):
    """Every position of (N, C, h, w) looks at every other and adds what it found: memory linear, time quadratic in
    h w where torch has a fused kernel."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(32, channels)
        self.query_key_value = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        tokens = self.query_key_value(self.norm(x)).reshape(n, 3, self.heads, c // self.heads, h * w)
        query, key, value = tokens.transpose(3, 4).unbind(1)
        found = F.scaled_dot_product_attention(query, key, value)
        return x + self.out(found.transpose(2, 3).reshape(n, c, h, w))


class AttentionGenerator(nn.Module):
    """L (N, 1, H, W) in [0, 100], H and W multiples of 8 -> logits (N, bins, H/4, W/4), or ab (N, 2, H, W) float32 in
    (-110, 110).

    Args:
        head: "classes" makes a classifier, whose annealed mean a discriminator can judge; "ab" a regressor; "both" a
            regressor that in training gives `model(lightness, both=True)` -> (logits, ab). bins: of the palette.
            dropout: the noise, in training mode only.
    """

    stride = 8

    def __init__(self, head: Head = "classes", bins: int = 313, dropout: float = 0.3) -> None:
        super().__init__()
        self.enter_2 = nn.Sequential(*conv_norm(1, 64, stride=2), nn.ReLU(inplace=True), DilatedResidual(64))
        self.enter_4 = nn.Sequential(*conv_norm(64, 128, stride=2), nn.ReLU(inplace=True), DilatedResidual(128))
        self.enter_8 = nn.Sequential(*conv_norm(128, 256, stride=2), nn.ReLU(inplace=True), DilatedResidual(256))
        self.middle = nn.Sequential(
            DilatedResidual(256, 2, dropout),
            DilatedResidual(256, 4, dropout),
            SelfAttention(256, heads=4),
            DilatedResidual(256, 8, dropout),
            SelfAttention(256, heads=4),
            DilatedResidual(256, 2, dropout),
        )
        self.up_4 = Up(256, 128, 128)
        self.noise = nn.Dropout(dropout)
        self.heads = Heads(128, 64, head=head, bins=bins)
        self.kind = self.heads.kind

    def forward(self, lightness: Tensor, *, both: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        check_lightness(lightness, self.stride)
        full = (lightness / 50 - 1).to(dtype_of(self.enter_2[0]))
        half = self.enter_2(full)
        quarter = self.enter_4(half)
        x = self.middle(self.enter_8(quarter))
        return self.heads(self.noise(self.up_4(x, quarter)), half, full, both)
