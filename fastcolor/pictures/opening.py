"""Pictures, of whatever a caller has of them."""

from __future__ import annotations

import logging
import os

import numpy as np
from PIL import Image

from ..formats.picture import Picture, of_array
from ..formats.reading import of_image, read

ImageLike = str | os.PathLike[str] | Image.Image | np.ndarray
log = logging.getLogger("fastcolor")


def opened(image: object) -> Picture:
    """A picture, of whatever it is given as.

    Raises:
        TypeError, ValueError, FileNotFoundError: it is no readable picture.
    """
    if isinstance(image, Image.Image):
        return of_image(image)
    if isinstance(image, np.ndarray):
        return of_array(image)
    if isinstance(image, (str, os.PathLike)):
        file = read(image)
        if len(file.frames) > 1:
            kind = "pages" if file.pages else "frames"
            log.warning("%s: the first of its %d %s is taken", image, len(file.frames), kind)
        for note in file.frames[0].notes:
            log.warning("%s: %s", image, note)
        return file.frames[0]
    raise TypeError(f"image: must be a path, a PIL image or a uint8 array, got {type(image).__name__}")
