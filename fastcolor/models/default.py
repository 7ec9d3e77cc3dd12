"""The default generator: EfficientNet-Lite0's trunk, a small U-Net decoder, colour logits at quarter size, and hints.

4.7 M parameters. Trained from ImageNet weights it knows things by their looks, which is most of what colouring needs;
depthwise filters keep it fast on a CPU. Hints enter late: what comes before them is computed once a picture, however
often somebody changes their mind about a colour.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .efficientnet import LEVELS, EfficientNetLite0, renamed
from .layers import ConvNormAct, Residual, check_lightness, check_state

# sRGB's gray value s of L, as the trunk wants it, (255 s - 127) / 128: a parabola over L = 0 to 100 by least squares,
# on average within 0.7 of 255 gray levels.
_GRAY = (-0.9505, 0.016021, 3.5104e-5)
_COLOUR = 50.0  # ab in units of about its spread


def _up(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


class Hints(nn.Module):
    """Turns hints into what is added to the decoder's features at 1/16 and 1/4 of the size.

    A hint says its colour where it lies, and to what looks alike: every cell at 1/16 asks all hints, the more the more
    its features resemble theirs and the nearer they are, with a learned share for none of them.

    Args:
        wide, narrow: channels of the decoder at 1/16 and 1/4.
    """

    def __init__(self, wide: int, narrow: int) -> None:
        super().__init__()
        self.match = nn.Conv2d(wide, 32, 1)
        self.sharpness = nn.Parameter(torch.tensor(8.0))
        self.distance = nn.Parameter(torch.tensor(2.0))
        self.none = nn.Parameter(torch.tensor(4.0))
        self.to_16 = nn.Sequential(nn.Conv2d(6, 64, 1), nn.ReLU6(inplace=True), nn.Conv2d(64, wide, 1))
        self.to_4 = nn.Sequential(nn.Conv2d(6, 32, 3, padding=1), nn.ReLU6(inplace=True), nn.Conv2d(32, narrow, 1))
        for last in (self.to_16[-1], self.to_4[-1]):  # at first hints say nothing
            for parameter in last.parameters():
                nn.init.zeros_(parameter)

    def forward(self, ab: Tensor, mask: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Args: ab (N, 2, H, W), mask (N, 1, H, W) in 0..1; x (N, wide, H/16, W/16) features. Returns: the addends."""
        looks = self.match(x)
        with torch.autocast(x.device.type, enabled=False):  # few numbers, and logarithms
            here_4, here_16 = _cells(ab.float(), mask.float())
            found = self._found(here_16, F.normalize(looks.float(), dim=1))
        told = mask.amax((1, 2, 3), keepdim=True).gt(0).to(x.dtype)  # a picture without hints stays as it is
        to_16 = self.to_16(torch.cat([here_16, found], 1).to(x.dtype))
        near = F.interpolate(found, scale_factor=4, mode="nearest")
        to_4 = self.to_4(torch.cat([here_4, near], 1).to(x.dtype))
        return to_16 * told, to_4 * told

    def _found(self, here: Tensor, looks: Tensor) -> Tensor:
        n, _, h, w = here.shape
        looks = looks.flatten(2)
        down, across = (torch.arange(side, device=here.device) / 16 for side in (h, w))
        down, across = ((one[:, None] - one).square() for one in (down, across))
        distances = (down[:, None, :, None] + across[:, None]).sqrt().reshape(h * w, h * w)
        given = here[:, 2:].flatten(2)
        score = self.sharpness.float() * looks.transpose(1, 2) @ looks
        score = score - self.distance.float() * distances + given.clamp(min=1e-8).log()
        share = torch.cat([score, self.none.float().expand(n, h * w, 1)], 2).softmax(2)[..., :-1] * given.gt(0)
        colours = torch.cat([here[:, :2] / here[:, 2:].clamp(min=1e-6), torch.ones_like(here[:, 2:])], 1).flatten(2)
        return (share @ colours.transpose(1, 2)).transpose(1, 2).reshape(n, 3, h, w)


def _cells(ab: Tensor, mask: Tensor) -> list[Tensor]:
    """Cells of 4 x 4 and of 16 x 16 pixels, (N, 3, h, w): ab in units of `_COLOUR` times the strongest hint, and it."""
    cells, told, strongest = [], torch.cat([ab * mask, mask], 1), mask
    for _ in range(2):
        told, strongest = F.avg_pool2d(told, 4), F.max_pool2d(strongest, 4)
        mean = told[:, :2] / told[:, 2:].clamp(min=1e-6)
        cells.append(torch.cat([mean / _COLOUR * strongest, strongest], 1))
    return cells


