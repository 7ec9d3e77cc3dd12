"""Measures of how well weights colour a data set, each under its protocol's name.

Pictures are coloured at their own size as `Colorizer` does it, from their own luminance, and compared with themselves.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from . import ops
from .colorize import Colorizer
from .data import Source, pictures
from .palette import Palette
from .pictures import of_array

_LARGEST = 150  # ab distance at which the AuC ends


def colorfulness(rgb: np.ndarray, *, absolute: bool = False) -> float:
    """How colourful a picture is.

    Args:
        rgb: (H, W, 3) uint8. absolute: take |rg| and |yb| first, as much of the literature's code does; the definition
            does not.

    Source: Hasler and Suesstrunk, "Measuring colourfulness in natural images", 2003.
    """
    red, green, blue = rgb.astype(np.float64).reshape(-1, 3).T
    rg, yb = red - green, (red + green) / 2 - blue
    if absolute:
        rg, yb = np.abs(rg), np.abs(yb)
    return float(np.sqrt(rg.var() + yb.var()) + 0.3 * np.sqrt(rg.mean() ** 2 + yb.mean() ** 2))


class AreaUnderCurve:
    """Shares of pixels whose ab lies within t = 0..150 of the truth, by the bin of their true colour."""

    def __init__(self, palette: Palette | None = None) -> None:
        self.palette = palette or Palette.grid()
        self.counts = torch.zeros(len(self.palette), _LARGEST + 2, dtype=torch.float64)

    def add(self, ab: Tensor, truth: Tensor) -> None:
        """Both (N, 2, H, W) in Lab units."""
        distance = (ab.double() - truth.double()).norm(dim=1)
        step = distance.ceil().clamp(max=_LARGEST + 1).long().flatten()
        index, _ = ops.encode_bins(truth, self.palette, neighbours=1)
        cell = index.flatten().long() * self.counts.shape[1] + step
        self.counts += torch.bincount(cell, minlength=self.counts.numel()).view_as(self.counts)

    def _areas(self, counts: Tensor) -> Tensor:
        """Percent, for each row of counts."""
        share = counts.cumsum(1)[:, : _LARGEST + 1] / counts.sum(1, keepdim=True)
        return torch.trapezoid(share, dim=1) * (100 / _LARGEST)

    def auc(self) -> float:
        """All pixels alike (Zhang et al. 2016, section 3.1)."""
        return float(self._areas(self.counts.sum(0, keepdim=True)))

    def macro_auc(self, least: int = 200) -> float:
        """The plain mean over bins with at least `least` true pixels."""
        return float(self._areas(self.counts[self.counts.sum(1) >= least]).mean())

    def rebalanced_auc(self, prior: Tensor) -> float:
        """Pixels weighted with 1 / prior of their true bin, pooled over the set. A few rare pixels decide it on small
        sets."""
        weight = 1 / prior.double().clamp(min=1e-8)
        return float(self._areas((self.counts * weight[:, None]).sum(0, keepdim=True)))


def evaluate(
    weights: str | os.PathLike[str],
    data: Source,
    *,
    temperature: float | None = None,
    saturation: float = 1.0,
    limit: int | None = None,
    sheet: str | os.PathLike[str] | None = None,
    device: str = "auto",
) -> dict[str, float]:
    """Colour the pictures of a data set and measure the result.

    Args:
        weights: a name or file. data: as `fastcolor.train` takes it. temperature, saturation: as for `Colorizer`.
        limit: measure the first so many pictures. sheet: write a contact sheet here (PNG; gray, ours, truth).

    Returns:
        pictures; auc, macro_auc and each of gray (percent, on ab of the 8-bit result); psnr_rgb and gray_psnr_rgb (dB,
        mean over pictures; only with scikit-image installed); colorfulness, colorfulness_truth and their ratio
        (Hasler and Suesstrunk, mean over pictures), colorfulness_abs likewise with |rg|, |yb|.

    Raises:
        ValueError, FileNotFoundError: as `Colorizer` and `fastcolor.data.find`.

    Example:
        >>> evaluate("default", "photos/")["macro_auc"]  # doctest: +SKIP
    """
    colorizer = Colorizer(weights, device)
    ours, gray = AreaUnderCurve(), AreaUnderCurve()
    rows: dict[str, list[float]] = {}
    tiles: list[Image.Image] = []

    def note(**values: float) -> None:
        for name, value in values.items():
            rows.setdefault(name, []).append(value)

    for count, (_, truth) in enumerate(pictures(data)):
        if limit is not None and count >= limit:
            break
        colored = np.asarray(
            colorizer.paint([of_array(truth)], temperature=temperature, saturation=saturation)[0].convert("RGB")
        )
        lab = ops.rgb_to_lab(torch.from_numpy(np.stack([colored, truth])), layout="hwc")
        ours.add(lab[:1, 1:], lab[1:, 1:])
        gray.add(torch.zeros_like(lab[:1, 1:]), lab[1:, 1:])
        without = ops.lab_to_rgb(lab[1] * torch.tensor([1.0, 0, 0])[:, None, None], layout="hwc").numpy()
        note(
            colorfulness=colorfulness(colored),
            colorfulness_truth=colorfulness(truth),
            colorfulness_abs=colorfulness(colored, absolute=True),
            colorfulness_abs_truth=colorfulness(truth, absolute=True),
            **_psnr(truth, colored, without),
        )
        if sheet is not None and len(tiles) < 3 * 48:
            tiles += [_tile(picture) for picture in (without, colored, truth)]
    means = {name: float(np.mean(values)) for name, values in rows.items()}
    if sheet is not None:
        contact_sheet(tiles, Path(sheet))
    return {
        "pictures": float(len(rows["colorfulness"])),
        "auc": ours.auc(),
        "gray_auc": gray.auc(),
        "macro_auc": ours.macro_auc(),
        "gray_macro_auc": gray.macro_auc(),
        **means,
        "colorfulness_ratio": means["colorfulness"] / max(means["colorfulness_truth"], 1e-9),
    }


def _psnr(truth: np.ndarray, colored: np.ndarray, gray: np.ndarray) -> dict[str, float]:
    try:
        from skimage.metrics import peak_signal_noise_ratio
    except ImportError:
        return {}
    return {
        "psnr_rgb": float(peak_signal_noise_ratio(truth, colored)),
        "gray_psnr_rgb": float(peak_signal_noise_ratio(truth, gray)),
    }


def _tile(rgb: np.ndarray) -> Image.Image:
    image = Image.fromarray(rgb)
    image.thumbnail((160, 160))
    return image


def contact_sheet(tiles: list[Image.Image], path: Path, columns: int = 9) -> None:
    """Write pictures side by side, row by row, as one PNG."""
    side = 164
    sheet = Image.new("RGB", (columns * side, -(-len(tiles) // columns) * side), "white")
    for i, tile in enumerate(tiles):
        sheet.paste(tile, (i % columns * side, i // columns * side))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    sheet.save(temporary, format="PNG")
    os.replace(temporary, path)
