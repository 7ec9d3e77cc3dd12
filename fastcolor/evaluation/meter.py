"""All measures of one run over a set, and the pictures that a report shows of it."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from .. import ops
from ..models import download
from ..palette import load_prior
from .color_errors import ColorErrors, kinds
from .measures import AreaUnderCurve, FrechetDistance, PerceptualDistance, colorfulness, psnr, ssim
from .options import EvaluateOptions
from .perceptual import SqueezeDistance
from .protocols import PROTOCOLS
from .recognition import Classifier, folder_of, load_labels
from .report import Shown, small

log = logging.getLogger("fastcolor")
_MANY = 60  # pictures of a report, of the best and of the worst

_OF_NO_COLOUR = {"gray_cast_neutral", "gray_skin_chroma"}  # always 0


class Meter:
    """All measures of one run: pictures go in one by one, means come out."""

    def __init__(self, options: EvaluateOptions) -> None:
        self._prior = None
        if options.prior is not None:
            published = str(options.prior) == "imagenet"
            self._prior = load_prior(download.fetch("prior") if published else options.prior)
        self._classifier = None if options.classifier is None else Classifier(options.classifier)
        self._labels = None if options.labels is None else load_labels(options.labels)
        self._fid = None if options.fid is None else FrechetDistance(options.fid)
        self._lpips = None if options.lpips is None else PerceptualDistance(options.lpips)
        self._perceptual = None
        if options.perceptual is not None and options.perceptual_layers is not None:
            self._perceptual = SqueezeDistance(options.perceptual, options.perceptual_layers)
        self._ours, self._gray = AreaUnderCurve(), AreaUnderCurve()
        self._errors = {"": ColorErrors(), "gray_": ColorErrors(), "truth": ColorErrors()}
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
        masks = kinds(lab[1:])
        for of, one in (("", ab), ("gray_", none), ("truth", true_ab)):
            self._errors[of].add(one, lab[1:], masks)
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
        if self._perceptual is not None:
            far, gray_far = self._perceptual(np.stack([colored, gray]), truth)
            self._note(perceptual=far, gray_perceptual=gray_far)
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
            result[f"{front}auc"] = curve.auc()
            if (macro := curve.macro_auc()) is not None:
                result[f"{front}macro_auc"] = macro
            elif not front:  # both count the same true colours
                log.warning("macro_auc: is left out, no colour has 200 pixels in pictures so few and small")
            if self._prior is not None:
                result[f"{front}rebalanced_auc"] = curve.rebalanced_auc(self._prior)
        result |= {name: float(np.mean(values)) for name, values in self._rows.items()}
        result["colorfulness_ratio"] = result["colorfulness"] / max(result["colorfulness_truth"], 1e-9)
        for front in ("", "gray_"):
            result |= {front + name: value for name, value in self._errors[front].result().items()}
        result |= {f"{name}_truth": value for name, value in self._errors["truth"].result().items()}
        if self._fid is not None:
            if count < 2:
                raise ValueError(f"fid: needs at least two pictures, got {count}")
            result["fid"] = self._fid.compute()
        order = [front + name for name in PROTOCOLS for front in ("", "gray_")]
        return {name: result[name] for name in order if name in result and name not in _OF_NO_COLOUR}


class Sheet:
    """The pictures of a report on several weights, a row each: gray, what each weights made of it, truth.

    Args:
        weights: their names. count: of the pictures, of which some are shown, evenly spread, when there are many.
    """

    def __init__(self, weights: Sequence[str], count: int) -> None:
        self.columns = ("gray", *weights, "truth")
        self._every = -(-count // _MANY)
        self._rows: dict[int, list[tuple[str, float, Image.Image]]] = {}
        self._edges: dict[int, tuple[Image.Image, Image.Image]] = {}
        self._at = 0

    def add(self, name: str, gain: float, triple: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
        """The next picture of the weights whose turn it is; the rest as `Gallery.add`."""
        if self._at % self._every == 0:
            gray, ours, truth = (small(Image.fromarray(picture)) for picture in triple)
            self._rows.setdefault(self._at, []).append((name, gain, ours))
            self._edges.setdefault(self._at, (gray, truth))
        self._at += 1

    def next(self) -> None:
        """It is the next weights' turn."""
        self._at = 0

    def sections(self) -> dict[str, list[Shown]]:
        shown = []
        for at, row in self._rows.items():
            gray, truth = self._edges[at]
            note = ", ".join(f"{gain:+.2f}" for _, gain, _ in row) + " dB"
            shown.append(Shown(row[0][0], note, (gray, *(ours for *_, ours in row), truth)))
        return {"Pictures, with each one's PSNR of ab over gray's": shown}


class Gallery:
    """The pictures of a report, by what they gained over gray: those that gained most, and least."""

    def __init__(self) -> None:
        self._best: list[tuple[float, int, Shown]] = []
        self._worst: list[tuple[float, int, Shown]] = []
        self._count = 0

    def add(self, name: str, gain: float, triple: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
        """The triple: gray, ours, truth, (H, W, 3) uint8. Shrunk at once: a set may have any number of pictures."""
        gray, ours, truth = (small(Image.fromarray(picture)) for picture in triple)
        shown = Shown(name, f"{gain:+.2f} dB", (gray, ours, truth))
        self._count += 1
        for heap, key in ((self._best, gain), (self._worst, -gain)):
            (heapq.heappush if len(heap) < _MANY else heapq.heappushpop)(heap, (key, -self._count, shown))

    def sections(self) -> dict[str, list[Shown]]:
        """From best to worst, by heading; the note on a picture is its gain. A small set is shown whole."""
        best = sorted(self._best, reverse=True)
        worst = sorted((-gain, number, shown) for gain, number, shown in self._worst)[::-1]
        if self._count <= 2 * _MANY:
            known = {number for _, number, _ in best}
            best += [one for one in worst if one[1] not in known]
            return {"Pictures from best to worst, by PSNR of ab over gray's": [shown for *_, shown in best]}
        return {
            "Best PSNR of ab over gray's": [shown for *_, shown in best],
            "Worst PSNR of ab over gray's, the worst last": [shown for *_, shown in worst],
        }
