"""The network of Real-Time User-Guided Image Colorization (Zhang et al. 2017), under its published names. 34.2 M
parameters. It colours on its own, or follows hints: colours given at some pixels."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from .eccv16 import PublishedGenerator, block
from .layers import AB_RANGE, check_lightness, dtype_of, init_normal


class SIGGRAPH17(PublishedGenerator):
    """L (N, 1, H, W) in [0, 100], H and W multiples of 8, and optional hints -> ab (N, 2, H, W) float32 in (-110, 110).

    Args:
        bins: of the auxiliary classifier, which the published weights have at 529 (a 10-unit grid over all of ab).
    """

    kind = "regressor"
    stride = 8

    def __init__(self, bins: int = 529) -> None:
        super().__init__()
        self.model1 = block(4, 64, 64)
        self.model2 = block(64, 128, 128)
        self.model3 = block(128, 256, 256, 256)
        self.model4 = block(256, 512, 512, 512)
        self.model5 = block(512, 512, 512, 512, dilation=2)
        self.model6 = block(512, 512, 512, 512, dilation=2)
        self.model7 = block(512, 512, 512, 512)
        self.model8up = nn.Sequential(nn.ConvTranspose2d(512, 256, 4, 2, 1))
        self.model8 = nn.Sequential(nn.ReLU(inplace=True), *block(256, 256, 256))
        self.model9up = nn.Sequential(nn.ConvTranspose2d(256, 128, 4, 2, 1))
        self.model9 = nn.Sequential(nn.ReLU(inplace=True), *block(128, 128))
        self.model10up = nn.Sequential(nn.ConvTranspose2d(128, 128, 4, 2, 1))
        self.model10 = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(128, 128, 3, 1, 1), nn.LeakyReLU(0.2))
        self.model3short8 = nn.Sequential(nn.Conv2d(256, 256, 3, 1, 1))
        self.model2short9 = nn.Sequential(nn.Conv2d(128, 128, 3, 1, 1))
        self.model1short10 = nn.Sequential(nn.Conv2d(64, 128, 3, 1, 1))
        self.model_class = nn.Sequential(nn.Conv2d(256, bins, 1))
        self.model_out = nn.Sequential(nn.Conv2d(128, 2, 1))  # its tanh is in forward
        init_normal(self)

    def forward(
        self,
        lightness: Tensor,
        hints: tuple[Tensor, Tensor] | None = None,
        *,
        both: bool = False,
        trunk: Literal["classes", "colours"] | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Colour, and in training with `both` also classify.

        Args:
            lightness: L. hints: (ab, mask): ab (N, 2, H, W) in Lab units, 0 where nothing is known, and mask
                (N, 1, H, W), 1 where ab is to be followed, else 0. both: also run the auxiliary classifier.
            trunk: whose gradient reaches the layers that both answers share, up to `model8`; the other answer's own
                layers learn from their output as it is. None: both.

        Returns:
            ab; with `both`: (logits (N, bins, H/4, W/4), ab).
        """
        check_lightness(lightness, self.stride)
        n, _, height, width = lightness.shape
        if hints is None:
            given = lightness.new_zeros(n, 3, height, width)
        else:
            ab, mask = hints
            for name, tensor, channels in (("ab", ab, 2), ("mask", mask, 1)):
                if tensor.shape != (n, channels, height, width):
                    wanted = (n, channels, height, width)
                    raise ValueError(f"hints: {name} must have shape {wanted}, got {tuple(tensor.shape)}")
            given = torch.cat([ab.to(lightness) / AB_RANGE, mask.to(lightness)], 1)
        x = torch.cat([(lightness - 50) / 100, given], 1).to(dtype_of(self.model1[0]))

        # The published network halves the size by leaving every other row and column out.
        full = self.model1(x)
        half = self.model2(full[:, :, ::2, ::2])
        quarter = self.model3(half[:, :, ::2, ::2])
        x = self.model4(quarter[:, :, ::2, ::2])
        x = self.model7(self.model6(self.model5(x)))
        quarter = self.model8(self.model8up(x) + self.model3short8(quarter))
        logits = self.model_class(quarter.detach() if trunk == "colours" else quarter) if both else None
        if trunk == "classes":
            full, half, quarter = full.detach(), half.detach(), quarter.detach()
        half = self.model9(self.model9up(quarter) + self.model2short9(half))
        full = self.model10(self.model10up(half) + self.model1short10(full))
        ab = AB_RANGE * torch.tanh(self.model_out(full).float())
        return ab if logits is None else (logits, ab)

    def features(self, lightness: Tensor) -> tuple[Tensor, ...]:
        """For `colours`, which is the whole network: its hints are part of the first layer's input."""
        return (lightness,)

    def colours(self, features: tuple[Tensor, ...], hints: tuple[Tensor, Tensor] | None = None) -> Tensor:
        return self(*features, hints)
