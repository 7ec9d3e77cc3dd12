"""Measures of how well weights colour a data set, each under its protocol's name.

Pictures are coloured at their own size as `Colorizer` does it, from their own luminance, and compared with themselves.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from .. import ops
from ..data import Source, pictures
from ..models import download, weights
from ..palette import load_prior
from ..pictures.colorize import Colorizer
from ..pictures.picture import of_array
from .measures import (
    AreaUnderCurve,
    Classifier,
    FrechetDistance,
    PerceptualDistance,
    colorfulness,
    folder_of,
    load_labels,
    psnr,
    ssim,
)
from .report import SUFFIXES, Line, Report, Shown, small

__all__ = ["PROTOCOLS", "AreaUnderCurve", "colorfulness", "evaluate", "protocol"]

_FEW, _MANY = 12, 48  # pictures of a report: best and worst, first
# Unit and protocol of every measure; with gray_ in front it is that of the picture without colour.
PROTOCOLS: dict[str, tuple[str, str]] = {
    "pictures": ("", "measured, of those that can be read"),
    "auc": ("%", "AuC: share of pixels within t of the true ab, t = 0..150, trapezoid; pooled over all pixels"),
    "macro_auc": ("%", "AuC of each of the 313 bins with 200 true pixels or more, plain mean"),
    "rebalanced_auc": ("%", "AuC, pixels weighted with 1 / prior of their true bin, pooled over all pixels"),
    "psnr_rgb": ("dB", "PSNR of 8-bit sRGB, peak 255, mean over pictures"),
    "psnr_ab": ("dB", "PSNR of Lab's a and b, peak 255, mean over pictures"),
    "ssim_rgb": ("", "SSIM of 8-bit sRGB, Gaussian window of sigma 1.5, mean over channels and pictures"),
    "colorfulness": ("", "Hasler and Suesstrunk 2003, signed rg and yb, mean over pictures"),
    "colorfulness_truth": ("", "the same of the true pictures"),
    "colorfulness_ratio": ("", "ours over the truth's"),
    "colorfulness_abs": ("", "the variant of much of the literature, |rg| and |yb|, mean over pictures"),
    "colorfulness_abs_truth": ("", "the same of the true pictures"),
    "fid": ("", "Frechet distance of the given network's features, paired true pictures as the real set"),
    "lpips": ("", "LPIPS by the given network, mean over pictures"),
    "agreement": ("%", "semantic interpretability: the classifier's top-1 is that of the true picture"),
    "top1": ("%", "semantic interpretability: the classifier's top-1 is the label"),
    "top1_truth": ("%", "the same of the true pictures"),
    "probe_chance": ("%", "share of the most frequent class among the held-out pictures"),
}
_PROBE = "linear probe: top-1 of logistic regression on the block's frozen, pooled features; every fifth held out"


def protocol(name: str) -> tuple[str, str]:
    """Unit and protocol of a measure by its name in the result of `evaluate`.

    Example:
        >>> protocol("psnr_rgb")
        ('dB', 'PSNR of 8-bit sRGB, peak 255, mean over pictures')
        >>> protocol("gray_psnr_rgb")
        ('dB', 'the same of the gray pictures')
    """
    if name.startswith("gray_"):
        return PROTOCOLS[name.removeprefix("gray_")][0], "the same of the gray pictures"
    return ("%", _PROBE) if name.startswith("probe_") and name not in PROTOCOLS else PROTOCOLS[name]


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
    probes: bool = False,
    report: str | os.PathLike[str] | None = None,
    device: str = "auto",
    engine: str = "auto",
) -> dict[str, float]:
    """Colour the pictures of a data set and measure the result.

    Args:
        weights: a name or file. data: as `fastcolor.train` takes it. temperature, saturation: as for `Colorizer`.
        limit: measure the first so many pictures. square: crop each to its central square and resize it to this side
            first, as the literature's tables do with 256.
        prior: colour prior of the rebalanced AuC over the grid, as `palette.load_prior` takes it, or "imagenet" for the
            published one (downloaded).
        classifier: network of the semantic interpretability, a file as `measures.Classifier` takes it.
        labels: names of its classes, a text file with one a line; pictures lie in folders of those names.
        fid, lpips: programs as `FrechetDistance` and `PerceptualDistance` of `fastcolor.evaluation.measures` take them.
        probes: also train a linear classifier on each block's features; pictures in one folder a class, no limit.
        report: write measures and pictures here, `.html` or `.png`. device, engine: as for `Colorizer`; the engine's
            precision moves the figures a little.

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
        raise ValueError("labels: need a classifier, got none")
    if limit is not None and limit < 1:
        raise ValueError(f"limit: must be at least 1, got {limit}")
    if square is not None and square < 16:
        raise ValueError(f"square: must be at least 16 pixels, got {square}")
    colorizer = Colorizer(weights, device, engine)
    meter = _Meter(prior, classifier, labels, fid, lpips)
    gallery = None if report is None else _Gallery()
    for name, truth in islice(_squares(data, square), limit):
        painted = colorizer.paint([of_array(truth)], temperature=temperature, saturation=saturation)[0]
        colored = np.array(painted.convert("RGB"))
        gray, gain = meter.add(name, colored, truth)
        if gallery is not None:
            gallery.add(name, gain, (gray, colored, truth))
    result = meter.result()
    if probes:
        result |= _probes(weights, data, colorizer)
    if report is not None and gallery is not None:
        lines = [Line(name, value, *protocol(name)) for name, value in result.items()]
        options = {"temperature": temperature, "saturation": saturation, "limit": limit, "square": square}
        given = "".join(f" --{name} {value}" for name, value in options.items() if value not in (None, 1.0))
        title = f"fastcolor evaluate {os.fspath(weights)} {_words(data)}{given} ({colorizer.engine})"
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


