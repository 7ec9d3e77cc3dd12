"""Simulated user hints for networks that take colours of points as a second input."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def random_hints(ab: Tensor, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Reveal the true colours of some random patches, as a user who clicks would.

    Args:
        ab: (N, 2, H, W) true colours in Lab units. random: what decides.

    Returns:
        (hints, mask): (N, 2, H, W) the patch's mean colour where mask (N, 1, H, W) is 1, and 0 elsewhere. The number of
        patches of a picture is geometric with mean 7, their side 1 to 9 px, their places normal about the middle; one
        picture of a hundred is revealed whole, so that a network learns to copy what it is told.

    Source: Zhang et al., "Real-Time User-Guided Image Colorization with Learned Deep Priors", 2017, section 3.

    Example:
        >>> hints, mask = random_hints(torch.ones(2, 2, 64, 64), np.random.default_rng(0))
        >>> torch.equal(hints, mask.expand(-1, 2, -1, -1))
        True
    """
    n, _, height, width = ab.shape
    hints, mask = torch.zeros_like(ab), ab.new_zeros(n, 1, height, width)
    for picture in range(n):
        if random.random() < 0.01:
            hints[picture], mask[picture] = ab[picture], 1
            continue
        for _ in range(random.geometric(1 / 8) - 1):  # none at all in one picture of eight
            side = int(random.integers(1, 10))
            middle = random.normal((height / 2, width / 2), (height / 4, width / 4))
            top, left = (int(np.clip(m - side / 2, 0, s - side)) for m, s in zip(middle, (height, width), strict=True))
            patch = (picture, slice(None), slice(top, top + side), slice(left, left + side))
            hints[patch] = ab[patch].mean((1, 2), keepdim=True)
            mask[patch] = 1
    return hints, mask


def random_strokes(
    ab: Tensor, random: np.random.Generator, *, share: float = 0.4, points: int | None = None
) -> tuple[Tensor, Tensor]:
    """Tell the colours of some places in some of the pictures, as a user who knows them about would.

    Args:
        ab: (N, 2, H, W) true colours in Lab units. random: what decides. share: of the pictures that get any.
        points: so many true points a picture, to measure by; None: 1 to 50 points and strokes, a quarter of them a
            little wrong, and every fiftieth picture whole.

    Returns:
        (hints, mask): (N, 2, H, W) and (N, 1, H, W), 1 where a colour is told and 0 elsewhere. A point is a square in
        the colour of its middle, from there 1 to 4 % of the picture's shorter side in every direction; a stroke is
        longer one way.

    Example:
        >>> hints, mask = random_strokes(torch.ones(2, 2, 64, 64), np.random.default_rng(0), share=1.0, points=10)
        >>> bool(mask.any()), torch.equal(hints, mask.expand(-1, 2, -1, -1))
        (True, True)
    """
    n, _, height, width = ab.shape
    hints, mask = torch.zeros_like(ab), ab.new_zeros(n, 1, height, width)
    for picture in np.flatnonzero(random.random(n) < share):
        if points is None and random.random() < 0.02:
            hints[picture], mask[picture] = ab[picture], 1
            continue
        count = points or int(np.exp(random.uniform(0, np.log(50.99))))
        ys, xs = random.integers(0, height, count), random.integers(0, width, count)
        radii = np.exp(random.uniform(np.log(0.01), np.log(0.04), count)) * min(height, width)
        colours = ab[picture, :, ys, xs].t().clone()
        errors = random.normal(0, 5, (count, 2)) * (random.random((count, 1)) < 0.25) * (points is None)
        colours += torch.from_numpy(errors.astype(np.float32)).to(ab.device)
        for y, x, radius, colour in zip(ys, xs, radii, colours, strict=True):
            longer = (points is None) * 6 * radius * random.exponential(0.3)  # a stroke, mostly a short one
            high, wide = (radius, radius + longer) if random.random() < 0.5 else (radius + longer, radius)
            rows = slice(max(round(y - high), 0), round(y + high) + 1)
            columns = slice(max(round(x - wide), 0), round(x + wide) + 1)
            hints[picture, :, rows, columns] = colour[:, None, None]
            mask[picture, 0, rows, columns] = 1
    return hints, mask
