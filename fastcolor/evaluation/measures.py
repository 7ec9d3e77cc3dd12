"""Single measures of coloured pictures: colours against the truth, looks, and what other networks make of them.

What a number means depends on its protocol: each is stated where it is computed, and `protocols.PROTOCOLS` has
the words that are printed with it.
"""

from __future__ import annotations

import math
import os
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .. import ops
from ..palette import Palette

_LARGEST = 150  # ab distance at which the AuC ends
_HIGHEST = 100.0  # dB of pictures that are the same, so that means stay finite


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

    def macro_auc(self, least: int = 200) -> float | None:
        """The plain mean over bins with at least `least` true pixels; None where no bin has as many."""
        seen = self.counts[self.counts.sum(1) >= least]
        return float(self._areas(seen).mean()) if len(seen) else None

    def rebalanced_auc(self, prior: Tensor) -> float:
        """Pixels weighted with 1 / prior of their true bin, pooled over the set. A few rare pixels decide it on small
        sets."""
        weight = 1 / prior.double().clamp(min=1e-8)
        return float(self._areas((self.counts * weight[:, None]).sum(0, keepdim=True)))


def psnr(x: Tensor | np.ndarray, truth: Tensor | np.ndarray, peak: float = 255.0) -> float:
    """Peak signal to noise ratio in dB over all values of one picture, at most 100.

    Args:
        x, truth: of one shape; uint8 RGB, or ab in Lab units. peak: the span of the values; for ab too 255, the span of
            8-bit Lab.
    """
    difference = torch.as_tensor(x).double() - torch.as_tensor(truth).double()
    error = float((difference**2).mean())
    return _HIGHEST if error == 0 else min(10 * math.log10(peak**2 / error), _HIGHEST)


def ssim(rgb: np.ndarray, truth: np.ndarray) -> float | None:
    """Structural similarity of two (H, W, 3) uint8 pictures, mean over channels and pixels, from scikit-image.

    Returns:
        At most 1; None for pictures under 11 pixels, the size of the window, or without scikit-image.

    Source: Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004: Gaussian
    window of sigma 1.5, population covariance.
    """
    try:
        from skimage.metrics import structural_similarity
    except ImportError:
        return None
    if min(rgb.shape[:2]) < 11:
        return None
    return float(
        structural_similarity(
            rgb, truth, channel_axis=2, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
    )


def load_program(path: str | os.PathLike[str], what: str) -> nn.Module:
    """A network with its code, as torch.jit.save or torch.export.save wrote it. Such a file can run what its maker
    wants: only load what you trust.

    Raises:
        FileNotFoundError, ValueError: no such file, or another kind of file; `what` names the argument.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{what}: no such file: {path}")
    kind = kind_of_file(path)
    try:
        if kind == "torchscript":
            return torch.jit.load(path, map_location="cpu").eval()
        if kind == "export":
            return torch.export.load(path).module()
    except Exception as error:  # the readers raise whatever they stumble over
        raise ValueError(f"{what}: {path} cannot be loaded ({' '.join(str(error).split()[:30])})") from None
    raise ValueError(f"{what}: must be a file made by torch.jit.save or torch.export.save, got {path}")


def kind_of_file(path: Path) -> str:
    """ "torchscript", "export", "state" (what torch.save writes), or "" for another kind of file."""
    if not zipfile.is_zipfile(path):
        return ""
    with zipfile.ZipFile(path) as archive:
        members = ["/" + name for name in archive.namelist()]
    if any("/code/" in name for name in members):
        return "torchscript"
    if any("/serialized_exported_program" in name or "/archive_format" in name for name in members):
        return "export"
    return "state" if any(name.endswith("/data.pkl") for name in members) else ""


class FrechetDistance:
    """FID (Heusel et al. 2017) of coloured pictures against the true ones, in double precision, from torchmetrics.

    Args:
        path: a program, uint8 RGB (N, 3, H, W) of any size -> features (N, D). The size that its network wants is its
            own business. One that knows `return_features`, as a published conversion of Inception does, is called with
            it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        try:
            from torchmetrics.image.fid import FrechetInceptionDistance
        except ImportError:
            raise ValueError("fid: needs torchmetrics; pip install 'fastcolor[evaluate]'") from None
        self._metric = FrechetInceptionDistance(_Features(load_program(path, "fid"))).set_dtype(torch.float64)

    def add(self, rgb: np.ndarray, *, real: bool) -> None:
        """(H, W, 3) uint8."""
        with torch.no_grad():
            self._metric.update(chw(rgb), real=real)

    def compute(self) -> float:
        """Of at least two pictures; too low a rank (fewer pictures than features) makes it larger than it is."""
        return float(self._metric.compute())


class _Features(nn.Module):
    def __init__(self, program: nn.Module) -> None:
        super().__init__()
        knows = isinstance(program, torch.jit.ScriptModule) and "return_features" in str(
            getattr(program.forward, "schema", "")
        )
        self._program, self._options = program, {"return_features": True} if knows else {}

    def forward(self, rgb: Tensor) -> Tensor:
        return self._program(rgb, **self._options).flatten(1).double()


class PerceptualDistance:
    """LPIPS (Zhang et al. 2018) by a network that the user has.

    Args:
        path: a program, two RGB batches (N, 3, H, W) float32 in [-1, 1] -> N distances, such as the paper's own code
            exported.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._program = load_program(path, "lpips")

    @torch.no_grad()
    def __call__(self, rgb: np.ndarray, truth: np.ndarray) -> float:
        return float(self._program(*(chw(picture).float() / 127.5 - 1 for picture in (rgb, truth))).mean())


def chw(rgb: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))[None]
