"""Blocks that several networks are made of."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Half the range of ab that regressors reach and discriminators see: sRGB's colours lie within (-108, 99).
AB_RANGE = 110.0
# Of RGB in [0, 1], as networks that were trained on ImageNet expect it.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def check_lightness(lightness: Tensor, stride: int = 1) -> None:
    """Refuse what a network whose sizes must be multiples of `stride` cannot take."""
    if lightness.dim() != 4 or lightness.shape[1] != 1:
        raise ValueError(f"lightness: must have shape (N, 1, H, W), got {tuple(lightness.shape)}")
    height, width = lightness.shape[2:]
    if height < 1 or width < 1 or height % stride or width % stride:
        rule = f"multiples of {stride}" if stride > 1 else "at least 1"
        raise ValueError(f"lightness: height and width must be {rule}, got {height} x {width}")


def gray_of(lightness: Tensor) -> Tensor:
    """L in [0, 100] to the sRGB gray of that lightness, in [0, 1] and float32."""
    lightness = lightness.float()
    f = (lightness + 16) / 116
    light = torch.where(lightness > 8, f**3, lightness / 903.3)
    return torch.where(light > 0.0031308, 1.055 * light.clamp(min=0.0031308) ** (1 / 2.4) - 0.055, 12.92 * light)


def dtype_of(layer: nn.Module) -> torch.dtype:
    """The precision of a layer's weight."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight.dtype


def init_normal(network: nn.Module, std: float = 0.02) -> None:
    """pix2pix's start, in place: convolutions from N(0, std) with zero bias, BatchNorm factors from N(1, std)."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0, std)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, std)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def check_state(network: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Refuse a state dict that does not fit; counts of batches may be missing or too many, nothing else.

    Raises:
        ValueError: names the first keys that are missing, unknown, of another shape, or no floats where the network
            has some, after `what`.
    """
    own = network.state_dict()
    counts = "num_batches_tracked"
    missing = [k for k in own if k not in state and not k.endswith(counts)]
    unknown = [k for k in state if k not in own and not k.endswith(counts)]
    shapes = [
        f"{k} {tuple(state[k].shape)} in place of {tuple(v.shape)}"
        for k, v in own.items()
        if k in state and state[k].shape != v.shape
    ]
    kinds = [
        f"{k} {str(state[k].dtype).removeprefix('torch.')}"
        for k, v in own.items()
        if k in state and v.is_floating_point() and not state[k].is_floating_point()
    ]
    faults = [
        f"{len(keys)} {fault} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
        for fault, keys in (
            ("missing", missing),
            ("unknown", unknown),
            ("of another shape", shapes),
            ("of no floats", kinds),
        )
        if keys
    ]
    if faults:
        raise ValueError(f"{what}, got one with tensors {' and '.join(faults)}")


def conv_norm(
    inputs: int,
    outputs: int,
    kernel: int = 3,
    *,
    stride: int = 1,
    groups: int = 1,
    dilation: int = 1,
    norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
) -> list[nn.Module]:
    """A convolution that keeps the size (before its stride) and a normalisation; inference folds BatchNorm into it."""
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation=dilation, groups=groups, bias=False)
    return [conv, norm(outputs)]


class ConvNormAct(nn.Sequential):
    """conv -> BatchNorm -> ReLU6."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__(*conv_norm(inputs, outputs, kernel, stride=stride, groups=groups), nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    """MobileNetV2's block: widen by 1x1, filter each channel, narrow by 1x1 without activation (Sandler et al. 2018).

    Parameter names are torchvision's.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int, widen: int) -> None:
        super().__init__()
        hidden = inputs * widen
        layers: list[nn.Module] = [] if widen == 1 else [ConvNormAct(inputs, hidden, 1)]
        layers.append(ConvNormAct(hidden, hidden, stride=stride, groups=hidden))
        self.conv = nn.Sequential(*layers, *conv_norm(hidden, outputs, 1))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


class Residual(nn.Module):
    """Two 3x3 convolutions around a shortcut (He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(ConvNormAct(channels, channels), *conv_norm(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))


def shared_copy(network: nn.Module) -> nn.Module:
    """A copy for inference whose tensors are the network's own, until something puts others in their places: large
    networks are not to lie in memory twice.

    Args:
        network: nothing may write into its tensors as long as the copy is used.

    Returns:
        The copy, in evaluation mode, no tensor of which wants a gradient.
    """
    own: dict[int, object] = {id(one): nn.Parameter(one.detach(), False) for one in network.parameters()}
    own |= {id(one): one for one in network.buffers()}
    return copy.deepcopy(network, own).eval()


def fold_batch_norm(network: nn.Module, finish: Callable[[nn.Module], object] | None = None) -> nn.Module:
    """Fold every BatchNorm that directly follows a convolution into it, in place. For inference only.

    Convolutions that compute their filters (spectral and weight normalisation) become plain ones first. A BatchNorm
    behind a ReLU stays: moved into the next convolution it would be wrong at the borders, where that one
    pads with zeros.

    Args:
        network: in evaluation mode, its pairs of (transposed) convolution and BatchNorm neighbours in nn.Sequential.
        finish: is given each innermost module as soon as it is what it will be, so that one which makes it smaller
            need not wait for all the others.

    Returns:
        The same network, BatchNorms replaced by identities.
    """
    if network.training:
        raise ValueError("network: must be in evaluation mode to be folded, got training mode")
    _fold(network, finish or (lambda module: None))
    return network


def _fold(network: nn.Module, finish: Callable[[nn.Module], object]) -> None:
    for name, child in network.named_children():
        plain = getattr(child, "plain", None)
        if plain is not None:
            setattr(network, name, plain())
    if isinstance(network, nn.Sequential):
        for i in range(len(network) - 1):
            conv, norm = network[i], network[i + 1]
            if isinstance(conv, (nn.Conv2d, nn.ConvTranspose2d)) and isinstance(norm, nn.BatchNorm2d):
                transposed = isinstance(conv, nn.ConvTranspose2d)
                network[i] = torch.nn.utils.fusion.fuse_conv_bn_eval(conv, norm, transpose=transposed)
                network[i + 1] = nn.Identity()
    children = list(network.children())
    for child in children:
        _fold(child, finish)
    if not children:
        finish(network)
