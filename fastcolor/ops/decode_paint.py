"""decode_rgb and decode_chroma: from logits to the picture or a film frame's chroma planes, on a GPU in one launch."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from .._native import _C, DTYPE_CODES, address, target
from ..bins import Bins
from ._register import check, check_device, register
from .decode import annealed_mean, check_logits, points_of
from .loss import dense, is_channels_last
from .paint import (
    check_film,
    check_look,
    check_luma,
    check_source,
    chroma_codes,
    empty_chroma,
    empty_rgb,
    paint_chroma,
    paint_rgb,
)

_progress: dict[tuple[int, int], Tensor] = {}  # (device, stream) -> counters


def _counters(logits: Tensor, where: tuple[int, int, int]) -> Tensor:
    """The zeros that a CUDA launch counts its progress with and leaves as zeros: (2 + N * h) or more, int32.

    Launches of one stream come one after the other and share theirs. A graph has its own, cleared at each replay: it
    may run on any stream, beside any other.
    """
    words = 2 + logits.shape[0] * logits.shape[2]
    if logits.is_cuda and torch.cuda.is_current_stream_capturing():
        return torch.zeros(words, dtype=torch.int32, device=logits.device)
    counters = _progress.get(where[:2])
    if counters is None or len(counters) < words:
        counters = torch.zeros(max(words, 4096), dtype=torch.int32, device=logits.device)
        _progress[where[:2]] = counters
    return counters


def _scratch(logits: Tensor, where: tuple[int, int, int]) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """ab of the logits' size; the statistics that the CPU's kernel writes; the counters that CUDA's reads."""
    ab = logits.new_empty((logits.shape[0], 2, *logits.shape[2:]), dtype=torch.float32)
    return (ab, torch.empty_like(ab), None) if where[0] < 0 else (ab, None, _counters(logits, where))


def _decode_rgb(
    logits: Tensor, source: Tensor, kind: int, palette: str, temperature: float, saturation: float, chroma: bool
) -> Tensor:
    logits, source = dense(logits), source.contiguous()
    rgb = empty_rgb(logits, source, kind)
    if rgb.numel():
        where = target(logits)
        ab, stats, progress = _scratch(logits, where)
        _C.decode_rgb(
            address(logits),
            address(source),
            address(ab),
            address(stats),
            address(progress),
            address(rgb),
            len(logits),
            *logits.shape[2:],
            *rgb.shape[1:3],
            temperature,
            saturation,
            chroma,
            kind,
            is_channels_last(logits),
            DTYPE_CODES[logits.dtype],
            DTYPE_CODES[source.dtype],
            points_of(palette, logits),
            where,
        )
    return rgb


def _decode_chroma(
    logits: Tensor,
    luma: Tensor,
    step_x: int,
    step_y: int,
    centered: bool,
    matrix: str,
    full_range: bool,
    bits: int,
    palette: str,
    temperature: float,
    saturation: float,
) -> tuple[Tensor, Tensor]:
    logits, luma = dense(logits), luma.contiguous()
    cb, cr = empty_chroma(logits, luma, step_x, step_y)
    if cb.numel():
        where = target(logits)
        ab, stats, progress = _scratch(logits, where)
        _C.decode_chroma(
            address(logits),
            address(luma),
            address(ab),
            address(stats),
            address(progress),
            address(cb),
            address(cr),
            len(logits),
            *logits.shape[2:],
            *luma.shape[1:],
            temperature,
            step_x,
            step_y,
            centered,
            *chroma_codes(matrix, full_range, bits),
            saturation,
            is_channels_last(logits),
            DTYPE_CODES[logits.dtype],
            DTYPE_CODES[luma.dtype],
            points_of(palette, logits),
            where,
        )
    return cb, cr


decode_rgb_op = register(
    "decode_rgb(Tensor logits, Tensor source, int kind, str palette, float temperature, float saturation, bool chroma) "
    "-> Tensor",
    _decode_rgb,
    empty_rgb,
)
decode_chroma_op = register(
    "decode_chroma(Tensor logits, Tensor luma, int step_x, int step_y, bool centered, str matrix, bool full_range, "
    "int bits, str palette, float temperature, float saturation) -> (Tensor, Tensor)",
    _decode_chroma,
    empty_chroma,
)