def _words(data: Source) -> str:
    return os.fspath(data) if isinstance(data, (str, os.PathLike)) else " ".join(os.fspath(one) for one in data)


def _probes(name: str | os.PathLike[str], data: Source, colorizer: Colorizer) -> dict[str, float]:
    from .probes import probe

    model = weights.load(name).model.to(colorizer.device)
    return {f"probe_{block}": value for block, value in probe(model, data, colorizer.size).items()}


class _Meter:
    """All measures of one run: pictures go in one by one, means come out."""

    def __init__(
        self,
        prior: str | os.PathLike[str] | None,
        classifier: str | os.PathLike[str] | None,
        labels: str | os.PathLike[str] | None,
        fid: str | os.PathLike[str] | None,
        lpips: str | os.PathLike[str] | None,
    ) -> None:
        self._prior = None
        if prior is not None:
            self._prior = load_prior(download.fetch("prior") if str(prior) == "imagenet" else prior)
        self._classifier = None if classifier is None else Classifier(classifier)
        self._labels = None if labels is None else load_labels(labels)
        self._fid = None if fid is None else FrechetDistance(fid)
        self._lpips = None if lpips is None else PerceptualDistance(lpips)
        self._ours, self._gray = AreaUnderCurve(), AreaUnderCurve()
        self._rows: dict[str, list[float]] = {"psnr_rgb": []}

    def _note(self, **values: float | None) -> None:
        for name, value in values.items():
            if value is not None:
                self._rows.setdefault(name, []).append(value)

    def add(self, name: str, colored: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, float]:
        """(H, W, 3) uint8 both. Returns the gray picture, and how much better than its is our PSNR of ab, in dB."""
        lab = ops.rgb_to_lab(torch.from_numpy(np.stack([colored, truth])), layout="hwc")
        ab, true_ab, none = lab[:1, 1:], lab[1:, 1:], torch.zeros_like(lab[:1, 1:])
        gray = ops.lab_to_rgb(lab[1] * torch.tensor([1.0, 0, 0])[:, None, None], layout="hwc").numpy()
        self._ours.add(ab, true_ab)
        self._gray.add(none, true_ab)
        psnr_ab, gray_psnr_ab = psnr(ab, true_ab), psnr(none, true_ab)
        self._note(
            psnr_rgb=psnr(colored, truth),
            gray_psnr_rgb=psnr(gray, truth),
            psnr_ab=psnr_ab,
            gray_psnr_ab=gray_psnr_ab,
            ssim_rgb=ssim(colored, truth),
            gray_ssim_rgb=ssim(gray, truth),
            colorfulness=colorfulness(colored),
            colorfulness_truth=colorfulness(truth),
            colorfulness_abs=colorfulness(colored, absolute=True),
            colorfulness_abs_truth=colorfulness(truth, absolute=True),
        )
        if self._fid is not None:
            self._fid.add(colored, real=False)
            self._fid.add(truth, real=True)
        if self._lpips is not None:
            self._note(lpips=self._lpips(colored, truth), gray_lpips=self._lpips(gray, truth))
        if self._classifier is not None:
            self._classify(self._classifier, name, gray, colored, truth)
        return gray, psnr_ab - gray_psnr_ab

    def _classify(self, classifier: Classifier, name: str, gray: np.ndarray, *colored: np.ndarray) -> None:
        without, ours, true = (classifier(picture) for picture in (gray, *colored))
        self._note(agreement=100 * (ours == true), gray_agreement=100 * (without == true))
        if self._labels is None:
            return
        folder = folder_of(name)
        if folder not in self._labels:
            raise ValueError(f"labels: must name the folder of every picture, got no {folder!r} for {name}")
        label = self._labels[folder]
        self._note(top1=100 * (ours == label), gray_top1=100 * (without == label), top1_truth=100 * (true == label))

    def result(self) -> dict[str, float]:
        count = len(self._rows["psnr_rgb"])
        result = {"pictures": float(count)}
        for front, curve in (("", self._ours), ("gray_", self._gray)):
            result[f"{front}auc"], result[f"{front}macro_auc"] = curve.auc(), curve.macro_auc()
            if self._prior is not None:
                result[f"{front}rebalanced_auc"] = curve.rebalanced_auc(self._prior)
        result |= {name: float(np.mean(values)) for name, values in self._rows.items()}
        result["colorfulness_ratio"] = result["colorfulness"] / max(result["colorfulness_truth"], 1e-9)
        if self._fid is not None:
            if count < 2:
                raise ValueError(f"fid: needs at least two pictures, got {count}")
            result["fid"] = self._fid.compute()
        order = [front + name for name in PROTOCOLS for front in ("", "gray_")]
        return {name: result[name] for name in order if name in result}


