"""annealed_mean on 16x313x64x64 logits; and from 1x313x270x480 logits to a 1080p picture."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from fastcolor import ops
from fastcolor.palette import Palette

from . import baselines, timing
from .timing import Row


def _logits(shape: tuple[int, ...], device: str, dtype: torch.dtype, channels_last: bool) -> Tensor:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    logits = 3 * torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return logits.to(device, dtype).contiguous(memory_format=layout)


def _same_ab(ours: Tensor, other: Tensor) -> None:
    assert ours.shape == other.shape
    # Probabilities kept in 16 bits by the baseline are off by 2^-9; ours are float32 throughout. On a GPU torch's
    # convolutions round float32 factors to 11 bits (TF32).
    bound = 8.0 if other.dtype != torch.float32 else 1e-2 if other.device.type == "cpu" else 0.2
    assert (ours.float() - other.float()).abs().max() < bound


def _same_rgb(ours: Tensor, other: Tensor) -> None:
    assert ours.shape == other.shape and (ours.cpu().int() - other.cpu().int()).abs().max() <= 1


def decode(device: str, *, dtype: torch.dtype = torch.float32, channels_last: bool = False, images: int = 16) -> Row:
    logits = _logits((images, 313, 64, 64), device, dtype, channels_last)
    points = Palette.grid().points.to(device, dtype)
    plain = device == "cpu" and dtype == torch.float32 and not channels_last
    name = f"decode: annealed_mean {images}x313x64x64 {str(dtype).removeprefix('torch.')}"
    return Row(
        name=name + (", channels_last" if channels_last else ""),
        ours=lambda: ops.annealed_mean(logits),
        others={
            "softmax+einsum": lambda: lambda: baselines.decode(logits, points),
            "softmax+conv": lambda: lambda: baselines.decode_by_convolution(logits, points),
        }
        | ({"compile": lambda: timing.compiled(baselines.decode, logits, points)} if images > 1 else {}),
        bytes=logits.numel() * logits.element_size() + images * 2 * 64 * 64 * 4,
        same=_same_ab,
        must={"softmax+einsum": 12, "softmax+conv": 6.5, "compile": 10}
        if plain
        else {}
        if device == "cpu"
        else {"softmax+einsum": 6, "softmax+conv": 4.5}
        if images > 1
        else {},
        stretch={"softmax+einsum": 20, "softmax+conv": 11, "compile": 17} if plain else {},
        graph=images == 1,
    )


def picture(device: str, *, dtype: torch.dtype = torch.float32, channels_last: bool = False) -> Row:
    logits = _logits((1, 313, 270, 480), device, dtype, channels_last)
    points, matrix = Palette.grid().points.to(device), baselines.FROM_XYZ.to(device)
    lightness = (50 + 20 * torch.randn((1, 1, 1080, 1920), generator=torch.Generator().manual_seed(1))).clamp(0, 100)
    lightness = lightness.to(device)
    plain = dtype == torch.float32 and not channels_last
    name = f"decode + upsample + sRGB, 1x313x270x480 {str(dtype).removeprefix('torch.')} -> 1080p u8"
    return Row(
        name=name + (", channels_last" if channels_last else ""),
        ours=lambda: ops.paint_rgb(ops.annealed_mean(logits), lightness),
        others={
            "eager": lambda: lambda: baselines.paint(logits.float(), points, lightness, matrix=matrix),
            "compile": lambda: timing.compiled(
                lambda z: baselines.paint(z.float(), points, lightness, matrix=matrix), logits
            ),
        },
        bytes=logits.numel() * logits.element_size() + 1080 * 1920 * 7,
        same=_same_rgb,
        must=({"eager": 9, "compile": 10} if device == "cpu" else {"eager": 11}) if plain else {},
        stretch={"eager": 14, "compile": 14} if plain and device == "cpu" else {},
    )


ROWS: list[Callable[[str], Row]] = [
    decode,
    functools.partial(decode, channels_last=True),
    functools.partial(decode, dtype=torch.bfloat16),
    functools.partial(decode, dtype=torch.bfloat16, channels_last=True),
    picture,
    functools.partial(picture, channels_last=True),
]
CUDA_ROWS = [
    functools.partial(decode, dtype=torch.float16),
    functools.partial(decode, dtype=torch.float16, channels_last=True),
    functools.partial(decode, images=1),
    functools.partial(picture, dtype=torch.bfloat16),
]
test_decode = timing.suite(ROWS)
