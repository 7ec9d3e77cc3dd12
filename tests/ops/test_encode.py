"""encode_bins against brute force in float64, ties included."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fastcolor import Palette, ops, reference


def assert_same(ab: torch.Tensor, palette: Palette | None = None, neighbours: int = 5, sigma: float = 5.0) -> None:
    index, weight = ops.encode_bins(ab, palette, neighbours=neighbours, sigma=sigma)
    expected_index, expected_weight = reference.encode_bins(ab.double(), palette, neighbours=neighbours, sigma=sigma)
    assert torch.equal(index, expected_index)
    assert torch.allclose(weight.double(), expected_weight, atol=1e-6)


def test_every_half_unit_of_the_gamut(device: torch.device) -> None:
    """All ties between two, four and eight bins lie on this raster."""
    side = torch.arange(-260, 261, device=device) / 2
    ab = torch.stack(torch.meshgrid(side, side, indexing="ij"))[None]
    assert_same(ab)


def test_next_to_ties(device: torch.device) -> None:
    """One rounding step beside a tie is no tie. (Beside 0 a step is smaller than brute force in float64 can see.)"""
    ties = torch.randint(-48, 49, (1, 2, 64, 64), device=device) * 2.5
    for direction in (-1e9, 1e9):
        moved = torch.where(ties == 0, ties, torch.nextafter(ties, torch.full_like(ties, direction)))
        assert_same(moved)
        assert_same(torch.cat([moved[:, :1], ties[:, 1:]], dim=1))


@pytest.mark.parametrize("neighbours", [1, 2, 5, 10, 16])
@pytest.mark.parametrize("scale", [1e-6, 30.0, 120.0, 1e4, 1e30])
def test_random_colors(device: torch.device, neighbours: int, scale: float) -> None:
    assert_same(torch.randn(2, 2, 31, 33, device=device) * scale, neighbours=neighbours)


@pytest.mark.parametrize("bins", [8, 100, 400, 1024])
def test_other_palettes(device: torch.device, bins: int) -> None:
    palette = Palette(torch.randn(bins, 2) * 40)
    assert_same(torch.randn(2, 2, 17, 19, device=device) * 50, palette, neighbours=5, sigma=3.0)
    assert_same(torch.randn(1, 2, 17, 19, device=device) * 50, palette, neighbours=8)


def test_shuffled_grid_keeps_brute_force_order(device: torch.device) -> None:
    """A lattice whose bins are not in (a, b) order may not take the closed form."""
    palette = Palette(Palette.grid().points[torch.randperm(313)])
    side = torch.arange(-100, 101, 5, device=device).float()
    assert_same(torch.stack(torch.meshgrid(side, side, indexing="ij"))[None], palette)


def test_weights_sum_to_one_far_outside(device: torch.device) -> None:
    ab = torch.tensor([1e3, -1e9, 3e38], device=device).view(1, 1, 1, 3).expand(1, 2, 1, 3)
    _, weight = ops.encode_bins(ab)
    assert torch.allclose(weight.sum(1), torch.ones(1, 1, 3, device=device))


def test_nan_and_infinity(device: torch.device) -> None:
    ab = torch.zeros(1, 2, 1, 4, device=device)
    ab[0, 0, 0, 1], ab[0, 1, 0, 2], ab[0, 0, 0, 3] = float("nan"), float("nan"), float("inf")
    index, weight = ops.encode_bins(ab)
    assert weight[0, :, 0, 0].isfinite().all() and weight[0, :, 0, 1:].isnan().all()
    assert int(index.min()) >= 0 and int(index.max()) < 313


def test_strides_and_empty(device: torch.device) -> None:
    ab = torch.randn(2, 4, 20, 30, device=device) * 40
    index, weight = ops.encode_bins(ab[:, 1:3, ::2, ::3])
    expected = ops.encode_bins(ab[:, 1:3, ::2, ::3].contiguous())
    assert torch.equal(index, expected[0]) and torch.equal(weight, expected[1])
    assert ops.encode_bins(ab[:0, :2])[0].shape == (0, 5, 20, 30)


def test_bad_input() -> None:
    ab = torch.zeros(1, 2, 4, 4)
    with pytest.raises(ValueError, match=r"ab: must have shape \(N, 2, H, W\), got \(1, 3, 4, 4\)"):
        ops.encode_bins(torch.zeros(1, 3, 4, 4))
    with pytest.raises(ValueError, match=r"neighbours: must be an integer in 1\.\.16, got 17"):
        ops.encode_bins(ab, neighbours=17)
    with pytest.raises(ValueError, match="sigma: must be finite and at least"):
        ops.encode_bins(ab, sigma=0)
    with pytest.raises(TypeError, match=r"palette: must be a fastcolor\.Palette"):
        ops.encode_bins(ab, palette=Path("x"))


def test_a_lattice_at_the_edge_of_the_table(device: torch.device) -> None:
    line = torch.arange(-120.0, 121, 10)
    palette = Palette(torch.cartesian_prod(line, line))
    ab = (torch.rand(1, 2, 64, 64, device=device) - 0.5) * 260
    ab[0, :, 0, 0] = torch.tensor([125.0, 3.0])
    index, weight = ops.encode_bins(ab, palette)
    exact_index, exact_weight = reference.encode_bins(ab, palette)
    assert torch.equal(index, exact_index) and torch.allclose(weight, exact_weight, atol=1e-5)


def test_a_colour_that_rounds_into_the_next_cell(device: torch.device) -> None:
    """The nearest bin is far away, and another is hardly farther: the cell beside has only that one."""
    far = torch.tensor([[-1000.0 - 10 * i, 0.0] for i in range(6)])
    palette = Palette(torch.cat([torch.tensor([[-20 - 1.5e-5, -20.0], [120.0, 120.0]]), far]))
    ab = torch.full((1, 2, 1, 1), 49.99999237, device=device)
    squared = (ab.double().flatten() - palette.points.double().to(device)).square().sum(1)
    index, _ = ops.encode_bins(ab, palette, neighbours=1)
    assert int(index) == int(squared.argmin()) == 0
