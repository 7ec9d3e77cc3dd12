"""The guided filter beside its equations, square by square."""

import numpy as np
import torch

from fastcolor.models.guided import guided


def by_hand(ab: np.ndarray, lightness: np.ndarray, radius: int, epsilon: float) -> np.ndarray:
    """One channel's, of equations 5, 6 and 8; squares end where the picture does."""
    height, width = ab.shape

    def square(y: int, x: int) -> tuple[slice, slice]:
        return slice(max(0, y - radius), y + radius + 1), slice(max(0, x - radius), x + radius + 1)

    slopes, starts, found = (np.zeros(ab.shape) for _ in range(3))
    for y, x in np.ndindex(height, width):
        guide, colour = lightness[square(y, x)], ab[square(y, x)]
        covariance = (guide * colour).mean() - guide.mean() * colour.mean()
        slopes[y, x] = covariance / (guide.var() + epsilon)
        starts[y, x] = colour.mean() - slopes[y, x] * guide.mean()
    for y, x in np.ndindex(height, width):
        found[y, x] = slopes[square(y, x)].mean() * lightness[y, x] + starts[square(y, x)].mean()
    return found


def test_it_is_the_guided_filter():
    made = torch.Generator().manual_seed(0)
    lightness, ab = 100 * torch.rand(2, 1, 9, 13, generator=made), 30 * torch.randn(2, 2, 9, 13, generator=made)
    for radius, epsilon in ((1, 4.0), (2, 0.1), (3, 500.0)):
        found = guided(ab, lightness, radius, epsilon)
        for i, channel in np.ndindex(2, 2):
            wanted = by_hand(ab[i, channel].double().numpy(), lightness[i, 0].double().numpy(), radius, epsilon)
            assert np.allclose(found[i, channel], wanted, atol=2e-3), (radius, epsilon)


def test_flat_lightness_gives_means():
    ab = torch.randn(1, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    found = guided(ab, torch.full((1, 1, 8, 8), 63.7), 8, 1.0)
    assert torch.allclose(found, ab.mean((2, 3), keepdim=True).expand_as(ab), atol=1e-5)
