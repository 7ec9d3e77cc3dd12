"""Single measures against closed forms and other libraries; networks go through real files."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import scipy.spatial
import skimage.metrics
import torch
from programs import exported, scripted
from torch import Tensor, nn
from torchmetrics.functional.image import structural_similarity_index_measure

from fastcolor import Palette
from fastcolor.evaluation import measures


def picture(seed: int, height: int = 40, width: int = 52) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def constant(*rgb: int) -> np.ndarray:
    return np.full((32, 48, 3), rgb, np.uint8)


class Means(nn.Module):
    """uint8 or float pictures -> the mean of each channel."""

    def forward(self, rgb: Tensor) -> Tensor:
        return rgb.float().mean((2, 3))


class Conversion(nn.Module):
    """Like a published conversion of Inception: class scores unless it is asked for features."""

    def forward(self, rgb: Tensor, return_features: bool = False) -> Tensor:
        means = rgb.float().mean((2, 3))
        if return_features:
            return means
        return means.softmax(1)


class Difference(nn.Module):
    """Two pictures -> their mean absolute difference."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return (x - y).abs().mean((1, 2, 3))


def test_area_under_curve_counted_by_hand() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(0, 30, (2, 5000)).round(1)
    guess = truth + random.normal(0, 25, truth.shape)
    prior = random.uniform(0.1, 1, 313)
    curve = measures.AreaUnderCurve()
    for half in (slice(0, 2000), slice(2000, None)):
        curve.add(*(torch.from_numpy(ab[:, half]).float().reshape(1, 2, 1, -1) for ab in (guess, truth)))
    distance = np.hypot(*(guess.astype(np.float32) - truth.astype(np.float32)))
    nearest = scipy.spatial.cKDTree(Palette.grid().points.numpy()).query(truth.T)[1]

    def area(weight: np.ndarray) -> float:
        share = [np.average(distance <= t, weights=weight) for t in range(151)]
        return 100 * float(np.sum((np.array(share[1:]) + np.array(share[:-1])) / 2)) / 150

    assert curve.auc() == pytest.approx(area(np.ones(5000)), abs=1e-6)
    assert curve.auc() == pytest.approx(100 * np.mean(1 - np.minimum(distance, 150) / 150), abs=0.02)
    assert curve.rebalanced_auc(torch.from_numpy(prior)) == pytest.approx(area(1 / prior[nearest]), abs=0.02)
    large = [bin_ for bin_ in range(313) if (nearest == bin_).sum() >= 20]
    expected = np.mean([area((nearest == bin_).astype(float)) for bin_ in large])
    assert curve.macro_auc(least=20) == pytest.approx(expected, abs=0.3)  # a few pixels lie between two bins


def test_psnr() -> None:
    x, y = picture(0), picture(1)
    assert measures.psnr(x, y) == pytest.approx(skimage.metrics.peak_signal_noise_ratio(y, x), abs=1e-9)
    ab = torch.randn(1, 2, 8, 8) * 30
    off = ab + torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
    assert measures.psnr(off, ab) == pytest.approx(10 * np.log10(255**2 / 12.5), abs=1e-4)
    assert measures.psnr(x, x) == 100


def test_ssim() -> None:
    x = picture(0)
    y = (x * 0.7 + picture(1) * 0.3).astype(np.uint8)
    a, b = (torch.from_numpy(p).permute(2, 0, 1)[None].double() for p in (x, y))
    _, full = structural_similarity_index_measure(a, b, sigma=1.5, data_range=255.0, return_full_image=True)
    other = float(full[..., 5:-5, 5:-5].mean())  # where the window lies inside
    assert measures.ssim(y, x) == pytest.approx(other, abs=1e-9) and other < 0.95
    c1 = (0.01 * 255) ** 2
    flat = (2 * 100 * 150 + c1) / (100**2 + 150**2 + c1)
    assert measures.ssim(constant(100, 100, 100), constant(150, 150, 150)) == pytest.approx(flat, abs=1e-9)
    assert measures.ssim(picture(0, 10, 40), picture(1, 10, 40)) is None


@pytest.mark.parametrize("save", [scripted, exported])
def test_fid(tmp_path: Path, save: object) -> None:
    """Against the formula with scipy's matrix square root; sets that differ by a constant are its square apart."""
    path = save(Means(), tmp_path / "net.pt", torch.zeros(2, 3, 40, 40, dtype=torch.uint8))
    real = [picture(i, 30 + i, 40) for i in range(8)]
    fake = [(picture(i + 20) * 0.8).astype(np.uint8) for i in range(9)]
    fid = measures.FrechetDistance(path)
    for pictures, is_real in ((real, True), (fake, False)):
        for rgb in pictures:
            fid.add(rgb, real=is_real)
    means = [np.array([rgb.mean((0, 1)) for rgb in pictures]) for pictures in (real, fake)]
    (m1, c1), (m2, c2) = ((m.mean(0), np.cov(m, rowvar=False)) for m in means)
    expected = ((m1 - m2) ** 2).sum() + np.trace(c1 + c2 - 2 * scipy.linalg.sqrtm(c1 @ c2).real)
    assert fid.compute() == pytest.approx(expected, rel=1e-4)

    fid = measures.FrechetDistance(path)
    for level in (10, 60, 200):
        fid.add(constant(level, 70, level), real=True)
        fid.add(constant(level, 90, level + 20), real=False)
    assert fid.compute() == pytest.approx(2 * 20**2, abs=0.01)


def test_fid_asks_a_conversion_for_features(tmp_path: Path) -> None:
    fid = measures.FrechetDistance(scripted(Conversion(), tmp_path / "net.pt"))
    for level in (10, 60):
        fid.add(constant(level, 70, level), real=True)
        fid.add(constant(level, 100, level), real=False)
    assert fid.compute() == pytest.approx(30**2, abs=0.01)


@pytest.mark.parametrize("save", [scripted, exported])
def test_perceptual_distance(tmp_path: Path, save: object) -> None:
    x = torch.zeros(2, 3, 40, 40)
    lpips = measures.PerceptualDistance(save(Difference(), tmp_path / "net.pt", x, x + 1))
    assert lpips(constant(0, 10, 255), constant(255, 10, 255)) == pytest.approx(2 / 3)
    assert lpips(constant(1, 2, 3), constant(1, 2, 3)) == 0


def test_files_that_are_no_programs(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"fid: no such file: .*no\.pt"):
        measures.FrechetDistance(tmp_path / "no.pt")
    (tmp_path / "text.pt").write_text("<html>")
    torch.save({"a": torch.zeros(1)}, tmp_path / "state.pt")
    for name in ("text.pt", "state.pt"):
        with pytest.raises(ValueError, match=f"lpips: must be a file made by torch.jit.save or .*{name}"):
            measures.PerceptualDistance(tmp_path / name)
    whole = zipfile.ZipFile(scripted(Means(), tmp_path / "net.pt"))
    with zipfile.ZipFile(tmp_path / "damaged.pt", "w") as damaged:
        for name in whole.namelist():
            damaged.writestr(name, b"def" if name.endswith(".py") else whole.read(name))
    with pytest.raises(ValueError, match=r"fid: .*damaged\.pt cannot be loaded"):
        measures.FrechetDistance(tmp_path / "damaged.pt")
