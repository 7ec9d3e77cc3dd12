"""EfficientNet-Lite0 (Tan and Le 2019; Lite is Google's of 2020), its trunk and its classifier: no
squeeze-and-excitation, ReLU6.

Names of parameters are those of the released weights as PyTorch packages have them, so that these load as they are.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import check_state

# Blocks, kernel, stride of the first block, how much it widens, channels (Tan and Le 2019, table 1, without the top).
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
# The last stage at 1/4, 1/8, 1/16 and 1/32 of the size, and its channels.
LEVELS = {1: 24, 2: 40, 4: 112, 6: 320}


class SameConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow's "SAME": ceil(size / stride) comes out, and where the padding is odd, right
    and bottom get more. Weights trained so see a shifted picture under symmetric padding."""

    def pad(self, x: Tensor) -> Tensor:
        """x with the borders that the convolution wants."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride == 1:
            return x
        high, wide = (max(kernel - (size % stride or stride), 0) for size in x.shape[2:])
        return F.pad(x, (wide // 2, wide - wide // 2, high // 2, high - high // 2))

    def apply_with(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The convolution by other numbers than its own."""
        x = self.pad(x)
        # oneDNN's backward pass of strided depthwise filters is fifty times slower in bfloat16 than in float32.
        plain = x.device.type == "cpu" and self.groups > 1 and self.stride[0] > 1 and torch.is_autocast_enabled("cpu")
        with torch.autocast("cpu", enabled=False) if plain else contextlib.nullcontext():
            x = x.to(weight.dtype) if plain else x
            return F.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)

    def forward(self, x: Tensor) -> Tensor:
        return self.apply_with(x, self.weight, self.bias)


def _conv(inputs: int, outputs: int, kernel: int = 1, *, stride: int = 1, groups: int = 1) -> SameConv2d:
    padding = kernel // 2 if stride == 1 else 0
    return SameConv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class Folding(nn.Sequential):
    """Layers in a row. A BatchNorm that keeps its statistics goes into the convolution before it, which saves a pass
    over the activations both ways."""

    def forward(self, x: Tensor) -> Tensor:
        layers = list(self)
        for layer, after in zip(layers, [*layers[1:], None], strict=True):
            if isinstance(layer, nn.BatchNorm2d) and not layer.training:
                continue  # done with the convolution
            if isinstance(layer, SameConv2d) and isinstance(after, nn.BatchNorm2d) and not after.training:
                assert after.running_mean is not None and after.running_var is not None
                scale = after.weight * torch.rsqrt(after.running_var + after.eps)
                bias = after.bias - after.running_mean * scale
                x = layer.apply_with(x, layer.weight * scale[:, None, None, None], bias)
            else:
                x = layer(x)
        return x


class Separable(Folding):
    """The first block: filter each channel, then mix them."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__(
            OrderedDict(
                conv_dw=_conv(inputs, inputs, kernel, stride=stride, groups=inputs),
                bn1=_norm(inputs),
                act1=nn.ReLU6(inplace=True),
                conv_pw=_conv(inputs, outputs),
                bn2=_norm(outputs),
            )
        )


class Inverted(Folding):
    """Widen by 1x1, filter each channel, narrow by 1x1 without activation; a shortcut where sizes allow it."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, widen: int) -> None:
        hidden = inputs * widen
        super().__init__(
            OrderedDict(
                conv_pw=_conv(inputs, hidden),
                bn1=_norm(hidden),
                act1=nn.ReLU6(inplace=True),
                conv_dw=_conv(hidden, hidden, kernel, stride=stride, groups=hidden),
                bn2=_norm(hidden),
                act2=nn.ReLU6(inplace=True),
                conv_pwl=_conv(hidden, outputs),
                bn3=_norm(outputs),
            )
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x) if self.residual else super().forward(x)


class EfficientNetLite0(nn.Module):
    """Images (N, channels, H, W) as (x - 127) / 128 of 0..255 -> what `LEVELS` names, largest first.

    Args:
        channels: 3, or 1 for gray pictures.
    """

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.stem = Folding(
            OrderedDict(conv_stem=_conv(channels, 32, 3, stride=2), bn1=_norm(32), act1=nn.ReLU6(inplace=True))
        )
        stages, inputs = [], 32
        for blocks, kernel, stride, widen, outputs in _STAGES:
            stage: list[nn.Module] = []
            for block in range(blocks):
                step = stride if block == 0 else 1
                stage.append(
                    Separable(inputs, outputs, kernel, step)
                    if widen == 1
                    else Inverted(inputs, outputs, kernel, step, widen)
                )
                inputs = outputs
            stages.append(nn.Sequential(*stage))
        self.blocks = nn.Sequential(*stages)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x, levels = self.stem(x), []
        for number, stage in enumerate(self.blocks):
            x = stage(x)
            if number in LEVELS:
                levels.append(x)
        return tuple(levels)


def depthwise(module: nn.Module) -> list[nn.Module]:
    """The filters in a module that look at each channel by itself, and their BatchNorms."""
    found: list[nn.Module] = []
    for block in module.modules():
        if isinstance(block, nn.Sequential):
            pairs = zip(list(block), list(block)[1:], strict=False)
            found += [m for c, n in pairs if isinstance(c, nn.Conv2d) and c.groups > 1 for m in (c, n)]
    return found


def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The trunk's part of a state dict under the released names, as `EfficientNetLite0` has it."""
    top = {"conv_stem.weight": "stem.conv_stem.weight"}
    trunk = {top.get(k, f"stem.{k}" if k.startswith("bn1.") else k): v for k, v in state.items()}
    return {k: v.float() for k, v in trunk.items() if k.startswith(("stem.", "blocks."))}


class EfficientNetLite0Classifier(nn.Module):
    """RGB (N, 3, H, W) as (x - 127) / 128 of 0..255 -> logits (N, classes)."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.trunk = EfficientNetLite0()
        self.conv_head = nn.Conv2d(320, 1280, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(1280, eps=1e-3)
        self.classifier = nn.Linear(1280, classes)

    def forward(self, rgb: Tensor) -> Tensor:
        return self.classifier(F.relu6(self.bn2(self.conv_head(self.trunk(rgb)[-1]))).mean((2, 3)))


def classifier(state: dict[str, Tensor], what: str) -> EfficientNetLite0Classifier:
    """The classifier of a state dict under the released names, in evaluation mode, float32.

    Raises:
        ValueError: it is another network's; what: how the message begins, "encoder: FILE must be".
    """
    last = state.get("classifier.bias")
    network = EfficientNetLite0Classifier(1000 if last is None else len(last))
    top = {k: v.float() for k, v in state.items() if k.startswith(("conv_head.", "bn2.", "classifier."))}
    state = {f"trunk.{key}": value for key, value in renamed(state).items()} | top
    check_state(network, state, f"{what} a state dict of EfficientNet-Lite0")
    network.load_state_dict(state, strict=False)
    return network.eval()
