"""The emulated annealed mean; conftest.py says what is emulated."""

from __future__ import annotations

import pytest
import torch
from emulated_ops import DTYPES, LAYOUTS, MARKS, SHAPES, assert_loss, gradient, logits_of
from op_results import GRADIENT_STEP

from fastcolor import Palette, ops, reference

pytestmark = MARKS


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("memory", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_annealed_mean(order: str, dtype: torch.dtype, memory: torch.memory_format, shape: tuple[int, int]) -> None:
    logits = logits_of(shape, dtype, memory)
    for temperature in (0, 0.38, 3.0):
        ab, grad = gradient(ops.annealed_mean, logits, temperature=temperature)
        exact, exact_grad = gradient(reference.annealed_mean, logits.double(), temperature=temperature)
        assert torch.allclose(ab.double(), exact, rtol=0, atol=1e-9 if dtype == torch.float64 else 1e-3)
        atol = 3 * GRADIENT_STEP[dtype] * float(exact_grad.abs().max())
        assert torch.allclose(grad.double(), exact_grad, rtol=0, atol=atol)


@pytest.mark.parametrize("memory", LAYOUTS)
@pytest.mark.parametrize("bins", [8, 13, 1024])
def test_annealed_mean_of_other_palettes(memory: torch.memory_format, bins: int) -> None:
    palette, logits = Palette(torch.randn(bins, 2) * 40), logits_of((3, 11), torch.float32, memory, bins)
    for temperature in (0, 0.38):
        ab = ops.annealed_mean(logits, palette=palette, temperature=temperature)
        exact = reference.annealed_mean(logits.double(), palette=palette, temperature=temperature)
        assert torch.allclose(ab.double(), exact, atol=1e-3)


@pytest.mark.parametrize("memory", LAYOUTS)
def test_annealed_mean_at_the_edges(order: str, memory: torch.memory_format) -> None:
    points = Palette.grid().points
    logits = torch.zeros(1, 313, 1, 6)
    logits[0, [17, 200], 0, 1] = 4
    logits[0, 299, 0, 2], logits[0, 9, 0, 3] = 1e30, float("nan")
    logits[0, :, 0, 4] = float("-inf")
    logits[0, 11, 0, 4] = 0
    logits[0, :, 0, 5] = float("nan")
    logits = logits.contiguous(memory_format=memory)
    mode = ops.annealed_mean(logits, temperature=0)[0, :, 0].T
    assert torch.equal(mode[[0, 1, 2, 4]], points[[0, 17, 299, 11]]) and mode[[3, 5]].isnan().all()
    mean = ops.annealed_mean(logits, temperature=0.38)[0, :, 0].T
    assert torch.equal(mean[2], points[299]) and mean[[3, 5]].isnan().all() and mean[[0, 1, 2, 4]].isfinite().all()
    assert torch.allclose(mean[4], points[11], atol=1e-4)


@pytest.mark.parametrize("memory", LAYOUTS)
@pytest.mark.parametrize(("dtype", "level", "error"), [
    (torch.float64, -1e39, 1e-9), (torch.float64, -1e300, 1e-9), (torch.float64, -6e307, 1e-9),
    (torch.float32, -3.4e38, 1e-4), (torch.float32, 3.4e38, 1e-4), (torch.float32, -2e38, 1e-4),
    (torch.float32, 7e8, 1e-4), (torch.float32, -1e6, 1e-4),
])  # fmt: skip
def test_logits_far_from_zero(memory: torch.memory_format, dtype: torch.dtype, level: float, error: float) -> None:
    """The largest logit of a pixel is found among doubles that no float reaches; and where a logit's product with
    log2 e is infinite, as a mask's lowest number has it, or rounded by more than logits differ, gradients hold."""
    logits = torch.full((1, 313, 3, 13), level, dtype=dtype)
    logits[0, 17, 0, 1], logits[0, :, 0, 2], logits[0, 11, 0, 2] = 0.9 * level, float("-inf"), level
    if abs(level) < 1e9:
        logits[:, :, 1:] += torch.randn(1, 313, 2, 13) * (3 if abs(level) < 1e7 else 100)
    logits = logits.contiguous(memory_format=memory)
    assert_loss(logits, torch.randn(1, 2, 3, 13) * 40, reduction="none", mask=~logits[:, 0].isinf())
    (ab, grad), (exact, exact_grad) = (
        gradient(f.annealed_mean, z) for f, z in ((ops, logits), (reference, logits.double()))
    )
    assert torch.allclose(ab.double(), exact, rtol=0, atol=error)
    assert torch.allclose(grad.double(), exact_grad, rtol=0, atol=error)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("memory", LAYOUTS)
def test_infinite_logits(dtype: torch.dtype, memory: torch.memory_format) -> None:
    """A pixel whose logits are all -infinity, and one that holds NaN or infinity, has no colour; one -infinity is fine.
    No other pixel is touched."""
    nan, inf = float("nan"), float("inf")
    logits, ab = logits_of((2, 20), dtype, memory), torch.randn(2, 2, 2, 20) * 40
    logits[0, :, 0, 0], logits[0, :, 0, 3], logits[0, :, 0, 5] = -inf, nan, inf
    logits[1, 5, 1, 1], logits[1, 200, 1, 2], logits[1, 312, 1, 4] = nan, inf, -inf
    for name, options in (("annealed_mean", {}), ("rebalanced_cross_entropy", {"ab": ab, "reduction": "none"})):
        result, grad = gradient(getattr(ops, name), logits, **options)
        exact, exact_grad = gradient(getattr(reference, name), logits.double(), **options)
        assert torch.equal(result.isfinite(), exact.isfinite()) and 0 < int(exact.isfinite().sum()) < exact.numel()
        assert torch.equal(grad.isnan(), exact_grad.isnan())
        largest = float(exact_grad.nan_to_num(0).abs().max())
        assert torch.allclose(grad.nan_to_num(0).double(), exact_grad.nan_to_num(0), rtol=0,
                              atol=3 * GRADIENT_STEP[dtype] * largest)  # fmt: skip
