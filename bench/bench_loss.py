"""rebalanced_cross_entropy, forward and backward, on 16x313x64x64 logits, soft encoding included."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fastcolor import ops
from fastcolor.palette import Palette

from . import baselines, timing
from .bench_encode import random_ab
from .timing import Row

IMAGES = 16


def inputs(device: str, dtype: torch.dtype, channels_last: bool, images: int) -> tuple[Tensor, Tensor, Tensor]:
    """logits that require a gradient, ab, class weights."""
    generator = torch.Generator().manual_seed(0)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    logits = torch.randn((images, 313, 64, 64), generator=generator).to(device, dtype).contiguous(memory_format=layout)
    weight = torch.rand(313, generator=generator).to(device) + 0.5
    return logits.requires_grad_(), random_ab(images, 64, 64, device), weight


def gradient(logits: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
    return torch.autograd.grad(loss(logits), logits)[0]


def _same(tolerance: float, ours: Tensor, other: Tensor) -> None:
    difference = (ours.float().cpu() - other.float().cpu()).norm() / other.float().cpu().norm()
    assert difference < tolerance, difference


def loss(
    device: str,
    *,
    dtype: torch.dtype = torch.float32,
    channels_last: bool = False,
    inplace: bool = False,
    images: int = IMAGES,
) -> Row:
    logits, ab, class_weight = inputs(device, dtype, channels_last, images)
    points = Palette.grid().points.to(device)

    def ours() -> Tensor:
        return gradient(
            logits, lambda z: ops.rebalanced_cross_entropy(z, ab, class_weight=class_weight, inplace=inplace)
        )

    def eager(form: Callable[..., Tensor]) -> Callable[[], Any]:
        def work() -> Tensor:
            index, weight = baselines.encode(ab, points)
            return gradient(logits, lambda z: form(z.float(), index, weight, class_weight))

        return lambda: work

    def target_given() -> Callable[[], Tensor]:
        index, weight = baselines.encode(ab, points)
        return lambda: gradient(logits, lambda z: baselines.compact_loss(z.float(), index, weight, class_weight))

    def hard_label() -> Callable[[], Tensor]:
        label = baselines.encode(ab, points)[0][:, 0]
        return lambda: gradient(logits, lambda z: F.cross_entropy(z.float(), label))

    def compiled() -> Callable[[], Tensor]:
        def whole(z: Tensor, ab: Tensor) -> Tensor:
            index, weight = baselines.encode(ab, points)
            return baselines.compact_loss(z.float(), index, weight, class_weight)

        form = timing.compiled(whole)
        return lambda: gradient(logits, lambda z: form(z, ab))

    def same(ours: Tensor, other: Tensor) -> None:
        # A hard label is another function: its row is there for its speed alone, so only shapes are compared.
        assert ours.shape == other.shape
        if not inplace and other.float().std() > 0 and not torch.equal(other, hard_gradient):
            _same(5e-3 if dtype == torch.float32 else 2e-2, ours, other)

    hard_gradient = hard_label()()
    others = {
        "dense eager": eager(baselines.dense_loss),
        "compact eager": eager(baselines.compact_loss),
        **({"compile": compiled} if images == IMAGES else {}),
        "target given": target_given,
        "hard label": hard_label,
    }
    plain = device == "cpu" and dtype == torch.float32 and not channels_last
    must = {"dense eager": 18, "compact eager": 14, "compile": 13, "target given": 4.5, "hard label": 4}
    stretch = {"dense eager": 30, "compact eager": 22, "compile": 20}
    in_place = {"target given": 7, "hard label": 6}
    if device != "cpu":
        must, stretch, in_place = {"dense eager": 8, "compact eager": 5} if images == IMAGES else {}, {}, {}
    name = ", ".join(
        [
            f"loss: forward and backward {images}x313x64x64 {str(dtype).removeprefix('torch.')}",
            *(["channels_last"] if channels_last else []),
            *(["in place"] if inplace else []),
        ]
    )
    return Row(
        name=name,
        ours=ours,
        others=others,
        bytes=2 * logits.numel() * logits.element_size() + ab.numel() * 4,
        same=same,
        must=(must if plain or device != "cpu" else {}) if not inplace else {},
        stretch=(in_place if inplace else stretch) if plain else {},
        graph=images == 1,
    )


ROWS: list[Callable[[str], Row]] = [
    loss,
    functools.partial(loss, inplace=True),
    functools.partial(loss, channels_last=True),
    functools.partial(loss, dtype=torch.bfloat16),
    functools.partial(loss, dtype=torch.bfloat16, channels_last=True),
]
CUDA_ROWS = [
    functools.partial(loss, dtype=torch.float16),
    functools.partial(loss, dtype=torch.float16, channels_last=True),
    functools.partial(loss, dtype=torch.bfloat16, inplace=True),
    functools.partial(loss, images=1),
]
test_loss = timing.suite(ROWS)
