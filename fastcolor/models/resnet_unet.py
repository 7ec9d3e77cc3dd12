"""A U-Net whose encoder is ResNet18 (He et al. 2016), for starting from ImageNet weights. 14.5 M parameters.

BatchNorm carries the statistics of the RGB pictures that it was trained on, which lightness alone does not have.
GroupNorm (Wu and He 2018) has none to carry and does not depend on the batch, so it stands in every norm's place unless
asked otherwise; BatchNorm is faster, since inference folds it into the convolutions.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from .decoder import Head, Heads, Norm, Up
from .layers import check_lightness, check_state, conv_norm, dtype_of

_NORMS: dict[str, Norm] = {"group": partial(nn.GroupNorm, 32), "batch": nn.BatchNorm2d}
# What ImageNet weights expect of a channel of sRGB in [0, 1], averaged over the three.
_MEAN, _STD = 0.449, 0.226


class BasicBlock(nn.Module):
    """ResNet18's block: two 3x3 convolutions around a shortcut, which is 1x1 where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int, norm: Norm) -> None:
        super().__init__()
        conv1, bn1 = conv_norm(inputs, outputs, stride=stride, norm=norm)
        conv2, bn2 = conv_norm(outputs, outputs, norm=norm)
        self.body = nn.Sequential(OrderedDict(conv1=conv1, bn1=bn1, relu=nn.ReLU(inplace=True), conv2=conv2, bn2=bn2))
        same = stride == 1 and inputs == outputs
        self.downsample = None if same else nn.Sequential(*conv_norm(inputs, outputs, 1, stride=stride, norm=norm))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(self.body(x) + shortcut)


class ResNetUNet(nn.Module):
    """L (N, 1, H, W) in [0, 100], H and W multiples of 32 -> logits (N, bins, H/4, W/4), or ab (N, 2, H, W) float32 in
    (-110, 110).

    Args:
        head: "classes" makes a classifier, "ab" a regressor, "both" a regressor that in training gives
            `model(lightness, both=True)` -> (logits, ab). norm: "group" (GroupNorm of 32 groups) or "batch".
            bins: of the palette.
    """

    stride = 32

    def __init__(self, head: Head = "ab", norm: Literal["group", "batch"] = "group", bins: int = 313) -> None:
        super().__init__()
        if norm not in _NORMS:
            raise ValueError(f"norm: must be 'group' or 'batch', got {norm!r}")
        make = _NORMS[norm]
        conv1, bn1 = conv_norm(1, 64, 7, stride=2, norm=make)
        # torchvision's names, whichever norm stands behind bn1.
        self.features = nn.Sequential(
            OrderedDict(conv1=conv1, bn1=bn1, relu=nn.ReLU(inplace=True), maxpool=nn.MaxPool2d(3, 2, 1))
        )
        for i, (inputs, outputs) in enumerate(((64, 64), (64, 128), (128, 256), (256, 512))):
            blocks = BasicBlock(inputs, outputs, 1 if i == 0 else 2, make), BasicBlock(outputs, outputs, 1, make)
            self.features.add_module(f"layer{i + 1}", nn.Sequential(*blocks))
        self.up_16 = Up(512, 256, 256, norm=make)
        self.up_8 = Up(256, 128, 128, norm=make)
        self.up_4 = Up(128, 64, 96, norm=make)
        self.heads = Heads(96, 64, head=head, bins=bins, norm=make)
        self.kind = self.heads.kind

    def forward(self, lightness: Tensor, *, both: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        check_lightness(lightness, self.stride)
        x = full = ((lightness / 100 - _MEAN) / _STD).to(dtype_of(self.features[0]))
        maps = {}
        for name, stage in self.features.named_children():
            x = stage(x)
            if name in ("relu", "layer1", "layer2", "layer3"):
                maps[name] = x
        x = self.up_16(x, maps["layer3"])
        x = self.up_8(x, maps["layer2"])
        x = self.up_4(x, maps["layer1"])
        return self.heads(x, maps["relu"], full, both)

    @property
    def encoder_blocks(self) -> list[nn.Module]:
        return list(self.features)

    def load_imagenet(self, state: Mapping[str, Tensor]) -> None:
        """Start the encoder from ResNet18's ImageNet weights under torchvision's names.

        A gray picture has three equal channels, so the first filters are summed over them. GroupNorm takes BatchNorm's
        factors and offsets and leaves its statistics.

        Raises:
            ValueError: not a state dict of ResNet18; names the keys.
        """
        own = self.features.state_dict()
        encoder = {}
        for key, value in state.items():
            if key.startswith("fc."):
                continue
            key = re.sub(r"^(layer\d\.\d)\.(conv|bn)", r"\1.body.\2", key)
            if ".running_" in key and key.partition(".running_")[0] + ".weight" in own and key not in own:
                continue
            encoder[key] = value.float()
        if "conv1.weight" in encoder:
            encoder["conv1.weight"] = encoder["conv1.weight"].sum(1, keepdim=True)
        check_state(self.features, encoder, "encoder weights: must be a ResNet18 state dict under torchvision's names")
        self.features.load_state_dict(encoder, strict=False)
