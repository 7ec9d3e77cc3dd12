"""Alignment: another version of a picture is found where it lies, and something else is not taken for one."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from fastcolor.steering.align import SURE, Alignment, align, likeness


def scene(seed: int, height: int = 240, width: int = 320) -> torch.Tensor:
    """Luma of overlapping soft-edged discs, as unlike from seed to seed as photographs are."""
    torch.manual_seed(seed)
    y, x = torch.arange(height)[:, None] / height, torch.arange(width)[None] / height
    picture = torch.full((height, width), 0.5)
    for _ in range(60):
        size, light = 0.02 + 0.2 * torch.rand(1) ** 2, torch.rand(1)
        away = ((y - torch.rand(1)) ** 2 + (x - torch.rand(1) * width / height) ** 2).sqrt()
        inside = ((size - away) * 60).sigmoid()
        picture = picture * (1 - inside) + light * inside
    return picture


def version(picture: torch.Tensor, scale: float, turn: float, right: float, down: float) -> torch.Tensor:
    """The picture enlarged, turned by degrees and moved by pixels."""
    height, width = picture.shape
    cos, sin = math.cos(math.radians(turn)) / scale, math.sin(math.radians(turn)) / scale
    aspect = width / height
    matrix = torch.tensor([[cos, -sin / aspect, -2 * right / width], [sin * aspect, cos, -2 * down / height]])
    grid = F.affine_grid(matrix[None], [1, 1, height, width], align_corners=False)
    return F.grid_sample(picture[None, None], grid, padding_mode="border", align_corners=False)[0, 0]


@pytest.mark.parametrize(
    ("scale", "turn", "right", "down"),
    [(1, 0, 0, 0), (1.02, 0, 3, 3), (1, 0, -25, 14), (0.9, 0, 5, -5), (1.12, 0, -4, 8), (1.01, 2.5, 4, 2)],
)
def test_a_version_is_found_where_it_lies(scale: float, turn: float, right: float, down: float) -> None:
    picture = scene(1)
    moved = version(picture, scale, turn, right, down)
    small = F.interpolate(moved[None, None], (150, 200), mode="bilinear", antialias=True)[0, 0]
    noisy = (0.8 * small.clamp(0, 1) ** 1.3 + 0.02 * torch.randn(small.shape)).clamp(0, 1)  # other tones, other size
    found = align(picture, noisy)
    assert found.sure
    back, reached = found.brought(moved[None, None], (240, 320))
    inner = reached & (torch.arange(240)[:, None].sub(120).abs() < 100) & (torch.arange(320)[None].sub(160).abs() < 130)
    assert float((back[0, 0] - picture)[inner].abs().mean()) < 0.012  # of 1; half a pixel off it would be 0.02
    if (scale, turn, right, down) == (1, 0, 0, 0):
        assert torch.equal(found.matrix, Alignment.none().matrix) and torch.equal(back[0, 0], moved)


def test_another_shape_of_the_frame_is_found() -> None:
    picture = scene(2, 240, 320)
    found = align(picture, picture[30:210])  # bars cut off
    assert found.sure and float(found.matrix[1, 1]) == pytest.approx(240 / 180, rel=0.01)
    assert float(found.matrix[0, 0]) == pytest.approx(1, abs=0.01)
    _, reached = found.brought(picture[None, None, 30:210], (240, 320))
    assert reached[32:208].all() and not reached[:28].any()
    squeezed = F.interpolate(picture[None, None], (240, 200), mode="bilinear", antialias=True)[0, 0]
    assert align(picture, squeezed).sure  # edges on edges


def test_something_else_is_not_sure_and_nothing_is_blind() -> None:
    pictures = [scene(seed) for seed in range(3, 9)]
    others = [align(one, other).confidence for one, other in pairwise(pictures)]
    assert max(others) < SURE - 0.1
    assert align(torch.full((120, 160), 0.4), pictures[0]).blind
    assert likeness(torch.full((120, 160), 0.4), pictures[0], Alignment.none()) is None
    assert (likeness(pictures[0], pictures[0], Alignment.none()) or 0) > 0.99
