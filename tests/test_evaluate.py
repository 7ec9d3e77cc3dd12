"""Measures against closed forms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import fastcolor
from fastcolor.evaluate import AreaUnderCurve, colorfulness


def test_auc_of_a_constant_error() -> None:
    """All pixels off by d: the share jumps from 0 to 1 between t = d - 1 and d, and the trapezoid halves that step."""
    truth = torch.randn(2, 2, 20, 20) * 20
    for d in (0, 10, 100):
        curve = AreaUnderCurve()
        curve.add(truth + torch.tensor([d - 1e-3 if d else 0.0, 0.0]).view(1, 2, 1, 1), truth)
        expected = 100 * (150 - d + (0.5 if d else 0)) / 150
        assert curve.auc() == pytest.approx(expected, abs=1e-6)
        assert curve.macro_auc(least=1) == pytest.approx(expected, abs=1e-6)
    curve = AreaUnderCurve()
    curve.add(truth + 400, truth)
    assert curve.auc() == 0


def test_macro_auc_counts_bins_alike_and_rebalanced_auc_by_their_weight() -> None:
    """300 gray pixels right, 200 red ones off by 30: pooled by pixels, by bins, and by given weights."""
    truth = torch.zeros(1, 2, 1, 500)
    truth[0, 0, 0, 300:] = 60
    guess = truth.clone()
    guess[0, 1, 0, 300:] = 30 - 1e-3
    curve = AreaUnderCurve()
    curve.add(guess, truth)
    off = 100 * 120.5 / 150
    assert curve.auc() == pytest.approx(0.6 * 100 + 0.4 * off)
    assert curve.macro_auc() == pytest.approx((100 + off) / 2)
    assert curve.macro_auc(least=201) == pytest.approx(100)
    prior = torch.full((313,), 0.1)
    prior[120] = 0.3
    assert curve.rebalanced_auc(prior) == pytest.approx((300 / 3 * 100 + 200 * off) / (300 / 3 + 200))


def test_colorfulness() -> None:
    gray = np.full((8, 8, 3), 77, np.uint8)
    assert colorfulness(gray) == 0
    split = gray.copy()
    split[:4], split[4:] = (255, 0, 0), (0, 255, 0)  # rg = +-255, yb = 127.5
    assert colorfulness(split) == pytest.approx(255 + 0.3 * 127.5)
    assert colorfulness(split, absolute=True) == pytest.approx(0.3 * np.hypot(255, 127.5))


def test_a_data_set(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for i in range(3):
        rgb = np.kron(random.integers(0, 256, (4, 5, 3)), np.ones((16, 16, 1))).astype(np.uint8)
        Image.fromarray(rgb).save(tmp_path / f"{i}.png")
    gray = fastcolor.evaluate("default", tmp_path, saturation=0, device="cpu")
    assert gray["pictures"] == 3 and gray["colorfulness"] == 0 and gray["colorfulness_ratio"] == 0
    assert gray["macro_auc"] == pytest.approx(gray["gray_macro_auc"], abs=0.2)  # its gray has been through 8 bits
    assert gray["psnr_rgb"] == pytest.approx(gray["gray_psnr_rgb"], abs=0.1)
    full = fastcolor.evaluate("default", tmp_path, limit=2, sheet=tmp_path / "out" / "sheet.png", device="cpu")
    assert full["pictures"] == 2 and full["colorfulness"] > 5
    assert Image.open(tmp_path / "out" / "sheet.png").width == 9 * 164
