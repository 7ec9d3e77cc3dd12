"""ab and the chroma of video for one lightness, both ways and beyond the gamut, as chroma films need it.

Painting limits colours to what screens show, and fades them in black and white (`Note [Neutral ends]` in
csrc/math/paint.h). Neither can be undone, so that chroma films hold colours before both: painting from them is then
painting as ever.
"""

from __future__ import annotations

import functools
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..constants import LUMA_WEIGHTS, RGB_TO_XYZ, WHITE

Matrix = Literal["bt601", "bt709", "bt2020"]
# The table of the way back: its reach in Cb and Cr, more than codes hold, its points, and the most in Lab units.
_REACH, _LIGHTS, _SIDES, _MOST = 0.58, 51, 49, 160.0
_STEPS = 11  # of Newton's method


def chroma_of(ab: Tensor, lightness: Tensor, matrix: Matrix) -> Tensor:
    """Colour differences of colours.

    Args:
        ab: (N, 2, h, w) in Lab units. lightness: (N, 1, h, w) in [0, 100]. matrix: of the film.

    Returns:
        (N, 2, h, w) Cb and Cr, within [-0.5, 0.5] for colours that screens show.

    Example:
        >>> chroma_of(torch.zeros(1, 2, 1, 1), torch.full((1, 1, 1, 1), 50.0), "bt709").abs().max().item() < 1e-3
        True
    """
    return _chroma(ab[:, 0], ab[:, 1], lightness[:, 0], matrix)[0]


def ab_of(chroma: Tensor, lightness: Tensor, matrix: Matrix) -> Tensor:
    """The colours that have these differences at this lightness: the inverse of `chroma_of`, read from a table.

    Differences that no colour near the gamut has give the table's nearest colours.
    """
    table = _table(matrix).to(chroma.device).expand(len(chroma), -1, -1, -1, -1)
    at = torch.stack([chroma[:, 1] / _REACH, chroma[:, 0] / _REACH, lightness[:, 0] / 50 - 1], -1)
    return F.grid_sample(table, at[:, None], padding_mode="border", align_corners=True)[:, :, 0]


@functools.cache
def _table(matrix: Matrix) -> Tensor:
    """(1, 2, lightnesses, Cb, Cr): the colours of all differences, by Newton's method."""
    lights, sides = torch.linspace(0, 100, _LIGHTS), torch.linspace(-_REACH, _REACH, _SIDES)
    lightness, u, v = torch.meshgrid(lights, sides, sides, indexing="ij")
    a, b = torch.zeros_like(u), torch.zeros_like(u)
    for step in range(1, _STEPS + 1):
        share = min(1.0, step / (_STEPS - 3))  # towards far colours by and by
        found, ((up, uq), (vp, vq)) = _chroma(a, b, lightness, matrix)
        wrong_u, wrong_v = share * u - found[:, 0], share * v - found[:, 1]
        determinant = up * vq - uq * vp
        a = (a + (vq * wrong_u - uq * wrong_v) / determinant).clamp(-_MOST, _MOST)
        b = (b + (up * wrong_v - vp * wrong_u) / determinant).clamp(-_MOST, _MOST)
    return torch.stack([a, b])[None]


def _chroma(
    a: Tensor, b: Tensor, lightness: Tensor, matrix: Matrix
) -> tuple[Tensor, tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]]:
    """(N, 2, h, w) Cb and Cr, and their derivatives ((dCb/da, dCb/db), (dCr/da, dCr/db))."""
    fy = (lightness + 16) / 116
    (x, dx), (y, _), (z, dz) = (_cube(f) for f in (fy + a / 500, fy, fy - b / 200))
    x, y, z = x * WHITE[0], y * WHITE[1], z * WHITE[2]
    dx, dz = dx * (WHITE[0] / 500), dz * (-WHITE[2] / 200)
    inverse = torch.linalg.inv(torch.tensor(RGB_TO_XYZ, dtype=torch.float64)).tolist()
    channels, by_a, by_b = [], [], []
    for row in inverse:
        code, slope = _code(row[0] * x + row[1] * y + row[2] * z)
        channels.append(code)
        by_a.append(slope * row[0] * dx)
        by_b.append(slope * row[2] * dz)
    red, blue = LUMA_WEIGHTS[matrix]
    weights = (red, 1 - red - blue, blue)

    def differences(rgb: list[Tensor]) -> tuple[Tensor, Tensor]:
        luma = sum(weight * channel for weight, channel in zip(weights, rgb, strict=True))
        return (rgb[2] - luma) / (2 * (1 - blue)), (rgb[0] - luma) / (2 * (1 - red))

    (u, v), (up, vp), (uq, vq) = differences(channels), differences(by_a), differences(by_b)
    return torch.stack([u, v], 1), ((up, uq), (vp, vq))


def _cube(f: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse of CIE's f, and its derivative."""
    linear = f <= 24 / 116
    return (torch.where(linear, (f - 16 / 116) / 7.787, f**3), torch.where(linear, 1 / 7.787, 3 * f * f))


def _code(light: Tensor) -> tuple[Tensor, Tensor]:
    """sRGB's code of linear light and its derivative, odd below 0."""
    size = light.abs()
    power = size.clamp(min=0.0031308) ** (1 / 2.4)
    linear = size <= 0.0031308
    code = torch.where(linear, 12.92 * size, 1.055 * power - 0.055)
    slope = torch.where(linear, 12.92, 1.055 / 2.4 * power / size.clamp(min=0.0031308))
    return code * light.sign(), slope
