"""Hints as the planes that networks take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
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
    # In NumPy, whose calls take a tenth of the time: each hint is many of them on few pixels.
    ab, mask = np.zeros((2, height, width), np.float32), np.zeros((height, width), np.float32)
    for hint, colour in zip(hints, _ab(hints), strict=True):
        reach = float(hint.radius) * min(height, width)
        pixels = [(min(int(y * height), height - 1), min(int(x * width), width - 1)) for x, y in hint.path]
        # What lies further off than the hint reaches is not looked at.
        down, across = (
            slice(max(math.floor(min(along) - reach), 0), math.ceil(max(along) + reach) + 1)
            for along in zip(*pixels, strict=True)
        )
        rows, columns = (np.arange(side, dtype=np.float32)[part] for side, part in ((height, down), (width, across)))
        reached = _distances(pixels, rows[:, None], columns[None]) <= reach**2
        ab[:, down, across][:, reached] = colour[:, None]
        mask[down, across][reached] = float(hint.strength)
    return torch.from_numpy(ab)[None], torch.from_numpy(mask)[None, None]


def _ab(hints: Sequence[Hint]) -> np.ndarray:
    """(n, 2) float32 in Lab units."""
    rgb = [(0, 0, 0) if isinstance(hint.color, Lab) else hint.rgb for hint in hints]
    codes = torch.tensor(rgb, dtype=torch.uint8).view(len(hints), 3, 1, 1)
    found = ops.rgb_to_lab(codes)[:, 1:, 0, 0].numpy()
    for i, hint in enumerate(hints):
        if isinstance(hint.color, Lab):
            found[i] = hint.color[1:]
    return found


def _distances(pixels: Sequence[tuple[int, int]], rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """(h, w) squares of the distances in pixels from a way along some. rows: (h, 1). columns: (1, w)."""
    found = (rows - pixels[0][0]) ** 2 + (columns - pixels[0][1]) ** 2
    for (top, left), (bottom, right) in pairwise(pixels):
        down, across = bottom - top, right - left
        along = ((rows - top) * down + (columns - left) * across) / max(down * down + across * across, 1)
        along = along.clip(0, 1)
        way = (rows - top - along * down) ** 2 + (columns - left - along * across) ** 2
        found = np.minimum(found, way)
    return found
