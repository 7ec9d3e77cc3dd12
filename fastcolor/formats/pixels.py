"""Arrays of pixels: depth, orientation, transparency, missing parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Raster:
    """What a decoder gave, at full scale: 0 is no light (or no ink) and the dtype's highest value all of it.

    Attributes:
        samples: (H, W) gray, (H, W, 3) RGB or (H, W, 4) CMYK, uint8 or uint16. alpha: (H, W) of either, or None.
        bits: of a channel in the file.
    """

    samples: np.ndarray
    alpha: np.ndarray | None = None
    bits: int = 8


def eight_bit(pixels: np.ndarray) -> np.ndarray:
    """uint8 or uint16 pixels as uint8, rounded."""
    return pixels if pixels.dtype == np.uint8 else ((pixels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def full_scale(samples: np.ndarray, bits: int) -> np.ndarray:
    """Unsigned samples of so many bits as uint8, or as uint16 where they have more than 8."""
    if bits in (8, 16) and samples.dtype.itemsize * 8 == bits:
        return samples
    if bits < 8:
        return (samples.astype(np.uint16) * 255 // (2**bits - 1)).clip(max=255).astype(np.uint8)
    if bits < 16:
        return (samples.astype(np.uint32) * 65535 // (2**bits - 1)).clip(max=65535).astype(np.uint16)
    return (samples >> (bits - 16)).astype(np.uint16)


def raster_of(samples: np.ndarray, bits: int, *, alpha: bool, associated: bool = False) -> Raster:
    """A raster of a decoder's (H, W) or (H, W, C) array.

    Args:
        bits: of a sample. alpha: the last channel is one. associated: the others are multiplied by it.

    Raises:
        ValueError: neither gray nor RGB nor CMYK.
    """
    samples = full_scale(samples if samples.ndim == 3 else samples[..., None], bits)
    clear = samples[..., -1] if alpha else None
    color = samples[..., : samples.shape[2] - alpha]
    if color.shape[2] not in (1, 3, 4):
        raise ValueError(f"has {color.shape[2]} channels of colour")
    if associated and clear is not None:
        most = np.iinfo(color.dtype).max
        lifted = color.astype(np.uint32) * most // np.maximum(clear, 1)[..., None]
        color = lifted.clip(max=most).astype(color.dtype)
    return Raster(color[..., 0] if color.shape[2] == 1 else np.ascontiguousarray(color), clear, bits)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """An array of rows and columns turned as EXIF's orientation, 1 to 8, asks for."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    rows, columns = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}.get(orientation, (1, 1))
    return np.ascontiguousarray(pixels[::rows, ::columns])


def present_part(gray: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns up to where one side turns into a single value, which a decoder leaves for what is missing."""
    runs = []
    for turns in range(4):  # the file's last row may be at any side of the upright picture
        turned = np.rot90(gray, turns)
        flat = (turned == turned[-1, 0]).all(axis=1)[::-1]
        runs.append(len(flat) if flat.all() else int(flat.argmin()))
    bottom, left, top, right = (run if run == max(runs) else 0 for run in runs)
    height, width = gray.shape
    return slice(top, max(height - bottom, top)), slice(left, max(width - right, left))


def without_color(rgb: np.ndarray) -> np.ndarray:
    """(H, W) when the three channels are the same, which a gray picture saved in colour is."""
    red = rgb[..., 0]
    same = np.array_equal(red, rgb[..., 1]) and np.array_equal(red, rgb[..., 2])
    return np.ascontiguousarray(red if same else rgb)
