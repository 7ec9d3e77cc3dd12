"""Networks by name.

Every generator takes L (N, 1, H, W) in [0, 100], float, and normalises inside. Its `kind` is "classifier" (returns
logits (N, Q, h, w)) or "regressor" (returns ab (N, 2, h, w) in Lab units).
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from .default import DefaultGenerator

_BUILDERS: dict[str, Callable[..., nn.Module]] = {"default": DefaultGenerator}


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
    return _BUILDERS[name](**options)


def names() -> list[str]:
    """The names that `build` knows."""
    return list(_BUILDERS)
