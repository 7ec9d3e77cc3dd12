"""The first default generator: MobileNetV2's encoder, a small U-Net decoder, colour logits at quarter size.

3.4 M parameters. Trained from ImageNet weights it knows things by their looks, which is most of what colouring needs;
depthwise filters keep it fast on a CPU.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .layers import ConvNormAct, InvertedResidual, Residual, check_lightness, check_state

# MobileNetV2 1.0 (Sandler et al. 2018, table 2): widen, channels, blocks, stride of the first block.
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
# The last block at 1/4, 1/8 and 1/16 of the size, and its channels.
_SKIPS = {3: 24, 6: 32, 13: 96}


def _up(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


class MobileNetGenerator(nn.Module):
    """L (N, 1, H, W) in [0, 100], H and W multiples of 32 -> logits (N, bins, H/4, W/4).

    Args:
        bins: of the palette. widths: of the decoder at 1/16, 1/8 and 1/4 of the size.
    """

    kind = "classifier"
    stride = 32  # H and W must be multiples

    def __init__(self, bins: int = 313, widths: tuple[int, int, int] = (160, 96, 64)) -> None:
        super().__init__()
        # `features` has torchvision's names, so that ImageNet weights load into it.
        features: list[nn.Module] = [ConvNormAct(1, 32, stride=2)]
        channels = 32
        for widen, outputs, blocks, stride in _STAGES:
            for block in range(blocks):
                features.append(InvertedResidual(channels, outputs, stride=stride if block == 0 else 1, widen=widen))
                channels = outputs
        self.features = nn.Sequential(*features)

        wide, middle, narrow = widths
        self.scene = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, wide, 1))  # what is this a picture of?
        self.enter_32 = ConvNormAct(channels, wide, 1)
        self.mix_32 = Residual(wide)
        self.skip_16 = ConvNormAct(_SKIPS[13], wide, 1)
        self.mix_16 = Residual(wide)
        self.enter_8 = ConvNormAct(wide, middle, 1)
        self.skip_8 = ConvNormAct(_SKIPS[6], middle, 1)
        self.mix_8 = Residual(middle)
        self.enter_4 = ConvNormAct(middle, narrow, 1)
        self.skip_4 = ConvNormAct(_SKIPS[3], narrow, 1)
        self.mix_4 = ConvNormAct(narrow, narrow)
        self.head = nn.Conv2d(narrow, bins, 1)

    def forward(self, lightness: Tensor) -> Tensor:
        check_lightness(lightness, self.stride)
        # To the range that the ImageNet weights expect, in the input's own precision: bfloat16 would band L.
        x = ((lightness - 50) / 50).to(self.head.weight.dtype)
        skips = {}
        for i, block in enumerate(self.features):
            x = block(x)
            if i in _SKIPS:
                skips[i] = x
        x = self.mix_32(self.enter_32(x) + self.scene(x))
        x = self.mix_16(_up(x) + self.skip_16(skips[13]))
        x = self.mix_8(_up(self.enter_8(x)) + self.skip_8(skips[6]))
        x = self.mix_4(_up(self.enter_4(x)) + self.skip_4(skips[3]))
        return self.head(x)

    @property
    def encoder_blocks(self) -> list[nn.Module]:
        return list(self.features)

    def load_imagenet(self, state: dict[str, Tensor]) -> None:
        """Start the encoder from MobileNetV2 1.0's ImageNet weights under torchvision's names, which expect RGB in
        [-1, 1]: a gray picture has three equal channels, so the first filters are summed over them."""
        encoder = {k.removeprefix("features."): v for k, v in state.items() if k.startswith("features.")}
        encoder = {k: v.float() for k, v in encoder.items() if not k.startswith("18.")}
        if "0.0.weight" in encoder:
            encoder["0.0.weight"] = encoder["0.0.weight"].sum(1, keepdim=True)
        what = "encoder weights: must be a MobileNetV2 1.0 state dict under torchvision's names"
        check_state(self.features, encoder, what)
        self.features.load_state_dict(encoder, strict=False)
