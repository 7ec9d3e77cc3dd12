"""Evaluation of a data set; measures against closed forms."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import fastcolor
from fastcolor.evaluation.measures import AreaUnderCurve, colorfulness
from fastcolor.evaluation.perceptual import SqueezeNet
from fastcolor.evaluation.protocols import PROTOCOLS, protocol


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


def test_a_data_set(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    random = np.random.default_rng(0)
    for i in range(3):
        rgb = np.kron(random.integers(0, 256, (4, 5, 3)), np.ones((16, 16, 1))).astype(np.uint8)
        Image.fromarray(rgb).save(tmp_path / f"{i}.png")
    gray = fastcolor.evaluate("default", tmp_path, saturation=0, device="cpu")
    assert gray["pictures"] == 3 and gray["colorfulness"] == 0 and gray["colorfulness_ratio"] == 0
    assert gray["macro_auc"] == pytest.approx(gray["gray_macro_auc"], abs=0.2)  # its gray has been through 8 bits
    assert gray["psnr_rgb"] == pytest.approx(gray["gray_psnr_rgb"], abs=0.1)
    full = fastcolor.evaluate("default", tmp_path, limit=2, report=tmp_path / "out" / "a.png", device="cpu")
    assert full["pictures"] == 2 and full["colorfulness"] > 5 and full["ssim_rgb"] < 0.99
    Image.open(tmp_path / "out" / "a.png").load()
    Image.fromarray(rgb[:12, :12]).save(tmp_path / "small.png")  # no colour has 200 pixels: then nothing is said of it
    small = fastcolor.evaluate("default", tmp_path / "small.png", device="cpu")
    assert "macro_auc" not in small and "auc" in small and not any(map(math.isnan, small.values()))
    assert caplog.messages == ["macro_auc: is left out, no colour has 200 pixels in pictures so few and small"]


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Reddish pictures in one folder, bluish ones in another; two sizes."""
    random = np.random.default_rng(1)
    for i in range(6):
        kind = ("red", "blue")[i % 2]
        (tmp_path / "data" / kind).mkdir(parents=True, exist_ok=True)
        tint = np.array([200, 40, 40] if kind == "red" else [40, 40, 200])
        noise = np.kron(random.integers(0, 40, (6, 4 + i // 3, 1)), np.ones((16, 16, 1)))
        Image.fromarray((tint + noise).astype(np.uint8)).save(tmp_path / "data" / kind / f"{i}.png")
    return tmp_path / "data"


class Means(torch.nn.Module):
    def forward(self, rgb: torch.Tensor) -> torch.Tensor:
        return rgb.float().mean((2, 3))


class Distance(torch.nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (x - y).abs().mean((1, 2, 3))


def squeezenet(folder: Path) -> dict[str, Path]:
    """Files of a random network for the perceptual distance."""
    torch.save(SqueezeNet().state_dict(), folder / "squeezenet.pth")
    widths = (64, 128, 256, 384, 384, 512, 512)
    torch.save({f"lin{i}.weight": torch.rand(1, n, 1, 1) for i, n in enumerate(widths)}, folder / "layers.pth")
    return {"perceptual": folder / "squeezenet.pth", "perceptual_layers": folder / "layers.pth"}


def test_every_measure_at_once(labelled: Path, tmp_path: Path) -> None:
    """Colours removed: what the networks see of them follows from the pictures."""
    torch.jit.script(Means()).save(tmp_path / "means.pt")
    torch.jit.script(Distance()).save(tmp_path / "distance.pt")
    (tmp_path / "labels.txt").write_text("red\ngreen\nblue\n")
    np.save(tmp_path / "prior.npy", prior := np.where(np.arange(313) == 120, 0.376, 0.002))
    assert prior.sum() == pytest.approx(1)
    result = fastcolor.evaluate(
        "default",
        labelled,
        saturation=0,
        prior=tmp_path / "prior.npy",
        classifier=tmp_path / "means.pt",
        labels=tmp_path / "labels.txt",
        fid=tmp_path / "means.pt",
        lpips=tmp_path / "distance.pt",
        **squeezenet(tmp_path),
        probes=True,
        device="cpu",
    )
    names = {name for name in result if not name.startswith("probe_encoder")}
    kinds = {n for n in PROTOCOLS if n.startswith(("ab_error_", "skin_", "cast_neutral", "bleeding"))}  # of pixels
    grays = {f"gray_{n}" for n in PROTOCOLS if f"gray_{n}" in result}
    assert names | kinds == {n for n in PROTOCOLS} | grays and {"ab_error_red", "ab_error_blue"} <= names
    assert result["perceptual"] == pytest.approx(result["gray_perceptual"], abs=0.01)
    assert all(protocol(name)[1] for name in result) and sum(n.startswith("probe_encoder") for n in result) >= 10
    assert result["top1_truth"] == 100 and result["top1"] == result["gray_top1"] <= 50
    assert result["agreement"] == result["gray_agreement"] == result["top1"]
    pictures = [np.array(Image.open(path), dtype=float) for path in sorted(labelled.rglob("*.png"))]
    assert result["lpips"] == pytest.approx(result["gray_lpips"], abs=0.01) and result["lpips"] > 0.2
    assert result["colorfulness_truth"] == pytest.approx(
        np.mean([colorfulness(picture.astype(np.uint8)) for picture in pictures])
    )
    means = np.array([picture.mean((0, 1)) for picture in pictures])
    grays = means @ [0.299, 0.587, 0.114]
    shift = ((means.mean(0) - grays.mean()) ** 2).sum()
    assert result["fid"] > shift * 0.9
    assert 0 < result["rebalanced_auc"] < 100 and result["probe_chance"] == 50


def test_a_square_is_cut_first(tmp_path: Path) -> None:
    rgb = np.full((64, 128, 3), 128, np.uint8)
    rgb[:, 32:96] = (200, 40, 40)
    Image.fromarray(rgb).save(tmp_path / "a.png")
    square = fastcolor.evaluate("default", tmp_path, square=32, device="cpu")
    assert square["colorfulness_truth"] == pytest.approx(0.3 * np.hypot(160, 80))
    whole = fastcolor.evaluate("default", tmp_path, device="cpu")
    assert whole["colorfulness_truth"] == pytest.approx(np.hypot(80, 40) + 0.3 * np.hypot(80, 40))


def test_arguments_that_do_not_fit(labelled: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("red\n")
    torch.jit.script(Means()).save(tmp_path / "means.pt")
    for words, arguments in [
        (r"report: must end in one of \.html, \.htm, \.png, got 'r\.pdf'", {"report": "r.pdf"}),
        ("labels: must come with a classifier, got none", {"labels": tmp_path / "labels.txt"}),
        ("perceptual: must come with its layers, got none", {"perceptual": tmp_path / "means.pt"}),
        ("perceptual_layers: must come with its network, got none", {"perceptual_layers": tmp_path / "means.pt"}),
        (
            "labels: must name the folder of every picture, got no 'blue' for",
            {"labels": tmp_path / "labels.txt", "classifier": tmp_path / "means.pt"},
        ),
        ("limit: must be at least 1, got 0", {"limit": 0}),
        ("probes: must come with one network, got", {"probes": True, "weights": "default+eccv16"}),
        (
            "probes: must come with a network in torch, got the exported file net.onnx",
            {"probes": True, "weights": "net.onnx"},
        ),
        ("square: must be at least 16 pixels, got 3", {"square": 3}),
        ("fid: needs at least two pictures, got 1", {"fid": tmp_path / "means.pt", "limit": 1}),
    ]:
        with pytest.raises(ValueError, match=words):
            fastcolor.evaluate(**{"weights": "default", "data": labelled, "device": "cpu", **arguments})
