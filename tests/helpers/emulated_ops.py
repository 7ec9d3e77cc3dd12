"""What the suites of the emulated CUDA kernels share: types, layouts and sizes, logits and gradients."""

from __future__ import annotations

import pytest
import torch
from emulation import build
from op_results import GRADIENT_STEP
from torch import Tensor

from fastcolor import ops, reference

MARKS = [
    pytest.mark.skipif(build.COMPILER is None, reason="no C++ compiler"),
    pytest.mark.builds("extension"),
    pytest.mark.usefixtures("one_thread"),
]

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
LAYOUTS = [torch.contiguous_format, torch.channels_last]
# (H, W): one pixel; an odd number, more than a tile; an even number (pairs of 16-bit values), more than two tiles.
SHAPES = [(1, 1), (5, 13), (6, 23)]


def logits_of(
    shape: tuple[int, int], dtype: torch.dtype, memory: torch.memory_format, bins: int = 313, n: int = 2
) -> Tensor:
    return (torch.randn(n, bins, *shape) * 3).to(dtype).contiguous(memory_format=memory)


def gradient(function: object, leaf: Tensor, **options: object) -> tuple[Tensor, Tensor]:
    """(result, gradient) with an upstream gradient that depends on the place alone."""
    leaf = leaf.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    result = function(leaf * 1, **options)
    upstream = torch.linspace(0.5, 1.5, result.numel() + 1, dtype=torch.float64)[1:].to(result.dtype)
    result.backward(upstream.view(result.shape))
    return result.detach(), leaf.grad


def assert_loss(logits: Tensor, ab: Tensor, **options: object) -> None:
    ours, grad = gradient(ops.rebalanced_cross_entropy, logits, ab=ab, **options)
    exact, exact_grad = gradient(reference.rebalanced_cross_entropy, logits.double(), ab=ab, **options)
    assert torch.allclose(ours.double(), exact, rtol=3e-6, atol=3e-6)
    largest = float(exact_grad.abs().max())
    assert torch.allclose(grad.double(), exact_grad, rtol=0, atol=GRADIENT_STEP[logits.dtype] * largest)
