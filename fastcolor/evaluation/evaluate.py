"""Measures of how well weights colour a data set, each under its protocol's name.

Pictures are coloured at their own size as `Colorizer` does it, from their own luminance, and compared with themselves.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from ..constants import Source
from ..data import find, pictures
from ..options.base import takes
from .options import EvaluateOptions
from .protocols import PROTOCOLS, protocol
from .report import Line, Report

__all__ = ["PROTOCOLS", "evaluate", "protocol"]


@takes(EvaluateOptions)
def evaluate(options: EvaluateOptions) -> dict[str, float]:
    """Colour the pictures of a data set and measure the result.

    Returns:
        The measures in `PROTOCOLS` that can be had from what is given, by name; those of gray pictures begin with
        `gray_`, those of probes with `probe_`. `ssim_rgb` needs scikit-image, `fid` torchmetrics: the extra
        `fastcolor[evaluate]`. The engine's precision moves the figures a little.

    Raises:
        ValueError, FileNotFoundError: as `Colorizer` and `fastcolor.data.find`; arguments that do not fit together.

    Example:
        >>> evaluate("default", "photos/")["macro_auc"]  # doctest: +SKIP
    """
    options.check()
    find(options.data)
    if options.report is not None:
        Path(options.report).parent.mkdir(parents=True, exist_ok=True)  # what cannot be written shows before the work

    # What needs torch is loaded here: help and the refusals above answer before that.
    from ..formats.picture import of_array
    from ..pictures.colorize import Colorizer
    from .meter import Gallery, Meter
    from .probes import probe_weights

    colorizer = Colorizer(options.weights, options.device, options.engine, size=options.size)
    meter, gallery = Meter(options), Gallery()
    for name, truth in islice(_squares(options.data, options.square), options.limit):
        (painted,) = colorizer.paint([of_array(truth)], temperature=options.temperature, saturation=options.saturation)
        colored = np.array(painted.convert("RGB"))
        gray, gain = meter.add(name, colored, truth)
        if options.report is not None:
            gallery.add(name, gain, (gray, colored, truth))
    result = meter.result()
    if options.probes:
        result |= probe_weights(options.weights, options.data, colorizer.size, colorizer.device)
    if options.report is not None:
        lines = [Line(name, value, *protocol(name)) for name, value in result.items()]
        changed = {
            "temperature": options.temperature,
            "saturation": options.saturation,
            "detail": options.size,
            "limit": options.limit,
            "square": options.square,
        }
        given = "".join(f" --{name} {value}" for name, value in changed.items() if value not in (None, 1.0))
        title = f"fastcolor evaluate {os.fspath(options.weights)} {_names(options.data)}{given} ({colorizer.engine})"
        Report(title, lines, gallery.sections()).save(options.report)
    return result


def _squares(data: Source, side: int | None) -> Iterator[tuple[str, np.ndarray]]:
    for name, rgb in pictures(data):
        if side is not None:
            least = min(rgb.shape[:2])
            top, left = ((length - least) // 2 for length in rgb.shape[:2])
            image = Image.fromarray(rgb[top : top + least, left : left + least])
            rgb = np.array(image.resize((side, side), Image.Resampling.BICUBIC))
        yield name, rgb


def _names(data: Source) -> str:
    return os.fspath(data) if isinstance(data, (str, os.PathLike)) else " ".join(os.fspath(one) for one in data)
