"""Measures of how well weights colour a data set, each under its protocol's name.

Pictures are coloured at their own size as `Colorizer` does it, from their own luminance, and compared with themselves.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from ..data import Source, find, pictures
from .protocols import PROTOCOLS, protocol
from .report import SUFFIXES, Line, Report

__all__ = ["PROTOCOLS", "evaluate", "protocol"]


def evaluate(
    weights: str | os.PathLike[str],
    data: Source,
    *,
    temperature: float | None = None,
    saturation: float = 1.0,
    limit: int | None = None,
    square: int | None = None,
    prior: str | os.PathLike[str] | None = None,
    classifier: str | os.PathLike[str] | None = None,
    labels: str | os.PathLike[str] | None = None,
    fid: str | os.PathLike[str] | None = None,
    lpips: str | os.PathLike[str] | None = None,
    perceptual: str | os.PathLike[str] | None = None,
    perceptual_layers: str | os.PathLike[str] | None = None,
    probes: bool = False,
    report: str | os.PathLike[str] | None = None,
    device: str = "auto",
    engine: Literal["auto", "torch", "onnx", "openvino", "tensorrt"] = "auto",
) -> dict[str, float]:
    """Measure how well weights colour a set of colour pictures.

    Args:
        weights: Name or file.
        data: Folder, zip or tar file, or list of pictures.
        temperature: Of the colours. None: the weights' own.
        saturation: Factor on the colours, times the weights' own.
        limit: Measure the first so many pictures.
        square: Crop to the central square and resize it to this side first, as the literature's tables do with 256.
        prior: Colour prior of the rebalanced AuC over the grid: from `fastcolor prior`, a .npy file, or imagenet for
            the published one (downloaded).
        classifier: Network of the semantic interpretability: TorchScript, torch.export, or a state dict of MobileNetV2.
        labels: Names of its classes, one a line; pictures lie in folders of those names.
        fid: Feature network (TorchScript or torch.export) of the Frechet distance.
        lpips: Network (TorchScript or torch.export) that tells the perceptual distance of two pictures.
        perceptual: SqueezeNet 1.1 (a state dict under torchvision's names) of a perceptual distance to rank weights by.
        perceptual_layers: The weights of its channels (a state dict of lin0..6.weight, as LPIPS publishes them).
        probes: Probe each block of the network with pictures in one folder a class.
        report: Write measures and pictures, from best to worst, here (.html or .png).
        device: auto, cpu, cuda or cuda:N.
        engine: Runs the network; its precision moves the figures a little.

    Returns:
        The measures in `PROTOCOLS` that can be had from what is given, by name; those of gray pictures begin with
        `gray_`, those of probes with `probe_`. `ssim_rgb` needs scikit-image, `fid` torchmetrics: the extra
        `fastcolor[evaluate]`.

    Raises:
        ValueError, FileNotFoundError: as `Colorizer` and `fastcolor.data.find`; arguments that do not fit together.

    Example:
        >>> evaluate("default", "photos/")["macro_auc"]  # doctest: +SKIP
    """
    if report is not None:
        if Path(report).suffix.lower() not in SUFFIXES:
            raise ValueError(f"report: must end in one of {', '.join(SUFFIXES)}, got {str(report)!r}")
        Path(report).parent.mkdir(parents=True, exist_ok=True)  # what cannot be written shows before the work
    if labels is not None and classifier is None:
        raise ValueError("labels: must come with a classifier, got none")
    if (perceptual is None) != (perceptual_layers is None):
        given, missing = ("perceptual", "layers") if perceptual_layers is None else ("perceptual_layers", "network")
        raise ValueError(f"{given}: must come with its {missing}, got none")
    if limit is not None and limit < 1:
        raise ValueError(f"limit: must be at least 1, got {limit}")
    if square is not None and square < 16:
        raise ValueError(f"square: must be at least 16 pixels, got {square}")
    find(data)

    # What needs torch is loaded here: help and the refusals above answer before that.
    from ..formats.picture import of_array
    from ..pictures.colorize import Colorizer
    from .meter import Gallery, Meter
    from .probes import probe_weights

    colorizer = Colorizer(weights, device, engine)
    meter = Meter(
        prior=prior, classifier=classifier, labels=labels, fid=fid, lpips=lpips,
        perceptual=perceptual, perceptual_layers=perceptual_layers,
    )  # fmt: skip
    gallery = None if report is None else Gallery()
    for name, truth in islice(_squares(data, square), limit):
        painted = colorizer.paint([of_array(truth)], temperature=temperature, saturation=saturation)[0]
        colored = np.array(painted.convert("RGB"))
        gray, gain = meter.add(name, colored, truth)
        if gallery is not None:
            gallery.add(name, gain, (gray, colored, truth))
    result = meter.result()
    if probes:
        result |= probe_weights(weights, data, colorizer.size, colorizer.device)
    if report is not None and gallery is not None:
        lines = [Line(name, value, *protocol(name)) for name, value in result.items()]
        options = {"temperature": temperature, "saturation": saturation, "limit": limit, "square": square}
        given = "".join(f" --{name} {value}" for name, value in options.items() if value not in (None, 1.0))
        title = f"fastcolor evaluate {os.fspath(weights)} {_names(data)}{given} ({colorizer.engine})"
        Report(title, lines, gallery.sections()).save(report)
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
