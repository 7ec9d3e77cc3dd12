"""A picture as colouring sees it, and the file it came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from .endings import PictureError
from .pixels import eight_bit, without_color


class DamagedError(PictureError):
    """A picture of which a part may still be readable."""


@dataclass(frozen=True)
class Picture:
    """A picture as colouring sees it.

    Attributes:
        pixels: (H, W) gray or (H, W, 3) sRGB, uint8 or uint16; upright. alpha: (H, W) uint8, or None.
        info: what is written again beside the pixels, see `metadata.collect`. bits: of a channel in the file.
        present: the rows and columns that a truncated file still held; all of them for a whole one.
        notes: what of the file could not be followed, in words.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    info: dict[str, Any] = field(default_factory=dict)
    bits: int = 8
    present: tuple[slice, slice] = (slice(None), slice(None))
    notes: tuple[str, ...] = ()

    @property
    def gray(self) -> np.ndarray:
        """(H, W) uint8 or uint16: what the network looks at."""
        if self.pixels.ndim == 2:
            return self.pixels
        if self.pixels.dtype == np.uint16:
            return (self.pixels @ np.array([0.299, 0.587, 0.114], np.float32) + 0.5).astype(np.uint16)
        return np.asarray(Image.fromarray(self.pixels).convert("L"))


@dataclass(frozen=True)
class PictureFile:
    """All frames or pages of a file, one for most.

    Attributes:
        frames: the pictures; pages of a TIFF are decoded each time they are gone through and not kept.
        format: as Pillow names it. durations: of the frames in milliseconds. loop: how often they play, 0 is for ever.
        lost: what further pictures and the like the file held that are not read, in words.
    """

    frames: Sequence[Picture]
    format: str
    durations: Sequence[int] = (100,)
    loop: int = 0
    lost: tuple[str, ...] = ()

    @property
    def pages(self) -> bool:
        """Whether several pictures are pages, each on its own, and no animation's frames."""
        return self.format == "TIFF"


def of_array(array: np.ndarray, name: str = "image") -> Picture:
    """(H, W) or (H, W, 1) gray, (H, W, 3) sRGB or (H, W, 4) with alpha; uint8, gray also uint16."""
    shape_ok = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    if not shape_ok or array.dtype not in (np.uint8, np.uint16) or (array.dtype == np.uint16 and array.ndim == 3):
        raise ValueError(
            f"{name}: must be uint8 of shape (H, W), (H, W, 3) or (H, W, 4), or uint16 of shape (H, W), "
            f"got {array.dtype} of shape {array.shape}"
        )
    if array.size == 0:
        raise ValueError(f"{name}: must have at least one pixel, got shape {array.shape}")
    array = np.ascontiguousarray(array)
    if array.ndim == 2 or array.shape[2] == 1:
        return Picture(array.reshape(array.shape[:2]), bits=8 * array.itemsize)
    alpha = array[..., 3] if array.shape[2] == 4 else None
    return Picture(without_color(array[..., :3]), alpha)


def compose(rgb: np.ndarray, picture: Picture) -> Image.Image:
    """The coloured pixels, of the whole picture or of the part that is present, with its own alpha and metadata."""
    if rgb.shape[:2] != picture.pixels.shape[:2]:
        whole = eight_bit(picture.gray)[..., None].repeat(3, axis=2)
        whole[picture.present] = rgb
        rgb = whole
    image = Image.fromarray(rgb)
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(picture.alpha))
    image.info.update(picture.info)
    return image
