"""Hints as the planes that networks take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import ops
from ..options.hints import Hint, Lab


def planes(hints: Sequence[Hint], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """What networks take of hints.

    Args:
        hints: at most one for every 4 x 4 pixels of `size`; where they overlap the later one counts.
        size: (h, w) that the network sees.

    Returns:
        (ab, mask): ab (1, 2, h, w) in Lab units, and mask (1, 1, h, w), the hint's strength, 0 where there is none.

    Raises:
        ValueError: too many hints.

    Example:
        >>> ab, mask = planes([Hint(0.5, 0.5, "#c03020", radius=0.1)], (64, 64))
        >>> int(mask.sum()), mask[0, 0, 32, 32].item()
        (137, 1.0)
    """
    height, width = size
    cells = (height // 4) * (width // 4)
    if len(hints) > cells:
        raise ValueError(f"hints: must be at most {cells} for {width} x {height} pixels, got {len(hints)}")
    ab, mask = torch.zeros(1, 2, height, width), torch.zeros(1, 1, height, width)
    for hint in hints:
        reach = float(hint.radius) * min(height, width)
        pixels = [(min(int(y * height), height - 1), min(int(x * width), width - 1)) for x, y in hint.path]
        # What lies further off than the hint reaches is not looked at.
        down, across = (
            slice(max(math.floor(min(along) - reach), 0), math.ceil(max(along) + reach) + 1)
            for along in zip(*pixels, strict=True)
        )
        rows, columns = torch.arange(height)[down].float(), torch.arange(width)[across].float()
        reached = _distances(pixels, rows[:, None], columns[None]) <= reach**2
        ab[0, :, down, across][:, reached] = _ab(hint)[:, None]
        mask[0, 0, down, across][reached] = float(hint.strength)
    return ab, mask


def reached(mask: Tensor) -> float:
    """The share of a picture that is no further from what is told than an eighth of its shorter side, by cells.

    Args:
        mask: (1, 1, h, w), above 0 where something is told.

    Example:
        >>> mask = torch.zeros(1, 1, 64, 128)
        >>> mask[..., :64] = 1
        >>> reached(mask)
        0.5625
    """
    cells = F.max_pool2d(mask, 8, ceil_mode=True)
    reach = min(cells.shape[2:]) // 8
    return float(F.max_pool2d(cells, 2 * reach + 1, 1, reach).gt(0).float().mean())


def _ab(hint: Hint) -> Tensor:
    """(2,) in Lab units."""
    if isinstance(hint.color, Lab):
        return torch.tensor(hint.color[1:], dtype=torch.float32)
    return ops.rgb_to_lab(torch.tensor(hint.rgb, dtype=torch.uint8)[:, None, None])[1:, 0, 0]


def _distances(pixels: Sequence[tuple[int, int]], rows: Tensor, columns: Tensor) -> Tensor:
    """(h, w) squares of the distances in pixels from a way along some. rows: (h, 1). columns: (1, w)."""
    found = (rows - pixels[0][0]) ** 2 + (columns - pixels[0][1]) ** 2
    for (top, left), (bottom, right) in pairwise(pixels):
        down, across = bottom - top, right - left
        along = ((rows - top) * down + (columns - left) * across) / max(down * down + across * across, 1)
        along = along.clamp(0, 1)
        way = (rows - top - along * down) ** 2 + (columns - left - along * across) ** 2
        found = torch.minimum(found, way)
    return found
