"""How large a network sees a picture, and how many of them at once: plain numbers, without torch."""

from __future__ import annotations

import math


def input_size(height: int, width: int, size: int, stride: int) -> tuple[int, int]:
    """(h, w) that a network sees of a picture: its shape, about `size` x `size` pixels in all, each side a multiple of
    the network's stride. A very long side is capped at four times `size`.

    Example:
        >>> input_size(480, 640, 256, 32)
        (224, 288)
    """
    scale = size / math.sqrt(height * width)

    def side(length: int) -> int:
        return max(round(min(length * scale, 4 * size) / stride), 2) * stride

    return side(height), side(width)


def at_once(most: int, height: int, width: int) -> int:
    """How many pictures of a size go through a network together on a CPU: `most` of about 256 x 256 pixels, fewer of
    larger ones, since what lies between the layers of a large network takes gigabytes.

    Example:
        >>> at_once(8, 192, 344), at_once(8, 560, 560)
        (8, 2)
    """
    return max(1, min(most, most * 5 * 2**14 // (height * width)))
