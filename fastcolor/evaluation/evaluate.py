"""Measures of how well weights colour a data set, each under its protocol's name.

Pictures are coloured at their own size as `Colorizer` does it, from their own luminance, and compared with themselves.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..constants import Source
from ..data import find, pictures
from ..models import named
from ..options.base import takes
from .options import EvaluateOptions
from .protocols import PROTOCOLS, protocol

if TYPE_CHECKING:
    import numpy as np

    from .meter import Gallery, Sheet

__all__ = ["PROTOCOLS", "evaluate", "evaluate_each", "protocol"]


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
    _check(options)
    from .meter import Gallery
    from .report import Line, Report

    gallery = Gallery()
    result, engine = _measured(options, gallery)
    if options.report is not None:
        lines = [Line(name, (value,), *protocol(name)) for name, value in result.items()]
        Report(_title(options, [options.weights], engine), lines, gallery.sections()).save(options.report)
    return result


def evaluate_each(
    weights: Sequence[str | os.PathLike[str]], data: Source, **options: Any
) -> dict[str, dict[str, float]]:
    """Colour the pictures of a data set with several weights, one after the other, and measure each.

    Args:
        weights: names and files, each once. data, options: as `evaluate` takes them; the report has a column for each.

    Returns:
        What `evaluate` returns, by the weights as they were given.

    Raises:
        ValueError, FileNotFoundError: as `evaluate`, before anything is measured if it can be told by then.

    Example:
        >>> evaluate_each(["default", "eccv16"], "photos/")["eccv16"]["macro_auc"]  # doctest: +SKIP
    """
    each = [EvaluateOptions(one, data, **options) for one in weights]
    if any(len(named.members(one)) > 1 for one in weights):  # then `merge` is of those alone
        each = [one if len(named.members(one.weights)) > 1 else replace(one, merge="share") for one in each]
    if not each:
        raise ValueError("weights: must name at least one, got an empty list")
    names = [os.fspath(one) for one in weights]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"weights: must be named once each, got {name} twice")
    for one in each:
        named.check(one.weights)
        _check(one)
        for member, _ in named.members(one.weights):  # what cannot be had is told before the first is measured
            named.locate(member, trust_first=one.trust_first)
    from .meter import Sheet
    from .report import Report
    from .table import Table

    pictures = len(find(data))
    sheet = Sheet(names, min(pictures, each[0].limit or pictures))
    results, engines = {}, []
    for name, one in zip(names, each, strict=True):
        results[name], engine = _measured(one, sheet)
        engines.append(engine)
        sheet.next()
    if each[0].report is not None:
        title = _title(each[0], weights, ", ".join(engines))
        table = Table.of(results)
        Report(title, table.lines(), sheet.sections(), table.columns, sheet.columns).save(each[0].report)
    return results


def _check(options: EvaluateOptions) -> None:
    """Refuse what can be refused before the work."""
    options.check()
    find(options.data)
    if options.report is not None:
        Path(options.report).parent.mkdir(parents=True, exist_ok=True)


def _measured(options: EvaluateOptions, shown: Gallery | Sheet) -> tuple[dict[str, float], str]:
    """The measures, and the engine. shown: takes the pictures if a report is asked for."""
    # What needs torch is loaded here: help and the refusals above answer before that.
    import numpy as np

    from ..formats.picture import of_array
    from ..pictures.colorize import Colorizer
    from .meter import Meter
    from .probes import probe_weights

    colorizer = Colorizer.of(options, amount=min(len(find(options.data)), options.limit or sys.maxsize))
    meter = Meter(options)
    for name, truth in islice(_squares(options.data, options.square), options.limit):
        (painted,) = colorizer.paint([of_array(truth)], temperature=options.temperature, saturation=options.saturation)
        colored = np.array(painted.convert("RGB"))
        gray, gain = meter.add(name, colored, truth)
        if options.report is not None:
            shown.add(name, gain, (gray, colored, truth))
    result = meter.result()
    if options.probes:
        result |= probe_weights(options.weights, options.data, colorizer.size, colorizer.device)
    return result, colorizer.engine


def _title(options: EvaluateOptions, weights: Sequence[str | os.PathLike[str]], engine: str) -> str:
    """The command that measures the same, and the engine."""
    given = ""
    for field in fields(options):
        value = getattr(options, field.name)
        if field.name not in ("weights", "data", "report", "device", "engine") and value != field.default:
            flag = f" --{'detail' if field.name == 'size' else field.name.replace('_', '-')}"
            given += flag if value is True else f"{flag} {value}"
    return f"fastcolor evaluate {','.join(os.fspath(one) for one in weights)} {_names(options.data)}{given} ({engine})"


def _squares(data: Source, side: int | None) -> Iterator[tuple[str, np.ndarray]]:
    import numpy as np
    from PIL import Image

    for name, rgb in pictures(data):
        if side is not None:
            least = min(rgb.shape[:2])
            top, left = ((length - least) // 2 for length in rgb.shape[:2])
            image = Image.fromarray(rgb[top : top + least, left : left + least])
            rgb = np.array(image.resize((side, side), Image.Resampling.BICUBIC))
        yield name, rgb


def _names(data: Source) -> str:
    return os.fspath(data) if isinstance(data, (str, os.PathLike)) else " ".join(os.fspath(one) for one in data)
