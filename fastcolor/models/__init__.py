"""Networks by name.

Every generator takes L (N, 1, H, W) in [0, 100], float, and normalises inside. Its `kind` is "classifier" (returns
logits (N, Q, h, w)) or "regressor" (returns ab (N, 2, h, w) in Lab units); H and W are multiples of its `stride`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from .cgan_attention import AttentionGenerator as AttentionGenerator
    from .ddcolor import DDColorGenerator as DDColorGenerator
    from .default import DefaultGenerator as DefaultGenerator
    from .deoldify import DeOldifyGenerator as DeOldifyGenerator
    from .discriminator import PatchDiscriminator as PatchDiscriminator
    from .eccv16 import ECCV16 as ECCV16
    from .mobilenet import MobileNetGenerator as MobileNetGenerator
    from .resnet_unet import ResNetUNet as ResNetUNet
    from .siggraph17 import SIGGRAPH17 as SIGGRAPH17
    from .unet import UNetGenerator as UNetGenerator

# Loaded at first use: to know a name, or where its file lies, no torch is needed.
_HOME = {
    "AttentionGenerator": "cgan_attention",
    "DDColorGenerator": "ddcolor",
    "DefaultGenerator": "default",
    "DeOldifyGenerator": "deoldify",
    "ECCV16": "eccv16",
    "MobileNetGenerator": "mobilenet",
    "PatchDiscriminator": "discriminator",
    "ResNetUNet": "resnet_unet",
    "SIGGRAPH17": "siggraph17",
    "UNetGenerator": "unet",
}
_BUILDERS = {
    "default": "DefaultGenerator",
    "default-mobilenet": "MobileNetGenerator",
    "eccv16": "ECCV16",
    "siggraph17": "SIGGRAPH17",
    "pix2pix": "UNetGenerator",
    "resnet-unet": "ResNetUNet",
    "cgan-attention": "AttentionGenerator",
    "ddcolor": "DDColorGenerator",
    "ddcolor-tiny": "DDColorGenerator",
    "deoldify": "DeOldifyGenerator",
    "deoldify-wide": "DeOldifyGenerator",
}
_SIZES = {"ddcolor": "large", "ddcolor-tiny": "tiny", "deoldify": "deep", "deoldify-wide": "wide"}
_DISCRIMINATORS = {"patch70": "PatchDiscriminator"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)


def build(name: str, **options: object) -> nn.Module:
    """Make a generator with fresh weights.

    Args:
        name: one of `names()`. options: the network's own, such as `bins`.

    Returns:
        The network, in training mode.

    Raises:
        ValueError: unknown name. TypeError: unknown option.

    Example:
        >>> build("default", bins=100).kind
        'classifier'
    """
    if name not in _BUILDERS:
        raise ValueError(f"model: must be one of {', '.join(_BUILDERS)}, got {name!r}")
    if name in _SIZES:
        options = {"size": _SIZES[name], **options}
    return __getattr__(_BUILDERS[name])(**options)


def traits(name: str, **options: object) -> tuple[str, int]:
    """(kind, stride) of the network that `build` would make, without its weights."""
    network: Any = __getattr__(_BUILDERS[name]) if name in _BUILDERS else None
    if not (hasattr(network, "kind") and hasattr(network, "stride")):
        import torch  # it depends on the options, or the name is unknown

        with torch.device("meta"):
            network = build(name, **options)
    return network.kind, network.stride


def follows_hints(name: str) -> bool:
    """Does the network that `build` would make take hints? Nothing is made for the answer.

    Example:
        >>> follows_hints("default"), follows_hints("ddcolor")
        (True, False)
    """
    return hasattr(__getattr__(_BUILDERS[name]), "colours")


def build_discriminator(name: str = "patch70", **options: object) -> nn.Module:
    """Make a discriminator with fresh weights, which takes (L, ab) and returns a map of logits, positive for true.

    Args:
        name: "patch70". options: the network's own, such as `spectral_norm`.

    Returns:
        The network, in training mode.

    Raises:
        ValueError: unknown name. TypeError: unknown option.

    Example:
        >>> build_discriminator("patch70")(torch.zeros(1, 1, 256, 256), torch.zeros(1, 2, 256, 256)).shape
        torch.Size([1, 1, 30, 30])
    """
    if name not in _DISCRIMINATORS:
        raise ValueError(f"discriminator: must be one of {', '.join(_DISCRIMINATORS)}, got {name!r}")
    return __getattr__(_DISCRIMINATORS[name])(**options)


def names() -> list[str]:
    """The names that `build` knows."""
    return list(_BUILDERS)
