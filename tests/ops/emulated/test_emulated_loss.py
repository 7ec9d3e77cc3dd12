"""The emulated loss and the scaling of gradients; conftest.py says what is emulated."""

from __future__ import annotations

import pytest
import torch
from emulated_ops import DTYPES, LAYOUTS, MARKS, SHAPES, assert_loss, gradient, logits_of

from fastcolor import Palette, ops
from fastcolor.ops import loss

pytestmark = MARKS


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("memory", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_loss(order: str, dtype: torch.dtype, memory: torch.memory_format, shape: tuple[int, int]) -> None:
    logits, ab = logits_of(shape, dtype, memory), torch.randn(2, 2, *shape) * 40
    mask, weight = torch.rand(2, *shape) > 0.3, torch.rand(313) + 0.5
    mask[0, 0, 0] = True
    assert_loss(logits, ab, reduction="sum")
    assert_loss(logits, ab, reduction="none", class_weight=weight, mask=mask, gamma=2.0)
    assert_loss(logits, ab, reduction="weighted_mean", class_weight=weight, mask=mask, inplace=True)


@pytest.mark.parametrize(
    ("bins", "neighbours", "dtype"),
    [
        (8, 3, torch.float32),
        (100, 16, torch.bfloat16),
        (600, 5, torch.float32),  # NCHW: a tile beyond 48 KB, which has to be asked for
        (1024, 5, torch.float16),
        (1024, 8, torch.float32),  # NCHW: a tile too large to keep: logits are read twice
        (1024, 16, torch.float64),
    ],
)
@pytest.mark.parametrize("memory", LAYOUTS)
def test_loss_of_other_palettes(
    order: str, bins: int, neighbours: int, dtype: torch.dtype, memory: torch.memory_format
) -> None:
    palette = Palette(torch.randn(bins, 2) * 40)
    logits, ab = logits_of((3, 12), dtype, memory, bins, 1), torch.randn(1, 2, 3, 12) * 50
    options = {"palette": palette, "neighbours": neighbours, "sigma": 7.0, "inplace": True}
    assert_loss(logits, ab, **options, mask=torch.rand(1, 3, 12) > 0.2)
    if neighbours == 5:
        assert_loss(logits, ab, **options, reduction="weighted_mean", class_weight=torch.rand(bins))


@pytest.mark.parametrize("memory", LAYOUTS)
@pytest.mark.parametrize(("bins", "dtype"), [(313, torch.float32), (313, torch.bfloat16), (1024, torch.float64)])
def test_a_masked_pixel_counts_for_nothing_whatever_it_holds(
    bins: int, dtype: torch.dtype, memory: torch.memory_format
) -> None:
    palette = Palette.grid() if bins == 313 else Palette(torch.randn(bins, 2) * 40)
    logits, ab = logits_of((4, 10), dtype, memory, bins, 1), torch.randn(1, 2, 4, 10) * 40
    mask = torch.ones(1, 4, 10)
    mask[0, 1, 2] = mask[0, 3, 4] = 0
    clean, clean_grad = gradient(ops.rebalanced_cross_entropy, logits, ab=ab, mask=mask, palette=palette)
    logits[0, :, 1, 2], ab[0, :, 3, 4], logits[0, 7, 3, 4] = float("nan"), float("nan"), float("inf")
    total, grad = gradient(ops.rebalanced_cross_entropy, logits, ab=ab, mask=mask, palette=palette)
    assert torch.equal(total, clean) and torch.equal(grad, clean_grad)
    assert not grad[0, :, 1, 2].any() and not grad[0, :, 3, 4].any()


@pytest.mark.parametrize("memory", LAYOUTS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_non_finite_values_give_a_non_finite_loss(memory: torch.memory_format, value: float) -> None:
    logits, ab = logits_of((3, 3), torch.float32, memory), torch.randn(2, 2, 3, 3) * 40
    spoilt = logits.clone()
    spoilt[1, 5, 0, 0] = value
    assert not ops.rebalanced_cross_entropy(spoilt, ab).isfinite()
    ab[0, 1, 2, 2] = value
    assert not ops.rebalanced_cross_entropy(logits, ab).isfinite()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("memory", LAYOUTS)
@pytest.mark.parametrize("offset", [0, 1])
def test_scale_grad(dtype: torch.dtype, memory: torch.memory_format, offset: int) -> None:
    shape = (2, 313, 3, 7)
    store = torch.randn(2 * 313 * 21 + offset, dtype=torch.float64).to(dtype)  # offset 1: not aligned to 16 bytes
    for factor in (torch.tensor(0.7, dtype=torch.float64), torch.rand(2, 3, 7, dtype=torch.float64)):
        grad = store.clone()[offset:]
        grad = grad.view(shape) if memory == torch.contiguous_format else grad.view(2, 3, 7, 313).permute(0, 3, 1, 2)
        factor = factor.to(loss.compute_dtype(grad))
        expected = (grad.double() * (factor.double()[:, None] if factor.dim() else factor.double())).to(dtype)
        loss.scale_grad_op(grad, factor)
        assert torch.allclose(grad.double(), expected.double(), rtol=2 * torch.finfo(dtype).eps)


def test_a_factor_of_one_touches_nothing() -> None:
    """A signalling NaN that had been read and written would have become a quiet one."""
    bits = torch.full((1, 8, 4, 4), 0x7F81, dtype=torch.int16)
    loss.scale_grad_op(bits.view(torch.bfloat16), torch.tensor(1.0))
    assert bits.eq(0x7F81).all()
