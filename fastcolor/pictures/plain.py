"""A few pictures by the package's own network, without torch: importing that takes longer than all the rest.

What this paints is what `Colorizer` paints with ONNX Runtime in INT8, to the bit.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Sequence

import numpy as np
from PIL import Image

from ..engines import session
from ..formats.picture import Picture, compose
from ..models.sizes import input_size
from ..options.look import check_look
from . import kernels
from .told import Told
from .trust import trust

log = logging.getLogger("fastcolor")


class PlainPainter:
    """Paints as a `Colorizer` does that nobody tells anything of the colours.

    Args:
        noted: of `session.begin`. size: as `Colorizer` takes it.
    """

    def __init__(self, noted: session.Noted, size: int | None) -> None:
        self._noted, self._asked = noted, size
        self.painters = min(4, noted.threads)

    @functools.cached_property
    def _session(self) -> session.Session:
        log.debug("colouring with onnx cpu int8, without torch")
        return session.session_of(self._noted.content, self._noted.threads, self._noted.fast)

    @functools.cached_property
    def _points(self) -> np.ndarray:
        return np.ascontiguousarray(np.array(json.loads(self._session.facts["palette"]), np.float32).T)

    def paint(
        self,
        pictures: list[Picture],
        *,
        temperature: float | None = None,
        saturation: float = 1.0,
        told: Sequence[Told] = (),
    ) -> list[Image.Image]:
        """See `Colorizer.paint`. told: nothing of any."""
        check_look(temperature, saturation)
        assert not any(told)
        return [compose(self._rgb(picture, temperature, saturation), picture) for picture in pictures]

    def _rgb(self, picture: Picture, temperature: float | None, saturation: float) -> np.ndarray:
        """(H, W, 3) uint8 of the part that is present."""
        pixels, gray, threads = picture.pixels[picture.present], picture.gray[picture.present], self._noted.threads
        if not gray.size:
            return np.empty((*gray.shape, 3), np.uint8)
        facts = self._session.facts
        height, width = gray.shape
        size = input_size(height, width, self._asked or int(facts["size"]), int(facts["stride"]))
        lightness = kernels.luma_to_input(gray, size, threads)
        logits = self._session(lightness)
        temperature = float(facts["temperature"]) if temperature is None else temperature
        ab = kernels.annealed_mean(logits, self._points, temperature, threads) * np.float32(facts["saturation"])
        return kernels.paint_rgb(ab, pixels, saturation * trust(lightness, gray.shape), threads)
