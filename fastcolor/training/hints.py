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
