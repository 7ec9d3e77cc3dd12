"""DeOldify (Jason Antic, 2018 to 2022), under its published names: fastai's U-Net over a ResNet, with self-attention.

"artistic" is deep: ResNet-34 and two convolutions a step, 63.6 M parameters. "stable" and "video" are wide: ResNet-101,
218.2 M.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import reference
from .eccv16 import PublishedGenerator
from .layers import IMAGENET_MEAN, IMAGENET_STD, check_lightness, conv_norm, gray_of
from .shuffle_unet import Shuffle, ShuffleUp, SpectralConv1d, SpectralConv2d, WeightNormConv2d, spectral_block

_STAGES = {"deep": (3, 4, 6, 3), "wide": (3, 4, 23, 3)}
# Of each step up: channels of the shuffle, and of the convolutions behind the join.
_UPS = {
    "deep": ((256, (768, 768)), (384, (768, 768)), (384, (672, 672)), (336, (300, 300))),
    "wide": ((512, (512,)), (512, (512,)), (512, (512,)), (256, (256,))),
}


class DeOldifyGenerator(nn.Module):
    """L (N, 1, H, W) in [0, 100], H and W multiples of 32 -> ab (N, 2, H, W), float32, in Lab units.

    The network paints RGB. As its authors do, only what U and V of BT.601 say is taken of it, beside the gray
    picture's own luma; `network` holds it under the published names.

    Args:
        size: "deep" (artistic) or "wide" (stable and video).
    """

    kind = "regressor"
    stride = 32
    bakes_sizes = True  # its attention takes all pixels as a row
    mean: Tensor
    std: Tensor

    def __init__(self, size: str = "deep") -> None:
        super().__init__()
        self.network = DeOldify(size)
        # Of no file, so they are there where the rest is made on torch's "meta" device.
        for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            self.register_buffer(name, torch.tensor(values, device="cpu").view(1, 3, 1, 1), persistent=False)

    def forward(self, lightness: Tensor) -> Tensor:
        check_lightness(lightness, self.stride)
        gray = gray_of(lightness)
        x = (gray.to(self.mean.dtype).expand(-1, 3, -1, -1) - self.mean) / self.std
        painted = (self.network(x).float() * self.std.float() + self.mean.float()).clamp(0, 1)
        red, green, blue = painted.unbind(1)
        luma = 0.299 * red + 0.587 * green + 0.114 * blue
        # A colour of the gray picture's luma: U and V, differences from the luma, move along.
        rgb = (painted + (gray[:, 0] - luma)[:, None]).clamp(0, 1)
        return reference.rgb_to_lab(rgb)[:, 1:]


class DeOldify(PublishedGenerator):
    """RGB (N, 3, H, W) minus ImageNet's mean, over its deviation, any size -> RGB normalised alike, in (-3, 3)."""

    def __init__(self, size: str = "deep") -> None:
        super().__init__()
        if size not in _STAGES:
            raise ValueError(f"size: must be one of {', '.join(_STAGES)}, got {size!r}")
        encoder, widths = resnet(size)
        deepest = widths[-1]
        layers: list[nn.Module] = [
            encoder,
            nn.BatchNorm2d(deepest),
            nn.ReLU(),
            nn.Sequential(spectral_block(deepest, 2 * deepest), spectral_block(2 * deepest, deepest)),
        ]
        inputs = deepest
        for step, (shuffled, convs) in enumerate(_UPS[size]):
            names = ("conv",) if len(convs) == 1 else ("conv1", "conv2")
            up = ShuffleUp(inputs, widths[-2 - step], shuffled, dict(zip(names, convs, strict=True)))
            if step == 1:
                block = up.get_submodule(names[-1])
                assert isinstance(block, nn.Sequential)
                block.append(SelfAttention(convs[-1]))
            layers.append(up)
            inputs = convs[-1]
        joined = inputs + 3
        layers += [
            Shuffle(inputs, inputs, norm=False, conv=WeightNormConv2d(inputs, 4 * inputs)),
            nn.Identity(),  # joins the picture itself, and has no weights
            _Last(joined),
            nn.Sequential(SpectralConv2d(joined, 3, 1, bias=True)),
        ]
        self.layers = nn.ModuleList(layers)

    def forward(self, picture: Tensor) -> Tensor:
        encoder, norm, act, middle, *ups = self.layers[:8]
        x, skips = picture, []
        for name, stage in encoder.named_children():
            x = stage(x)
            if name in ("2", "4", "5", "6"):
                skips.append(x)
        x = middle(act(norm(x)))
        for up, skip in zip(ups, reversed(skips), strict=True):
            x = up(x, skip)
        x = self.layers[8](x)
        if x.shape[2:] != picture.shape[2:]:
            x = F.interpolate(x, picture.shape[2:], mode="nearest")
        x = self.layers[10](torch.cat([x, picture], 1))
        return 6 * torch.sigmoid(self.layers[11](x)) - 3


