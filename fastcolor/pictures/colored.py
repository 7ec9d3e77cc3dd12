"""Whether a picture is in colour already."""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image

from ..formats.picture import Picture
from ..formats.pixels import eight_bit
from .kernels import rgb_to_lab

# Of a colour photograph at least so large a share lies so far, in Lab units, from the mean colour of its lightness.
_COLORED_SHARE, _COLORED_DISTANCE = 0.02, 10.0
# In Lab units from gray. Sepia, selenium and cyanotype tones stay below.
_STRONG = 45.0


def in_color(picture: Picture) -> bool:
    """Whether a picture is in colour already.

    It is when 2 % of its pixels lie 10 Lab units or more from the mean ab of the pixels as light as they are. So a
    tint that follows from lightness alone, of sepia or yellowed paper, is no colour. Measured at 128 pixels, which
    averages a codec's chroma noise away; of 224 photographs 5 % are so gray that they count as gray.
    """
    if picture.pixels.ndim == 2:
        return False
    lab = _small(picture)
    level, ab = (lab[0].ravel() / 5).astype(int), lab[1:].reshape(2, -1)
    count = np.bincount(level)
    mean = np.stack([np.bincount(level, plane) / np.maximum(count, 1) for plane in ab])
    distance = np.hypot(*(ab - mean[:, level]))
    return bool((distance > _COLORED_DISTANCE).mean() > _COLORED_SHARE)


def lacks_color(picture: Picture) -> Literal["", "gray", "toned"]:
    """Why a picture has no colours to give to another one; empty if it has.

    It has where it is in colour, or where 2 % of it are of so strong a colour that no toning made it: a wall, a cloth.
    """
    if in_color(picture):
        return ""
    if picture.pixels.ndim == 2:
        return "gray"
    chroma = np.hypot(*_small(picture)[1:])
    if (chroma > _STRONG).mean() > _COLORED_SHARE:
        return ""
    return "toned" if np.median(chroma) > 2 else "gray"


def _small(picture: Picture) -> np.ndarray:
    """(3, h, w) Lab."""
    small = Image.fromarray(eight_bit(picture.pixels))
    small.thumbnail((128, 128), Image.Resampling.BOX)
    return rgb_to_lab(np.asarray(small))
