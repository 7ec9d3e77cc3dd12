"""The kernels that a picture's painting takes, on numpy's arrays: `fastcolor.ops` for who has no torch at hand.

`threads`: of the CPU, that share the work. Arguments are not checked: they are of our own making.
"""

from __future__ import annotations

import numpy as np

from .._native import _C, DTYPES

_LIGHTNESS, _RGB, _GRAY = 0, 1, 2  # fastcolor::Source in csrc/ops.h


def _planes(array: np.ndarray, height: int, width: int) -> tuple[int, int, int, int, int]:
    """One image as the extension takes it."""
    return array.ctypes.data, 1, height, width, DTYPES[array.dtype.name]


def _on_cpu(threads: int) -> tuple[int, int, int]:
    return -1, 0, threads


def rgb_to_lab(rgb: np.ndarray, threads: int = 1) -> np.ndarray:
    """(3, H, W) float32 of (H, W, 3) sRGB: uint8, or float32 in [0, 1]."""
    rgb = np.ascontiguousarray(rgb)
    height, width = rgb.shape[:2]
    lab = np.empty((3, height, width), np.float32)
    size, dtype = (1, height * width), DTYPES[rgb.dtype.name]
    _C.rgb_to_lab(rgb.ctypes.data, lab.ctypes.data, size, True, False, dtype, _on_cpu(threads))
    return lab


def luma_to_input(gray: np.ndarray, size: tuple[int, int], threads: int) -> np.ndarray:
    """(1, 1, h, w) float32 L of (H, W) uint8 or uint16 gray in sRGB, resized to `size`."""
    gray = np.ascontiguousarray(gray)
    lightness = np.empty((1, 1, *size), np.float32)
    code = 0.0, 1.0 / np.iinfo(gray.dtype).max
    _C.luma_to_input(_planes(gray, *gray.shape), _planes(lightness, *size), code, _on_cpu(threads))
    return lightness


def annealed_mean(logits: np.ndarray, points: np.ndarray, temperature: float, threads: int) -> np.ndarray:
    """(1, 2, h, w) float32 ab of (1, Q, h, w) float32 logits, plane by plane or pixel by pixel. points: (2, Q) float32
    ab of the bins."""
    by_pixel = logits.transpose(0, 2, 3, 1).flags.c_contiguous
    if not by_pixel:
        logits = np.ascontiguousarray(logits)
    _, bins, height, width = logits.shape
    ab, stats = (np.empty((1, 2, height, width), np.float32) for _ in range(2))
    volume = logits.ctypes.data, 1, bins, height * width, by_pixel, DTYPES[logits.dtype.name]
    palette = points.ctypes.data, 0, 0, 0, bins
    _C.annealed_mean(volume, ab.ctypes.data, stats.ctypes.data, temperature, palette, _on_cpu(threads))
    return ab


def paint_rgb(ab: np.ndarray, pixels: np.ndarray, saturation: float, threads: int) -> np.ndarray:
    """(H, W, 3) uint8 of (1, 2, h, w) float32 ab and a picture: (H, W) or (H, W, 3), uint8 or uint16."""
    height, width = pixels.shape[:2]
    kind, source = _RGB if pixels.ndim == 3 else _GRAY, np.ascontiguousarray(pixels)
    if pixels.ndim == 3 and pixels.dtype == np.uint16:
        lab = rgb_to_lab(pixels.astype(np.float32) / np.float32(65535), threads)
        kind, source = _LIGHTNESS, np.ascontiguousarray(lab[0])
    rgb = np.empty((height, width, 3), np.uint8)
    smooth, picture = _planes(ab, *ab.shape[2:]), _planes(source, height, width)
    _C.paint_rgb(smooth, False, picture, kind, rgb.ctypes.data, saturation, False, _on_cpu(threads))
    return rgb