class SelfAttention(nn.Module):
    """Every pixel looks at all pixels, by an own factor that training starts at 0 (Zhang et al. 2019)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = SpectralConv1d(channels, channels // 8)
        self.key = SpectralConv1d(channels, channels // 8)
        self.value = SpectralConv1d(channels, channels)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        pixels = x.flatten(2)
        # As attention of one head: with none, torch's exporter to ONNX fails.
        query, key, value = (layer(pixels).transpose(1, 2)[:, None] for layer in (self.query, self.key, self.value))
        # The published softmax runs over the queries: what torch calls the query is the published key. Not scaled.
        seen = F.scaled_dot_product_attention(key, query, value, scale=1.0).transpose(2, 3)
        return x + self.gamma * seen.reshape(x.shape)


class _Last(nn.Module):
    """Two convolutions with biases beside a shortcut, and no activation behind the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        convs = (spectral_block(channels, channels, norm=False) for _ in range(2))
        self.layers = nn.Sequential(*convs)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class _Block(nn.Module):
    """ResNet's block, basic (two 3x3) or bottleneck (1x1, 3x3 with the stride, 1x1), under torchvision's names."""

    def __init__(self, inputs: int, width: int, stride: int, *, bottleneck: bool) -> None:
        super().__init__()
        shapes = ((1, 1), (3, stride), (1, 1)) if bottleneck else ((3, stride), (3, 1))
        outputs = 4 * width if bottleneck else width
        channels = inputs
        for i, (kernel, step) in enumerate(shapes, 1):
            last = i == len(shapes)
            conv, norm = conv_norm(channels, outputs if last else width, kernel, stride=step)
            self.add_module(f"conv{i}", conv)
            self.add_module(f"bn{i}", norm)
            channels = width
        self._steps = len(shapes)
        same = stride == 1 and inputs == outputs
        self.downsample = None if same else nn.Sequential(*conv_norm(inputs, outputs, 1, stride=stride))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        for i in range(1, self._steps + 1):
            x = self.get_submodule(f"bn{i}")(self.get_submodule(f"conv{i}")(x))
            x = F.relu(x) if i < self._steps else x
        return F.relu(x + shortcut)


def resnet(size: str) -> tuple[nn.Sequential, tuple[int, ...]]:
    """ResNet-34 ("deep") or ResNet-101 ("wide") as a sequence without its end, and its channels at 1/2 to 1/32."""
    bottleneck = size == "wide"
    layers: list[nn.Module] = [*conv_norm(3, 64, 7, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    channels, widths = 64, [64]
    for stage, depth in enumerate(_STAGES[size]):
        blocks = []
        for block in range(depth):
            blocks.append(_Block(channels, 64 << stage, 2 if stage and not block else 1, bottleneck=bottleneck))
            channels = (64 << stage) * (4 if bottleneck else 1)
        layers.append(nn.Sequential(*blocks))
        widths.append(channels)
    return nn.Sequential(OrderedDict((str(i), layer) for i, layer in enumerate(layers))), tuple(widths)
