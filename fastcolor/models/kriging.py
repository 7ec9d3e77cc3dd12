"""Kriging: how far colours are off where somebody told them says how far they are off in what looks alike.

A network that is told colours comes near them, not to them. What is left between the two is known at the told places;
Gaussian process regression carries it on to all others, the further the more they look like one of these and the
nearer they are.

Source: Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, equations 2.25 and 4.9.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_NEVER = 1e6  # the variance of what is not told at all


class Places(NamedTuple):
    """Where colours are compared, m places or all cells.

    Attributes:
        row, column: (N, m) in cells. looks: (N, C, m) of length 1, each by what places look like. colours: (N, 2, m) ab
        in Lab units.
    """

    row: Tensor
    column: Tensor
    looks: tuple[Tensor, ...]
    colours: Tensor


class Likeness(NamedTuple):
    """How the correlation of two places' errors falls: exp(-near * distance - sum(alike * (1 - cosine of looks))
    - colour * distance of the colours).

    Attributes:
        near: by the distance, in shorter sides of the picture. alike: by each of the looks. colour: by that of their
            colours, in tens of Lab units. noise: the variance of what is told for certain, beside that of the errors.
    """

    near: float | Tensor
    alike: tuple[float | Tensor, ...]
    colour: float | Tensor
    noise: float | Tensor


def correlation(here: Places, there: Places, side: int, likeness: Likeness) -> Tensor:
    """(N, k, m) of the errors of k places and of m others. side: the picture's shorter one, in cells."""
    down = here.row[..., None] - there.row[:, None]
    across = here.column[..., None] - there.column[:, None]
    apart = likeness.near / side * (down.square() + across.square()).sqrt()
    apart = apart + likeness.colour / 10 * torch.cdist(here.colours.transpose(1, 2), there.colours.transpose(1, 2))
    for one, other, much in zip(here.looks, there.looks, likeness.alike, strict=True):
        apart = apart + much * (1 - one.transpose(1, 2) @ other)
    return (-apart).exp()


def carried(left: Tensor, strength: Tensor, told: Places, cells: Places, side: int, likeness: Likeness) -> Tensor:
    """What is to be added to colours.

    Args:
        left: (N, 2, m) what is left between told colours and those that came of them. strength: (N, m), from 0, not
            told, to 1. told, cells: the m places, and the k cells that are asked for. side: as for `correlation`.

    Returns:
        (N, 2, k).

    Example:
        >>> here = Places(torch.zeros(1, 1), torch.zeros(1, 1), (), torch.zeros(1, 2, 1))
        >>> carried(torch.ones(1, 2, 1), torch.ones(1, 1), here, here, 8, Likeness(1.0, (), 0.3, 0.25))[0, :, 0]
        tensor([0.8000, 0.8000])
    """
    unsure = torch.where(strength > 0, likeness.noise / strength.clamp(min=1e-3).square(), _NEVER)
    among = correlation(told, told, side, likeness) + unsure.diag_embed()
    weights = torch.linalg.solve(among, left.transpose(1, 2))
    return weights.transpose(1, 2) @ correlation(told, cells, side, likeness)
