"""Films that are in colour already, wholly or here and there."""

from __future__ import annotations

from typing import Any

import numpy as np

from .frames import is_gray, plane_view

# Spread of the chroma planes, in codes of 8 bits, from which a stretch counts as coloured, and below which it no longer
# does. A tint has none, the noise of a coded gray film less than one.
COLORED, UNCOLORED = 4.0, 2.0
EVERY = 24  # frames of which one is looked at, where nobody asked to keep colours
ENOUGH = 3  # coloured ones, and no gray one before them, that make a film one in colour


class Colors:
    """Looks for colours that differ within the picture, not for a mere tint.

    Args:
        keep: coloured frames keep their colours, so that every frame is looked at.
    """

    def __init__(self, *, keep: bool) -> None:
        self.keep = keep
        self.frames = self.seen = self.found = 0  # all, looked at, coloured
        self._colored = False  # the one before was

    def keeps(self, frame: Any) -> bool:
        """Whether the next frame keeps the colours it has."""
        self.frames += 1
        if self.keep or self.frames % EVERY == 1:
            self.seen += 1
            self._colored = spread(frame) > (UNCOLORED if self._colored else COLORED)
            self.found += self._colored
        return self.keep and self._colored

    def sentence(self, *, over: bool) -> str | None:
        """What to say of the film, as soon as it is certain. over: all frames were seen."""
        if self.keep:
            if over and self.found:
                return f"has {self.found} frames in colour already: they keep their colours, and are encoded anew"
        elif self.found and (self.seen == self.found >= ENOUGH or (over and 2 * self.found > self.seen)):
            return "is in colour already, and painted anew; --skip-colored (skip_colored=True) keeps its colours"
        return None


def spread(frame: Any) -> float:
    """How far a frame's chroma planes spread, in codes of 8 bits."""
    shape = frame.format
    if is_gray(frame):
        return 0.0
    plain = not shape.is_rgb and len(frame.planes) >= 3 and shape.components[0].bits == 8
    shown = frame if plain else frame.reformat(128, 128, "yuv444p")
    return max(float(plane_view(shown, index, np.uint8)[::2, ::2].std()) for index in (1, 2))