def _check(hints: tuple[Tensor, Tensor], quarter: Tensor) -> None:
    n, _, h, w = quarter.shape
    for name, tensor, channels in zip(("ab", "mask"), hints, (2, 1), strict=True):
        wanted = (n, channels, 4 * h, 4 * w)
        if tensor.shape != wanted:
            raise ValueError(f"hints: {name} must have shape {wanted}, got {tuple(tensor.shape)}")


class Encoded(NamedTuple):
    """What a picture shows, which hints do not change.

    Attributes:
        sixteenth: what hints are added to at 1/16 of the size. skip_8, skip_4: what the decoder adds at 1/8 and 1/4.
        looks_8, looks_16: the trunk's maps there, by which references are matched.
    """

    sixteenth: Tensor
    skip_8: Tensor
    skip_4: Tensor
    looks_8: Tensor
    looks_16: Tensor


class DefaultGenerator(nn.Module):
    """L (N, 1, H, W) in [0, 100], H and W multiples of 32, and optional hints -> logits (N, bins, H/4, W/4).

    Args:
        bins: of the palette. widths: of the decoder at 1/16, 1/8 and 1/4 of the size.
    """

    kind = "classifier"
    stride = 32  # H and W must be multiples

    def __init__(self, bins: int = 313, widths: tuple[int, int, int] = (160, 96, 64)) -> None:
        super().__init__()
        self.encoder = EfficientNetLite0(1)
        wide, middle, narrow = widths
        quarter, eighth, sixteenth, deepest = LEVELS.values()
        self.enter_32 = ConvNormAct(deepest, wide, 1)
        # What is this a picture of? Asked of what is normalised: of the trunk's own maps, whose means are far from 0,
        # the first steps made such large answers that every ReLU behind them was silent, for good.
        self.scene = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(wide, wide, 1))
        self.mix_32 = nn.Sequential(Residual(wide), Residual(wide))
        self.skip_16 = ConvNormAct(sixteenth, wide, 1)
        self.mix_16 = Residual(wide)
        self.enter_8 = ConvNormAct(wide, middle, 1)
        self.skip_8 = ConvNormAct(eighth, middle, 1)
        self.mix_8 = Residual(middle)
        self.enter_4 = ConvNormAct(middle, narrow, 1)
        self.skip_4 = ConvNormAct(quarter, narrow, 1)
        self.mix_4 = ConvNormAct(narrow, narrow)
        self.head = nn.Conv2d(narrow, bins, 1)
        self.hints = Hints(wide, narrow)

    def features(self, lightness: Tensor) -> Encoded:
        """Everything that hints do not change."""
        check_lightness(lightness, self.stride)
        # In the input's own precision: bfloat16 would band L.
        low, slope, bend = _GRAY
        gray = (low + lightness * (slope + bend * lightness)).to(self.head.weight.dtype)
        quarter, eighth, sixteenth, deepest = self.encoder(gray)
        x = self.enter_32(deepest)
        x = self.mix_32(x + self.scene(x))
        x = _up(x) + self.skip_16(sixteenth)
        return Encoded(x, self.skip_8(eighth), self.skip_4(quarter), eighth, sixteenth)

    def colours(self, features: Encoded, hints: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Logits from features.

        Args:
            features: of `features`. hints: (ab, mask): ab (N, 2, H, W) in Lab units, and mask (N, 1, H, W), from 0,
                nothing is known, to 1, ab is to be followed.
        """
        x = features.sixteenth
        if hints is not None:
            _check(hints, features.skip_4)
            to_16, to_4 = self.hints(*hints, x)
            x = x + to_16
        x = self.mix_16(x)
        x = self.mix_8(_up(self.enter_8(x)) + features.skip_8)
        x = _up(self.enter_4(x)) + features.skip_4
        x = self.mix_4(x if hints is None else x + to_4)
        return self.head(x)

    def forward(self, lightness: Tensor, hints: tuple[Tensor, Tensor] | None = None) -> Tensor:
        return self.colours(self.features(lightness), hints)

    @property
    def encoder_blocks(self) -> list[nn.Module]:
        return [self.encoder.stem, *(block for stage in self.encoder.blocks for block in stage.children())]

    def load_imagenet(self, state: dict[str, Tensor]) -> None:
        """Start the trunk from EfficientNet-Lite0's ImageNet weights, which expect RGB: a gray picture has three equal
        channels, so the first filters are summed over them."""
        trunk = renamed(state)
        stem = "stem.conv_stem.weight"
        if stem in trunk:
            trunk[stem] = trunk[stem].sum(1, keepdim=True)
        check_state(self.encoder, trunk, "encoder weights: must be an EfficientNet-Lite0 state dict")
        self.encoder.load_state_dict(trunk, strict=False)