class _Gallery:
    """The pictures of a report: the first ones, and those that gained most and least over gray."""

    def __init__(self) -> None:
        self._first: list[Shown] = []
        self._best: list[tuple[float, int, Shown]] = []
        self._worst: list[tuple[float, int, Shown]] = []
        self._count = 0

    def add(self, name: str, gain: float, triple: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
        """The triple: gray, ours, truth, (H, W, 3) uint8. Shrunk at once: a set may have any number of pictures."""
        gray, ours, truth = (small(Image.fromarray(picture)) for picture in triple)
        shown = Shown(name, f"{gain:+.2f} dB", (gray, ours, truth))
        if len(self._first) < _MANY:
            self._first.append(shown)
        self._count += 1
        for heap, key in ((self._best, gain), (self._worst, -gain)):
            (heapq.heappush if len(heap) < _FEW else heapq.heappushpop)(heap, (key, -self._count, shown))

    def sections(self) -> dict[str, list[Shown]]:
        """By heading; the note on a picture is its gain. A small set is shown once, whole."""
        if self._count <= _FEW:
            return {
                "Pictures, by their PSNR of ab over gray's": [shown for *_, shown in sorted(self._worst, reverse=True)]
            }
        return {
            "Worst PSNR of ab over gray's": [shown for *_, shown in sorted(self._worst, reverse=True)],
            "Best PSNR of ab over gray's": [shown for *_, shown in sorted(self._best, reverse=True)],
            "First pictures": self._first,
        }
