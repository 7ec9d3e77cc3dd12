"""Guided filter: colours made to follow lightness within a few cells of every cell.

Source: He, Sun and Tang, "Guided Image Filtering", 2013, equations 5, 6 and 8.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor


def guided(ab: Tensor, lightness: Tensor, radius: int, epsilon: float) -> Tensor:
    """Colours as straight lines of lightness, fitted in the square around every cell, and the mean of all lines that a
    cell lies in.

    Args:
        ab: (N, 2, h, w). lightness: (N, 1, h, w) in [0, 100]. radius: of the squares, in cells. epsilon: the variance
            of lightness below which colours are rather averaged.

    Returns:
        (N, 2, h, w).

    Example:
        >>> lightness = torch.rand(1, 1, 8, 8) * 100
        >>> bool((guided(lightness.expand(1, 2, 8, 8), lightness, 2, 1e-4) - lightness).abs().max() < 1e-2)
        True
    """
    count = _sums(torch.ones_like(lightness[:1]), radius)

    def mean(x: Tensor) -> Tensor:
        return _sums(x, radius) / count

    # About the picture's mean: squares of lightness lose digits far from it.
    apart = lightness - lightness.mean((2, 3), keepdim=True)
    moments = mean(torch.cat([apart, ab, apart * apart, apart * ab], 1))
    of_l, of_ab, of_squares, of_products = moments.split((1, 2, 1, 2), 1)
    slopes = (of_products - of_l * of_ab) / ((of_squares - of_l * of_l).clamp(min=0) + epsilon)
    slopes, starts = mean(torch.cat([slopes, of_ab - slopes * of_l], 1)).chunk(2, 1)
    return slopes * apart + starts


def _sums(x: Tensor, radius: int) -> Tensor:
    """Over the square around every cell. Pooling, which takes one cell after the other, takes four times as long."""
    wide = F.pad(x, (radius, radius, radius, radius))
    for dim in (2, 3):
        wide = functools.reduce(torch.add, (wide.narrow(dim, i, x.shape[dim]) for i in range(2 * radius + 1)))
    return wide
