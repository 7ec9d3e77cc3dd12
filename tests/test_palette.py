"""Palettes, priors and class weights."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from fastcolor import Palette, ops
from fastcolor.palette import class_weights, prior, smooth_prior
from fastcolor.survey import histogram


def test_grid_is_the_published_one() -> None:
    points = Palette.grid().points
    assert points.shape == (313, 2)
    assert points[0].tolist() == [-90, 50] and points[120].tolist() == [0, 0] and points[312].tolist() == [100, 0]
    assert points.sum(0).tolist() == [4910, 2090]  # of the published pts_in_hull.npy
    in_order = points[:, 0] * 1000 + points[:, 1]
    assert bool((in_order.diff() > 0).all())


def test_histogram_and_hard_prior_count_pixels() -> None:
    ab = torch.tensor([[0.2, -0.4], [0.3, 0.1], [50.4, -19.6]]).T.reshape(1, 2, 1, 3)
    counts = histogram(ab)
    assert counts.sum() == 3 and counts[128, 128] == 2 and counts[178, 108] == 1
    p = prior(ab, hard=True)
    assert float(p[120]) == pytest.approx(2 / 3)
    assert float(p[ops.encode_bins(ab)[0][0, 0, 0, 2]]) == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="holds no pixel"):
        prior(torch.full((1, 2, 2, 2), float("nan")))


def test_soft_prior_agrees_with_encoding_every_pixel() -> None:
    ab = torch.randint(-60, 60, (2, 2, 40, 40)).float()
    index, weight = ops.encode_bins(ab)
    expected = torch.zeros(313).index_add_(0, index.flatten().long(), weight.flatten()) / (2 * 40 * 40)
    assert torch.allclose(prior([ab[:1], ab[1:]]).float(), expected, atol=1e-6)


@pytest.mark.parametrize("weighting", ["rebalance", "inverse_log", "none"])
def test_class_weights_average_to_one_under_the_prior(weighting: str) -> None:
    p = smooth_prior(torch.rand(313) ** 8)
    w = class_weights(p, weighting)
    assert float((w.double() * p).sum()) == pytest.approx(1, abs=1e-5)
    if weighting != "none":
        assert float(w[p.argmin()]) > float(w[p.argmax()])
    exact = 1 / (0.5 * p + 0.5 / 313)
    if weighting == "rebalance":
        assert torch.allclose(w.double(), exact / (exact * p).sum(), rtol=1e-5)


def test_kmeans_finds_the_clusters() -> None:
    centres = torch.tensor([(a, b) for a in (-60, -20, 20, 60) for b in (-40, 0, 40)]).float()
    ab = centres.repeat_interleave(500, 0) + torch.randn(6000, 2)
    palette = Palette.kmeans(ab.T.reshape(1, 2, 60, 100), bins=12)
    distance, nearest = torch.cdist(centres, palette.points).min(1)
    assert float(distance.max()) < 0.3 and sorted(nearest.tolist()) == list(range(12))
    with pytest.raises(ValueError, match="distinct colours, fewer than the 64 asked for"):
        Palette.kmeans(torch.zeros(1, 2, 3, 3), bins=64)


def test_round_trip_through_files(tmp_path: Path) -> None:
    palette = Palette(torch.randn(20, 2))
    for name in ("p.json", "p.npy"):
        palette.save(tmp_path / name)
        assert Palette.load(tmp_path / name) == palette
    np.save(tmp_path / "grid.npy", Palette.grid().points.numpy().astype(np.int64))  # the published file's dtype
    assert Palette.load(tmp_path / "grid.npy") == Palette.grid()
    for points in (f"[[1{400 * '0'}, 0]]", 90_000 * "[" + 90_000 * "]", "[[1], [2, 3]]"):
        (tmp_path / "odd.json").write_text(f'{{"points": {points}}}')
        with pytest.raises(ValueError, match=r"odd\.json holds no palette"):
            Palette.load(tmp_path / "odd.json")


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (torch.zeros(5, 2), "8 <= Q <= 1024, got"),
        (torch.full((9, 2), float("nan")), "must be finite"),
        (torch.zeros(9, 2), "must be distinct"),
    ],
)
def test_bad_palettes(points: torch.Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Palette(points)


def test_bad_priors() -> None:
    with pytest.raises(ValueError, match="prior: must be"):
        class_weights(torch.ones(313))
    with pytest.raises(ValueError, match="weighting: must be"):
        class_weights(torch.full((313,), 1 / 313), "inverse")
    with pytest.raises(ValueError, match=r"prior: must have one entry a bin, \(313,\), got \(5,\)"):
        smooth_prior(torch.ones(5))
    for sigma in (math.nan, math.inf, -1.0):
        with pytest.raises(ValueError, match=f"sigma: must be 0 or more, and finite, got {sigma:g}"):
            smooth_prior(torch.full((313,), 1 / 313), sigma=sigma)
