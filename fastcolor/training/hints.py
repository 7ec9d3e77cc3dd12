"""Simulated user hints for networks that take colours of points as a second input."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d


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
            tell(hints[picture], mask[picture], (y, x), (high, wide), colour)
    return hints, mask


def tell(hints: Tensor, mask: Tensor, at: tuple[float, float], reach: tuple[float, float], colour: Tensor) -> None:
    """Set a colour (2,) in a picture's hints (2, H, W) and mask (1, H, W), so many rows and columns around a place."""
    rows, columns = (slice(max(round(p - r), 0), round(p + r) + 1) for p, r in zip(at, reach, strict=True))
    hints[:, rows, columns] = colour[:, None, None]
    mask[0, rows, columns] = 1


def random_objects(
    lab: Tensor, random: np.random.Generator, *, share: float = 0.2
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Give an object another colour in some of the pictures and tell it; strokes of what is true then, as ever.

    Pictures alone teach that a told colour is a sign of all others: who tells a green lawn gets a bluer sky. An object
    whose colour was drawn from somewhere else says nothing of what is around it, so a network learns to follow what it
    is told within the object's edges and to leave the rest as it is.

    Args:
        lab: (N, 3, H, W) as the network sees it, H and W multiples of 4. random: what decides. share: of the pictures
            that get such an object: what is connected, of one lightness and of one colour, and covers 1 to 50 %.

    Returns:
        (lab, (hints, mask)): the pictures with these objects, and what is told as `random_strokes` has it, with 1 to 3
        points more on each such object.

    Example:
        >>> lab, (hints, mask) = random_objects(torch.ones(2, 3, 64, 64), np.random.default_rng(0))
        >>> lab.shape, hints.shape, mask.shape
        (torch.Size([2, 3, 64, 64]), torch.Size([2, 2, 64, 64]), torch.Size([2, 1, 64, 64]))
    """
    lab = lab.clone()
    n, _, height, width = lab.shape
    cells = avg_pool2d(lab, 4)
    points: list[tuple[int, int, int, float]] = []
    for picture in map(int, np.flatnonzero(random.random(n) < share)):
        if (found := some_object(cells[picture], random)) is None:
            continue
        at, inside = found
        lab[picture, 1:] += recolour(cells, picture, at, inside, random)
        points += [(picture, *point) for point in points_on(inside, random)]
    hints, mask = random_strokes(lab[:, 1:], random)
    for number, top, left, radius in points:
        reach = radius * min(height, width)
        tell(hints[number], mask[number], (top, left), (reach, reach), lab[number, 1:, top, left])
    return lab, (hints, mask)


def some_object(cells: Tensor, random: np.random.Generator) -> tuple[tuple[int, int], Tensor] | None:
    """Look for an object somewhere in a picture's cells (3, h, w). Returns where that was, and `object_at` there; None:
    what is there covers less than 1 % or more than half of the picture."""
    at = int(random.integers(cells.shape[1])), int(random.integers(cells.shape[2]))
    inside = object_at(cells, *at)
    return (at, inside) if 0.01 <= float(inside.mean()) <= 0.5 else None


def points_on(inside: Tensor, random: np.random.Generator) -> Iterator[tuple[int, int, float]]:
    """1 to 3 points on an object of cells (h, w): (row, column) in pixels, and radius as a share of the short side."""
    places = inside.nonzero().cpu().numpy()
    for row, column in places[random.integers(len(places), size=random.integers(1, 4))]:
        top, left = 4 * int(row) + int(random.integers(4)), 4 * int(column) + int(random.integers(4))
        yield top, left, float(np.exp(random.uniform(np.log(0.01), np.log(0.04))))


def recolour(cells: Tensor, picture: int, at: tuple[int, int], inside: Tensor, random: np.random.Generator) -> Tensor:
    """What gives an object another colour: one that some pixel of about its lightness has in some picture, so that it
    exists.

    Args:
        cells: (N, 3, h, w) Lab means of 4 x 4 pixels. picture, at, inside: where the object is, (h, w) of 0 and 1.

    Returns:
        (2, 4 h, 4 w) to add to the picture's ab.
    """
    n, _, high, wide = cells.shape
    others, ys, xs = random.integers(n, size=16), random.integers(high, size=16), random.integers(wide, size=16)
    found = cells[others, :, ys, xs]
    colour = found[(found[:, 0] - cells[picture, 0, at[0], at[1]]).abs().argmin(), 1:]
    mean = (cells[picture, 1:] * inside).sum((1, 2)) / inside.sum()
    return (colour - mean)[:, None, None] * interpolate(inside[None, None], scale_factor=4.0)[0, 0]


def object_at(cells: Tensor, y: int, x: int) -> Tensor:
    """(h, w), 1 where one comes from (y, x) without a step off its lightness (15 units) and colour (10 units)."""
    away = cells - cells[:, y, x, None, None]
    like = ((away[0].abs() < 15) & (away[1:].norm(dim=0) < 10)).float()
    inside = torch.zeros_like(like)
    inside[y, x] = 1
    reached = 0
    while (count := int(inside.sum())) > reached:
        reached = count
        for _ in range(4):
            inside = max_pool2d(inside[None], 3, 1, 1)[0] * like
    return inside
