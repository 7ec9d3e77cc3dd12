"""The default generator: EfficientNet-Lite0's trunk, a small U-Net decoder, colour logits at quarter size, and hints.

4.7 M parameters. Trained from ImageNet weights it knows things by their looks, which is most of what colouring needs;
depthwise filters keep it fast on a CPU. Hints enter last of all: what comes before them is computed once a picture,
however often somebody changes their mind about a colour.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..palette import Palette
from .efficientnet import LEVELS, EfficientNetLite0, renamed
from .hints import Encoded, Hints, Maps, up
from .layers import ConvNormAct, Residual, check_lightness, check_state

# sRGB's gray value s of L, as the trunk wants it, (255 s - 127) / 128: a parabola over L = 0 to 100 by least squares,
# on average within 0.7 of 255 gray levels.
_GRAY = (-0.9505, 0.016021, 3.5104e-5)
_SOFTER = 0.7  # of the logits where colours are told: what is likely there lies together, and its mean errs less


def _check(hints: tuple[Tensor, Tensor], quarter: Tensor) -> None:
    n, _, h, w = quarter.shape
    for name, tensor, channels in zip(("ab", "mask"), hints, (2, 1), strict=True):
        wanted = (n, channels, 4 * h, 4 * w)
        if tensor.shape != wanted:
            raise ValueError(f"hints: {name} must have shape {wanted}, got {tuple(tensor.shape)}")


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
        self.hints = Hints(wide, narrow, bins)

    def maps(self, lightness: Tensor) -> Maps:
        """Everything that hints do not change and do not learn."""
        return self._seen(lightness)[0]

    def features(self, lightness: Tensor) -> Encoded:
        """Everything that hints do not change."""
        return self.hints.ready(self.maps(lightness))

    def _seen(self, lightness: Tensor) -> tuple[Maps, Tensor]:
        """The maps, and the scene: (N, wide, 1, 1)."""
        check_lightness(lightness, self.stride)
        # In the input's own precision: bfloat16 would band L.
        low, slope, bend = _GRAY
        gray = (low + lightness * (slope + bend * lightness)).to(self.head.weight.dtype)
        quarter, eighth, sixteenth, deepest = self.encoder(gray)
        x = self.enter_32(deepest)
        scene = self.scene(x)
        x = self.mix_32(x + scene)
        wide = up(x) + self.skip_16(sixteenth)
        x = self.mix_8(up(self.enter_8(self.mix_16(wide))) + self.skip_8(eighth))
        return Maps(wide, up(self.enter_4(x)) + self.skip_4(quarter), eighth, sixteenth, lightness), scene

    def colours(self, features: Encoded | Maps, hints: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Logits from features.

        Args:
            features: of `features`; or of `maps`, from which what hints make of them begins. hints: (ab, mask): ab
                (N, 2, H, W) in Lab units, and mask (N, 1, H, W), from 0, nothing is known, to 1, ab is to be followed.
        """
        if hints is None:
            return self.head(self.mix_4(features.quarter))
        return self.hinted(features, hints)[0]

    def hinted(
        self, features: Encoded | Maps, hints: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Logits that follow hints, and what brings the colours made of them, (N, 2, H/4, W/4), on to the hints; see
        `Hints.settled`."""
        _check(hints, features.quarter)
        seen = self.hints.ready(features) if isinstance(features, Maps) else features
        added, trusted, asked = self.hints(*hints, seen)
        x = torch.cat([self.mix_4(seen.quarter + added), trusted, torch.ones_like(trusted[:, :1])], 1)
        # Training asks for what is likely, painting for its mean. Hints may learn where the rest does not.
        if not self.hints.training:
            x = x * (1 - _SOFTER * trusted[:, 2:].clamp(0, 1))
        # One product: logits are most of what there is to write.
        bias: Any = self.head.bias
        weights = self.head.weight, self.hints.classes.weight, bias[:, None, None, None]
        return F.conv2d(x, torch.cat(weights, 1)), lambda ab: self.hints.settled(ab, hints[1], asked, seen)

    def forward(
        self, lightness: Tensor, hints: tuple[Tensor, Tensor] | None = None, scene: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Logits; and with `scene` (N, wide, 1, 1) too, what the decoder knows of the whole picture."""
        maps, whole = self._seen(lightness)
        logits = self.colours(maps, hints)
        return (logits, whole) if scene else logits

    @property
    def encoder_blocks(self) -> list[nn.Module]:
        return [self.encoder.stem, *(block for stage in self.encoder.blocks for block in stage.children())]

    def check_taught(self) -> None:
        """Find out whether hints say anything: as a network begins they do not, and neither do those of files from
        when they were followed otherwise.

        Raises:
            ValueError: they do not.
        """
        if not any(bool(one.any()) for one in self.hints.say[-1].parameters()):
            raise ValueError(
                "hints: must come with weights that follow them, got some that never learnt it, or as an earlier "
                "version did; `fastcolor train --preset hints --start FILE` teaches them"
            )

    def set_palette(self, palette: Palette) -> None:
        """What the classes mean, before training."""
        self.hints.set_palette(palette)

    def load_imagenet(self, state: dict[str, Tensor]) -> None:
        """Start the trunk from EfficientNet-Lite0's ImageNet weights, which expect RGB: a gray picture has three equal
        channels, so the first filters are summed over them."""
        trunk = renamed(state)
        stem = "stem.conv_stem.weight"
        if stem in trunk:
            trunk[stem] = trunk[stem].sum(1, keepdim=True)
        check_state(self.encoder, trunk, "encoder weights: must be an EfficientNet-Lite0 state dict")
        self.encoder.load_state_dict(trunk, strict=False)
