"""Colorful Image Colorization's network (Zhang, Isola and Efros 2016), under its published names. 32.2 M parameters."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..palette import Palette
from .layers import AB_RANGE, check_lightness, check_state


def block(*channels: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """3x3 convolutions, each with its ReLU, and a BatchNorm behind the last; the stride is the last convolution's."""
    layers: list[nn.Module] = []
    for i, (inputs, outputs) in enumerate(pairwise(channels)):
        step = stride if i == len(channels) - 2 else 1
        layers += [nn.Conv2d(inputs, outputs, 3, step, dilation, dilation), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.BatchNorm2d(channels[-1]))


class PublishedGenerator(nn.Module):
    """A network that loads a state dict as it was published."""

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """As torch's, but when strict it lets counts of batches be missing or too many, and tells all else that does
        not fit in one ValueError that names the keys."""
        if strict:
            check_state(self, state_dict, f"weights: must be a state dict of {type(self).__name__}")
        return super().load_state_dict(state_dict, strict=False, assign=assign)


class ECCV16(PublishedGenerator):
    """L (N, 1, H, W) in [0, 100] -> logits (N, bins, H/4, W/4); sides that are no multiples of 8 count as the next one.

    Args:
        bins: of the palette. temperature: of `ab`: 1 as the PyTorch weights were published; the paper means 0.38.
    """

    kind = "classifier"
    stride = 8

    def __init__(self, bins: int = 313, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = temperature
        self.model1 = block(1, 64, 64, stride=2)
        self.model2 = block(64, 128, 128, stride=2)
        self.model3 = block(128, 256, 256, 256, stride=2)
        self.model4 = block(256, 512, 512, 512)
        self.model5 = block(512, 512, 512, 512, dilation=2)
        self.model6 = block(512, 512, 512, 512, dilation=2)
        self.model7 = block(512, 512, 512, 512)
        self.model8 = nn.Sequential(
            nn.ConvTranspose2d(512, 256, 4, 2, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, 3, 1, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, 3, 1, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, bins, 1),
        )
        # The palette as the last layer of `ab`. The loss is on the logits, so nothing trains it.
        self.model_out = nn.Conv2d(bins, 2, 1, bias=False).requires_grad_(False)
        nn.init.zeros_(self.model_out.weight)
        if bins == len(Palette.grid()):
            self.set_palette(Palette.grid())

    def forward(self, lightness: Tensor) -> Tensor:
        check_lightness(lightness)
        x = ((lightness - 50) / 100).to(self.model_out.weight.dtype)
        for stage in (self.model1, self.model2, self.model3, self.model4, self.model5, self.model6, self.model7):
            x = stage(x)
        return self.model8(x)

    def ab(self, lightness: Tensor, temperature: float | None = None) -> Tensor:
        """The colours as published: the mean over the palette, four times enlarged.

        Args:
            lightness: as `forward` takes it. temperature: divides the logits; None: the network's own.

        Returns:
            ab (N, 2, H, W) in Lab units, H and W rounded up to multiples of 8.
        """
        temperature = self.temperature if temperature is None else temperature
        if not temperature > 0:
            raise ValueError(f"temperature: must be above 0, got {temperature}")
        probability = torch.softmax(self(lightness) / temperature, 1)
        return AB_RANGE * F.interpolate(self.model_out(probability), scale_factor=4, mode="bilinear")

    def set_palette(self, palette: Palette) -> None:
        """Make `ab` answer in this palette's colours; the 313-point grid's from the start, else none (0) until set."""
        bins = self.model_out.in_channels
        if len(palette) != bins:
            raise ValueError(f"palette: must have the network's {bins} bins, got {len(palette)}")
        with torch.no_grad():
            self.model_out.weight.copy_(palette.points.t()[:, :, None, None] / AB_RANGE)
