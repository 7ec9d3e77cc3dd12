"""Several networks' colours of one picture as one: in fixed shares, by how much colour each sees, or by lightness."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..options.look import Merge

# Chroma that every network is taken to see at least, so that shares decide where all of them see gray.
_LEAST = 4.0
# L up to which the first network colours alone, and from which the last one does.
_DARK, _LIGHT = 30.0, 70.0


def mix(colours: Sequence[Tensor], shares: Sequence[float], lightness: Tensor, by: Merge = "share") -> Tensor:
    """One ab of several.

    Args:
        colours: (N, 2, h, w) each, ab in Lab units; h and w may differ. shares: one for each, above 0; what counts is
            how they are to each other. lightness: (N, 1, H, W), L in [0, 100].
        by: "share": the mean in these shares. "confidence": shares times chroma, pixel by pixel: a network that is
            unsure turns to gray, being fitted to the mean of what may be, and so one that sees a colour outweighs it.
            "luma": the first in the dark (L up to 30), the last in the light (from 70), in between their mean, which
            moves from one to the other; those between them have their most at the middle.

    Returns:
        (N, 2, h, w) float32 at the largest of their sizes.

    Example:
        >>> a, b = torch.full((1, 2, 2, 2), 10.0), torch.zeros(1, 2, 4, 4)
        >>> mix([a, b], [3, 1], torch.full((1, 1, 8, 8), 50.0))[0, 0, 0, 0].item()
        7.5
    """
    height, width = max((ab.shape[2:] for ab in colours), key=lambda one: one[0] * one[1])
    size = (height, width)
    stack = torch.stack([_resized(ab.float(), size) for ab in colours])
    weight = torch.tensor(list(shares), dtype=torch.float32, device=stack.device).view(-1, 1, 1, 1, 1)
    if by == "confidence":
        weight = weight * (stack.norm(dim=2, keepdim=True) + _LEAST)
    elif by == "luma":
        weight = weight * _of_lightness(_resized(lightness.float(), size).to(stack.device), len(stack))
    return (stack * weight).sum(0) / weight.sum(0)


def _of_lightness(lightness: Tensor, count: int) -> Tensor:
    """(count, N, 1, h, w): how much each of them counts at a lightness (N, 1, h, w); hats that overlap, sum 1."""
    place = ((lightness - _DARK) / (_LIGHT - _DARK)).clamp(0, 1) * (count - 1)
    at = torch.arange(count, device=lightness.device, dtype=torch.float32).view(-1, 1, 1, 1, 1)
    return (1 - (place - at).abs()).clamp(min=0)


def _resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    if x.shape[2:] == size:
        return x
    return F.interpolate(
        x, size, mode="bilinear", align_corners=False, antialias=x.shape[2] * x.shape[3] > size[0] * size[1]
    )
