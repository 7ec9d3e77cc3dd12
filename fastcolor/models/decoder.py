"""The way back up, for generators that halve the size: a U-Net's steps, and the heads that end in colours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import AB_RANGE, conv_norm

Head = Literal["classes", "ab", "both"]
Norm = Callable[[int], nn.Module]


class Up(nn.Module):
    """x (N, C, h, w) and a skip (N, S, 2h, 2w) -> (N, outputs, 2h, 2w): two 3x3 convolutions over both."""

    def __init__(self, inputs: int, skip: int, outputs: int, *, norm: Norm = nn.BatchNorm2d) -> None:
        super().__init__()
        first = [*conv_norm(inputs + skip, outputs, norm=norm), nn.ReLU(inplace=True)]
        self.mix = nn.Sequential(*first, *conv_norm(outputs, outputs, norm=norm), nn.ReLU(inplace=True))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.mix(torch.cat([F.interpolate(x, scale_factor=2, mode="nearest"), skip], 1))


class Heads(nn.Module):
    """Logits from features at a quarter of the size; ab from two more steps up.

    Args:
        quarter: channels at 1/4 of the size. half: channels of the skip at 1/2. head: what to make of them.
            bins: of the palette.
    """

    def __init__(self, quarter: int, half: int, *, head: Head, bins: int, norm: Norm = nn.BatchNorm2d) -> None:
        super().__init__()
        if head not in ("classes", "ab", "both"):
            raise ValueError(f"head: must be 'classes', 'ab' or 'both', got {head!r}")
        self.kind = "classifier" if head == "classes" else "regressor"
        self.has_both = head == "both"
        if head != "ab":
            self.classes = nn.Conv2d(quarter, bins, 1)
        if head != "classes":
            self.up_2 = Up(quarter, half, 64, norm=norm)
            # Full size is dear: one narrow layer, which sees L itself for the edges, and no normalisation after it.
            self.ab = nn.Sequential(nn.Conv2d(65, 32, 3, 1, 1), nn.ReLU(inplace=True), nn.Conv2d(32, 2, 3, 1, 1))

    def forward(self, quarter: Tensor, half: Tensor, full: Tensor, both: bool) -> Tensor | tuple[Tensor, Tensor]:
        if both and not self.has_both:
            raise ValueError("both: asks for logits and ab, but the network was not built with head='both'")
        if self.kind == "classifier":
            return self.classes(quarter)
        x = F.interpolate(self.up_2(quarter, half), scale_factor=2, mode="nearest")
        ab = AB_RANGE * torch.tanh(self.ab(torch.cat([x, full], 1)).float())
        return (self.classes(quarter), ab) if both else ab