def _check_images(logits: Tensor, images: int) -> None:
    check(len(logits) == images, "logits", f"hold as many images as the picture, {images}", len(logits))
    check(images == 0 or logits[0, 0].numel() > 0, "logits", "have at least one pixel", tuple(logits.shape))


def decode_rgb(
    logits: Tensor,
    l_or_rgb: Tensor,
    *,
    palette: Bins | None = None,
    temperature: float = 0.38,
    saturation: float = 1.0,
    gamut: Literal["clip", "chroma"] = "clip",
) -> Tensor:
    """`paint_rgb(annealed_mean(logits), l_or_rgb)`: the same values, on a GPU by one launch, without a gradient.

    Args:
        logits, palette, temperature: as `annealed_mean` takes them. float64 takes two launches.
        l_or_rgb, saturation, gamut: as `paint_rgb` takes them.

    Returns:
        (N, H, W, 3) uint8.

    Raises:
        TypeError, ValueError: wrong type, dtype, shape or number; the message says which.

    Source: Zhang et al., "Colorful Image Colorization", ECCV 2016, equation 5.

    Example:
        >>> decode_rgb(torch.zeros(1, 313, 64, 64), torch.full((1, 300, 200), 9, dtype=torch.uint8)).shape
        torch.Size([1, 300, 200, 3])
    """
    palette = check_logits(logits, palette, temperature)
    kind, source = check_source(l_or_rgb)
    _check_images(logits, len(source))
    check_device(logits, "logits", l_or_rgb, "l_or_rgb")
    check_look(saturation, gamut)
    logits = logits.detach()
    if logits.dtype == torch.float64:
        ab = annealed_mean(logits, palette=palette, temperature=temperature)
        return paint_rgb(ab, source, saturation=saturation, gamut=gamut)
    look = float(temperature), float(saturation), gamut == "chroma"
    return decode_rgb_op(logits, source, kind, palette.key, *look)


def decode_chroma(
    logits: Tensor,
    luma: Tensor,
    *,
    subsampling: Literal["420", "422", "444"],
    matrix: Literal["bt601", "bt709", "bt2020"],
    full_range: bool,
    palette: Bins | None = None,
    temperature: float = 0.38,
    saturation: float = 1.0,
    bits: int | None = None,
    siting: Literal["left", "center"] = "left",
) -> tuple[Tensor, Tensor]:
    """`paint_chroma(annealed_mean(logits), luma)`: the same values, on a GPU by one launch, without a gradient.

    Args:
        logits, palette, temperature: as `annealed_mean` takes them. float64 takes two launches.
        luma, subsampling, matrix, full_range, saturation, bits, siting: as `paint_chroma` takes them.

    Returns:
        (Cb, Cr), each (N, ceil(H / 2 or 1), ceil(W / 2 or 1)) of luma's dtype.

    Raises:
        TypeError, ValueError: wrong type, dtype, shape or choice; the message says which.

    Source: Zhang et al., ECCV 2016, equation 5; ITU-R BT.601, BT.709, BT.2020 (non-constant luminance).

    Example:
        >>> luma = torch.full((1, 480, 640), 128, dtype=torch.uint8)
        >>> cb, _ = decode_chroma(torch.zeros(1, 313, 64, 64), luma, subsampling="420", matrix="bt709", full_range=True)
        >>> cb.shape
        torch.Size([1, 240, 320])
    """
    palette = check_logits(logits, palette, temperature)
    depth = check_luma(luma, bits)
    _check_images(logits, len(luma))
    check_device(logits, "logits", luma, "luma")
    step_x, step_y, centered = check_film(subsampling, matrix, siting, saturation)
    logits = logits.detach()
    if logits.dtype == torch.float64:
        return paint_chroma(
            annealed_mean(logits, palette=palette, temperature=temperature),
            luma,
            subsampling=subsampling,
            matrix=matrix,
            full_range=full_range,
            saturation=saturation,
            bits=bits,
            siting=siting,
        )
    film = step_x, step_y, centered, matrix, full_range, depth
    return decode_chroma_op(logits, luma, *film, palette.key, float(temperature), float(saturation))
