"""Hints: colours that somebody knows, at places of a picture, as the planes that networks take."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import ops


@dataclass(frozen=True)
class Hint:
    """The colour of a place.

    Attributes:
        x, y: the place, fractions of the upright picture's width and height from its upper left.
        color: sRGB as "#c03020", or (red, green, blue) of 0 to 255. Only its hue and chroma count: the picture's
            lightness stays.
        radius: of the disc that surely has the colour, a fraction of the shorter side. strength: how far to follow the
            hint, above 0 to 1. time: in seconds, of films.

    Raises:
        ValueError: a number out of range, or no colour.

    Example:
        >>> Hint(0.5, 0.25, "#c03020").color
        '#c03020'
    """

    x: float
    y: float
    color: str | tuple[int, int, int]
    radius: float = 0.02
    strength: float = 1.0
    time: float | None = None

    def __post_init__(self) -> None:
        for name, most in (("x", 1.0), ("y", 1.0), ("radius", 1.0), ("strength", 1.0)):
            value = getattr(self, name)
            if not (isinstance(value, (int, float)) and 0 <= value <= most):
                raise ValueError(f"hint: {name} must lie in 0..{most:g}, got {value!r}")
        if self.strength == 0:
            raise ValueError("hint: strength must be above 0, got 0")
        if self.time is not None and not (math.isfinite(self.time) and self.time >= 0):
            raise ValueError(f"hint: time must be at least 0 seconds, got {self.time!r}")
        self.rgb  # noqa: B018

    @property
    def rgb(self) -> tuple[int, int, int]:
        """The colour as red, green and blue of 0 to 255."""
        if isinstance(self.color, str):
            if not re.fullmatch(r"#[0-9a-fA-F]{6}", self.color):
                raise ValueError(f"hint: color must be #rrggbb or three numbers of 0 to 255, got {self.color!r}")
            red, green, blue = bytes.fromhex(self.color[1:])
            return red, green, blue
        values = tuple(self.color)
        if len(values) != 3 or not all(isinstance(v, int) and 0 <= v <= 255 for v in values):
            raise ValueError(f"hint: color must be #rrggbb or three numbers of 0 to 255, got {self.color!r}")
        return values


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
    if not hints:
        return ab, mask
    colours = ops.rgb_to_lab(torch.tensor([hint.rgb for hint in hints], dtype=torch.uint8)[:, :, None, None])
    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None]
    for hint, lab in zip(hints, colours, strict=True):
        row, column = min(int(hint.y * height), height - 1), min(int(hint.x * width), width - 1)
        disc = (rows - row) ** 2 + (columns - column) ** 2 <= (hint.radius * min(height, width)) ** 2
        ab[0, :, disc] = lab[1:, 0]
        mask[0, 0, disc] = float(hint.strength)
    return ab, mask
