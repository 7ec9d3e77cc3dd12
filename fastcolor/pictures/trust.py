"""How much of the colours that a network predicts is believed."""

from __future__ import annotations

import math

import numpy as np

_FULL_DETAIL, _FULL_SIDE = 2.0, 32  # spread of L, and side in pixels, from which colours are trusted whole


def trust(lightness: np.ndarray, shape: tuple[int, ...]) -> float:
    """How much of the predicted colour to believe, 0 to 1: a picture that is flat or of a few pixels says too little
    of what it shows, and its colours are guesses.

    Args:
        lightness: L as the network sees it. shape: (H, W) of the picture.
    """
    detail = float(lightness.std(dtype=np.float64, ddof=1)) / _FULL_DETAIL
    return min(1.0, detail) * min(1.0, math.sqrt(math.prod(shape)) / _FULL_SIDE)
