"""One picture that is painted again and again, at the size of a screen, while somebody changes its colours."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .. import ops
from ..formats.picture import Picture, compose
from ..formats.pixels import eight_bit
from ..options.look import check_look
from .colorize import Colorizer, Features
from .opening import ImageLike
from .told import Told
from .trust import trust

NOTHING = Told()
_APART = 18.0  # ab units between colours that are suggested beside each other


class Canvas:
    """What is kept of a picture so that another look at it costs little: the network's answer and a small copy.

    Args:
        colorizer: that colours. picture: opened. side: of the small copy, the longer one, in pixels.

    Example:
        >>> from fastcolor.formats.picture import of_array
        >>> picture = of_array(np.full((64, 96), 128, np.uint8))
        >>> Canvas(Colorizer(), picture, side=48).paint(whole=lambda: picture).size
        (48, 32)
    """

    def __init__(self, colorizer: Colorizer, picture: Picture, side: int) -> None:
        gray = picture.gray[picture.present]
        if not all(gray.shape):
            raise ValueError(f"picture: must hold pixels, got {picture.pixels.shape[1]} x {picture.pixels.shape[0]}")
        self._colorizer = colorizer
        self.size = colorizer.input_size(*gray.shape)
        self._lightness = colorizer.lightness(colorizer._tensor(gray), self.size)
        self._trust = trust(self._lightness.cpu().numpy(), gray.shape)
        self._version: tuple[ImageLike, float | None, Tensor] | None = None
        self._last: tuple[float | None, Tensor] | None = None
        self.small = _shrunk(picture, side)

    @functools.cached_property
    def _logits(self) -> Tensor | None:
        return None if self._colorizer.bins is None else self._colorizer.logits(self._lightness)

    def _automatic(self, temperature: float | None) -> Tensor:
        """The network's own colours; of one with logits they cost little at another temperature."""
        if self._logits is not None:
            return self._colorizer.decoded(self._logits, temperature=temperature)
        if self._last is None or self._last[0] != temperature:
            self._last = (temperature, self._colorizer.predict_ab(self._lightness, temperature=temperature))
        return self._last[1]

    @functools.cached_property
    def _seen(self) -> tuple[Tensor, ...]:
        return self._colorizer.see(self._lightness)

    def paint(
        self,
        told: Told = NOTHING,
        *,
        temperature: float | None = None,
        saturation: float = 1.0,
        whole: Callable[[], Picture],
        small: bool = True,
    ) -> Image.Image:
        """The small copy in colour, as `Colorizer.paint` colours the whole.

        Args:
            told: what somebody says of the colours. temperature, saturation: as a colorizer takes them. whole: gives
                the opened picture, which a version of it is aligned to. small: False paints the whole.

        Raises:
            ValueError: numbers out of range, hints for a network that follows none, a version of something else.
        """
        check_look(temperature, saturation)
        colorizer, picture = self._colorizer, self.small if small else whole()
        if told.version is not None:
            ab = self._ab_of_version(told.version, temperature, whole)
            return compose(colorizer._paint_one(ab, picture, saturation, known=True), picture)
        if told:
            features = Features(picture, self.size, self._seen, self._trust, self._lightness)
            return colorizer._steered(features, told, temperature, saturation)
        ab = self._automatic(temperature)
        return compose(colorizer._paint_one(ab, picture, saturation * self._trust), picture)

    def _ab_of_version(self, version: ImageLike, temperature: float | None, whole: Callable[[], Picture]) -> Tensor:
        """A version's colours, aligned once."""
        if self._version is None or self._version[:2] != (version, temperature):
            self._version = (version, temperature, self._colorizer.version_ab(version, whole(), temperature))
        return self._version[2]

    def suggestions(self, x: float, y: float, count: int = 6) -> list[tuple[str, float]]:
        """The network's own likeliest colours for a place.

        Args:
            x, y: fractions of width and height. count: of colours at most.

        Returns:
            ("#rrggbb" at the place's lightness, probability of it and what is like it), the likeliest first; nothing
            where the network has no logits.
        """
        points = self._colorizer.bins
        if points is None or self._logits is None:
            return []
        logits = self._logits.float().cpu()
        height, width = logits.shape[-2:]
        row, column = (min(int(at * side), side - 1) for at, side in ((y, height), (x, width)))
        around = logits[0, :, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
        left = around.softmax(0).mean((1, 2))
        light = self._lightness[0, 0].cpu()
        row, column = (min(int(at * side), side - 1) for at, side in zip((y, x), light.shape, strict=True))
        level = light[row, column].clamp(25, 90)  # in black and in white all colours look the same
        found: list[tuple[str, float]] = []
        while len(found) < count and left.max() > 1e-3:
            ab = points[int(left.argmax())]
            near = (points - ab).square().sum(1).sqrt() < _APART
            lab = torch.cat([level[None], ab])[:, None, None]
            red, green, blue = ops.lab_to_rgb(lab).flatten().tolist()
            found.append((f"#{red:02x}{green:02x}{blue:02x}", float(left[near].sum())))
            left[near] = 0
        return sorted(found, key=lambda one: one[1], reverse=True)

    @functools.cached_property
    def doubt(self) -> float | None:
        """How unsure the network is, in ab units: the spread of the bins' colours around their mean, over all places;
        None where it has no logits."""
        points = self._colorizer.bins
        if points is None or self._logits is None:
            return None
        shares = self._logits.float().cpu()[0].flatten(1).softmax(0)
        mean = points.T @ shares
        spread = (points.square().sum(1) @ shares - mean.square().sum(0)).clamp(min=0)
        return float(spread.sqrt().mean())


def _shrunk(picture: Picture, side: int) -> Picture:
    """A picture at no more than a screen's size, of 8 bits."""
    pixels = eight_bit(picture.pixels[picture.present])
    alpha = None if picture.alpha is None else picture.alpha[picture.present]
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale < 1:
        size = (max(1, math.floor(width * scale + 0.5)), max(1, math.floor(height * scale + 0.5)))
        pixels, alpha = _resized(pixels, size), None if alpha is None else _resized(alpha, size)
    whole = (slice(None), slice(None))
    return replace(picture, pixels=pixels, alpha=alpha, info={}, bits=8, present=whole)


def _resized(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    # Three times the size first by plain means: as good to look at, and a fraction of the time for large pictures.
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0))
