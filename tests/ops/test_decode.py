"""annealed_mean, forward and backward, against the float64 reference."""

from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck

from fastcolor import Palette, ops, reference

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("temperature", [0, 0.05, 0.38, 1.0, 3.0])
def test_against_float64(device: torch.device, dtype: torch.dtype, channels_last: bool, temperature: float) -> None:
    logits = (torch.randn(2, 313, 19, 33, device=device) * 3).to(dtype)
    if channels_last:
        logits = logits.to(memory_format=torch.channels_last)
    leaf, exact_leaf = logits.clone().requires_grad_(), logits.double().clone().requires_grad_()
    ab = ops.annealed_mean(leaf, temperature=temperature)
    exact = reference.annealed_mean(exact_leaf, temperature=temperature)
    upstream = torch.randn_like(exact)
    ab.backward(upstream.to(ab.dtype))
    exact.backward(upstream)
    assert ab.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert torch.allclose(ab.double(), exact, rtol=0, atol=1e-9 if dtype == torch.float64 else 1e-3)
    largest = float(exact_leaf.grad.abs().max())
    step = {torch.float32: 1e-5, torch.bfloat16: 8e-3, torch.float16: 1e-3, torch.float64: 1e-9}[dtype]
    assert torch.allclose(leaf.grad.double(), exact_leaf.grad, rtol=0, atol=step * largest)


@pytest.mark.parametrize("bins", [8, 13, 100, 1024])
def test_other_palettes(device: torch.device, bins: int) -> None:
    palette = Palette(torch.randn(bins, 2) * 40)
    logits = torch.randn(1, bins, 7, 9, device=device) * 4
    expected = reference.annealed_mean(logits.double(), palette=palette)
    for memory in (torch.contiguous_format, torch.channels_last):
        ab = ops.annealed_mean(logits.to(memory_format=memory), palette=palette)
        assert torch.allclose(ab.double(), expected, atol=1e-3)


def test_temperature_zero_takes_the_lowest_of_equal_bins(device: torch.device) -> None:
    logits = torch.zeros(1, 313, 1, 2, device=device)
    logits[0, [17, 200], 0, 1] = 4
    for memory in (torch.contiguous_format, torch.channels_last):
        ab = ops.annealed_mean(logits.to(memory_format=memory), temperature=0)
        assert torch.equal(ab[0, :, 0].T, Palette.grid().points[[0, 17]].to(device))


def test_gradcheck(device: torch.device) -> None:
    palette = Palette(torch.randn(11, 2) * 40)
    logits = torch.randn(2, 11, 2, 3, dtype=torch.float64, device=device)
    for memory in (torch.contiguous_format, torch.channels_last):
        z = logits.to(memory_format=memory).requires_grad_()
        assert gradcheck(lambda z: ops.annealed_mean(z, palette=palette, temperature=0.5), (z,))


def test_extreme_logits(device: torch.device) -> None:
    logits = torch.zeros(1, 313, 1, 3, device=device)
    logits[0, 7, 0, 0], logits[0, 9, 0, 1] = 1e30, -1e30
    logits[0, :, 0, 2] = float("-inf")
    logits[0, 11, 0, 2] = 0
    for memory in (torch.contiguous_format, torch.channels_last):
        ab = ops.annealed_mean(logits.to(memory_format=memory), temperature=0.38)
        points = Palette.grid().points.to(device)
        assert torch.equal(ab[0, :, 0, 0], points[7])
        assert bool(ab.isfinite().all())
        assert torch.allclose(ab[0, :, 0, 2], points[11], atol=1e-4)


@pytest.mark.parametrize("temperature", [0, 0.38])
def test_nan_stays_nan(device: torch.device, temperature: float) -> None:
    logits = torch.randn(1, 313, 2, 3, device=device)
    logits[0, 200, 0, 1] = float("nan")
    for memory in (torch.contiguous_format, torch.channels_last):
        ab = ops.annealed_mean(logits.to(memory_format=memory), temperature=temperature)
        assert bool(ab[0, :, 0, 1].isnan().all()) and int(ab.isnan().sum()) == 2


def test_strides_empty_and_opcheck(device: torch.device) -> None:
    logits = torch.randn(2, 313, 8, 9, device=device)
    assert torch.equal(ops.annealed_mean(logits[:, :, ::2]), ops.annealed_mean(logits[:, :, ::2].contiguous()))
    empty = logits[:0].requires_grad_()
    ops.annealed_mean(empty).sum().backward()
    assert empty.grad.shape == (0, 313, 8, 9)
    arguments = (logits.requires_grad_(), Palette.grid().key, 0.38)
    torch.library.opcheck(torch.ops.fastcolor.annealed_mean.default, arguments)


def test_a_gradient_reaches_the_logits_through_decoded_color(device: torch.device) -> None:
    """Descending on decoded ab brings it to a target: what a discriminator's gradient needs."""
    logits = torch.zeros(1, 313, 4, 4, device=device, requires_grad=True)
    target = torch.tensor([40.0, -30.0], device=device).view(1, 2, 1, 1)
    optimiser = torch.optim.Adam([logits], lr=0.3)
    for _ in range(60):
        loss = (ops.annealed_mean(logits, temperature=1.0) - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(loss) < 1


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"logits: must have shape \(N, 313, h, w\)"):
        ops.annealed_mean(torch.zeros(1, 2, 4, 4))
    for temperature in (-1, 1e-9, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=r"temperature: must be 0 or at least 0\.001"):
            ops.annealed_mean(torch.zeros(1, 313, 4, 4), temperature=temperature)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_lowest_logits(device: torch.device, layout: torch.memory_format) -> None:
    points = Palette.grid().points.to(device)
    for dtype, lowest in ((torch.float32, torch.finfo(torch.float32).min), (torch.float64, -1e39)):
        logits = torch.full((1, 313, 3, 5), lowest, dtype=dtype, device=device).contiguous(memory_format=layout)
        assert torch.allclose(ops.annealed_mean(logits)[0, :, 1, 1].float(), points.mean(0), atol=1e-3)
    assert bool(ops.annealed_mean(torch.full_like(logits, -math.inf)).isnan().all())  # as the reference has it


def test_the_mode_does_not_move(device: torch.device) -> None:
    logits = torch.randn(1, 313, 2, 2, device=device)
    logits[0, 7] = -math.inf
    logits.requires_grad_()
    ops.annealed_mean(logits, temperature=0).sum().backward()
    assert torch.equal(logits.grad, torch.zeros_like(logits))
