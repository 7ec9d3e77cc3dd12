"""What an op allocates, to the byte, beside what plain torch and kornia allocate for the same.

Extra memory is the peak of a call beyond what was there before it and beyond its result; a gradient that a loss makes
counts as extra, of ours and of the baseline's. Inputs are made outside the call. The gates are those of the design.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from bench import baselines
from bench.timing import peak_bytes
from fastcolor import Palette, ops

LOGITS = (2, 313, 32, 32)


@pytest.fixture(autouse=True)
def loaded() -> None:
    """Search tables are made once, by the first call; what they take is no cost of a call."""
    ops.encode_bins(torch.zeros(1, 2, 1, 1))


def size_of(result: Any) -> int:
    tensors = [result] if isinstance(result, Tensor) else result
    return sum(t.numel() * t.element_size() for t in tensors)


def extra_bytes(work: Callable[[], Any]) -> int:
    return peak_bytes(work) - size_of(work())


def logits_and_colors(memory: torch.memory_format) -> tuple[Tensor, Tensor]:
    logits = torch.randn(LOGITS).contiguous(memory_format=memory)
    return logits, torch.randn(LOGITS[0], 2, *LOGITS[2:]) * 40


def loss_peak(logits: Tensor, form: Callable[[Tensor], Tensor]) -> int:
    """Of forward and backward, the gradient included."""
    leaf = logits.requires_grad_()
    return peak_bytes(lambda: torch.autograd.grad(form(leaf), leaf))


def eager_loss(form: Callable[..., Tensor], ab: Tensor) -> Callable[[Tensor], Tensor]:
    points, class_weight = Palette.grid().points, torch.ones(313)
    return lambda z: form(z, *baselines.encode(ab, points), class_weight)


def test_the_measure_sees_every_byte() -> None:
    def work() -> Tensor:
        large = torch.empty(1000, dtype=torch.float32)
        return large[:10].clone()

    assert peak_bytes(work) == 4000 + 40 and extra_bytes(work) == 4000


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_loss_makes_its_gradient_and_no_other_volume(memory: torch.memory_format) -> None:
    logits, ab = logits_and_colors(memory)
    ours = loss_peak(logits, lambda z: ops.rebalanced_cross_entropy(z, ab))
    volume, pixels = size_of(logits), LOGITS[0] * LOGITS[2] * LOGITS[3]
    assert ours <= volume + 13 * pixels, "the gradient, a loss a pixel in float32 and float64, sums of rows"
    assert ours <= loss_peak(logits, eager_loss(baselines.dense_loss, ab)) / 3
    # Compact eager makes three volumes: a third of them is our gradient, which leaves our planes to spare.
    assert ours <= loss_peak(logits, eager_loss(baselines.compact_loss, ab)) / 3 + 13 * pixels


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_backward_of_the_loss_allocates_nothing(memory: torch.memory_format, dtype: torch.dtype) -> None:
    """The gradient is there since the forward pass. (Autograd filled that of an unused output with zeros: a volume.)"""
    logits, ab = logits_and_colors(memory)
    leaf = logits.to(dtype).requires_grad_()
    for factor in (1.0, 0.5):
        losses = iter([ops.rebalanced_cross_entropy(leaf, ab) for _ in range(2)])
        upstream = torch.tensor(factor)

        def backward(losses: Any = losses, upstream: Tensor = upstream) -> tuple[Tensor, ...]:
            return torch.autograd.grad(next(losses), leaf, upstream)

        assert peak_bytes(backward) <= 64, "scalars at most"


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_loss_in_place_makes_no_volume_at_all(memory: torch.memory_format) -> None:
    """The logits are a network's output: their own memory is there before, so each call gets its own."""
    logits, ab = logits_and_colors(memory)
    leaf = logits.requires_grad_()
    outputs = iter([leaf * 1 for _ in range(2)])

    def work() -> tuple[Tensor, ...]:
        z = next(outputs)
        return torch.autograd.grad(ops.rebalanced_cross_entropy(z, ab, inplace=True), z)

    assert peak_bytes(work) <= loss_peak(logits, eager_loss(baselines.compact_loss, ab)) / 100


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_decode(memory: torch.memory_format) -> None:
    logits, _ = logits_and_colors(memory)
    points = Palette.grid().points
    ours = extra_bytes(lambda: ops.annealed_mean(logits))
    for form in (baselines.decode, baselines.decode_by_convolution):
        assert ours <= extra_bytes(lambda form=form: form(logits, points)) / 100


def test_encode() -> None:
    ab, points = torch.randn(4, 2, 32, 32) * 40, Palette.grid().points
    assert extra_bytes(lambda: ops.encode_bins(ab)) <= extra_bytes(lambda: baselines.encode(ab, points)) / 30


def color_works() -> dict[str, tuple[Callable[[], Tensor], Callable[[], Tensor]]]:
    """Ours and the other way, by name: kornia's where it is installed, else plain torch's."""
    image = torch.randint(0, 256, (2, 90, 160, 3), dtype=torch.uint8)
    lab = ops.rgb_to_lab(image, layout="hwc")
    to_lab: Callable[[], Tensor] = lambda: baselines.rgb_to_lab(image)  # noqa: E731
    to_rgb: Callable[[], Tensor] = lambda: baselines.lab_to_rgb(lab)  # noqa: E731
    if importlib.util.find_spec("kornia"):
        import kornia

        to_lab = lambda: kornia.color.rgb_to_lab(image.permute(0, 3, 1, 2).float() / 255)  # noqa: E731
        to_rgb = lambda: (kornia.color.lab_to_rgb(lab) * 255 + 0.5).to(torch.uint8)  # noqa: E731
    return {
        "rgb_to_lab": (lambda: ops.rgb_to_lab(image, layout="hwc"), to_lab),
        "lab_to_rgb": (lambda: ops.lab_to_rgb(lab, layout="hwc"), to_rgb),
    }


@pytest.mark.parametrize("name", ["rgb_to_lab", "lab_to_rgb"])
def test_color(name: str) -> None:
    ours, theirs = color_works()[name]
    assert extra_bytes(ours) <= extra_bytes(theirs) / 10


def test_painting_a_picture_makes_no_color_of_its_size() -> None:
    logits, _ = logits_and_colors(torch.contiguous_format)
    lightness, points = torch.rand(2, 1, 128, 128) * 100, Palette.grid().points
    ours = extra_bytes(lambda: ops.paint_rgb(ops.annealed_mean(logits), lightness))
    assert ours <= extra_bytes(lambda: baselines.paint(logits, points, lightness)) / 100
