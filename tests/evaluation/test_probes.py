"""Linear probes: the optimum against another optimiser, and data where the answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.optimize
import torch
from PIL import Image

from fastcolor import models
from fastcolor.evaluation import probes


def test_the_fit_is_the_optimum() -> None:
    random = np.random.default_rng(0)
    x, label = random.normal(size=(60, 5)), random.integers(0, 3, 60)
    x[np.arange(60), label] += 1.5
    decay = 0.03

    def loss(flat: np.ndarray) -> float:
        weight, bias = flat[:15].reshape(3, 5), flat[15:]
        logits = x @ weight.T + bias
        chosen = logits[np.arange(60), label]
        return float((np.logaddexp.reduce(logits, axis=1) - chosen).mean() + decay / 2 * (weight**2).sum())

    best = scipy.optimize.minimize(loss, np.zeros(18), method="BFGS", options={"gtol": 1e-8})
    weight, bias = probes.fit(torch.from_numpy(x), torch.from_numpy(label), 3, decay=decay)
    assert loss(np.concatenate([weight.numpy().ravel(), bias.numpy()])) == pytest.approx(best.fun, abs=1e-7)
    assert np.allclose(weight.numpy().ravel(), best.x[:15], atol=1e-3)


def test_features_are_those_of_the_blocks() -> None:
    model = models.build("default-mobilenet", bins=8).eval()
    lightness = torch.rand(2, 1, 64, 96) * 100
    found = probes.features(model, lightness)
    assert list(found) == [f"encoder.{i}" for i in range(18)]  # none is 1 x 1
    x = (lightness - 50) / 50
    for block in model.features[:3]:
        x = block(x)
    grid = torch.nn.functional.adaptive_avg_pool2d(x, 9)  # 24 channels: 9 * 9 * 24 <= 2048
    assert torch.allclose(found["encoder.2"], grid.flatten(1), atol=1e-5)
    assert all(rows.shape[1] <= 2048 for rows in found.values())
    assert not any(block._forward_hooks for block in model.features)


def write(folder: Path, *, told_apart: bool) -> Path:
    """Noisy ramps of two directions, in a folder each; or the same pictures in both."""
    random = np.random.default_rng(0)
    for i in range(20):
        ramp = np.linspace(40, 180, 64)[:, None] + random.normal(0, 12, (64, 64))
        for name in ("lying", "standing"):
            (folder / name).mkdir(parents=True, exist_ok=True)
            turned = ramp.T if told_apart and name == "standing" else ramp
            Image.fromarray(turned.clip(0, 255).astype(np.uint8)).convert("RGB").save(folder / name / f"{i:02}.png")
    return folder


def test_what_can_be_told_apart_is(tmp_path: Path) -> None:
    model = models.build("default", bins=8).eval()
    found = probes.probe(model, write(tmp_path / "a", told_apart=True), 64)
    assert found["chance"] == 50 and found["encoder.0"] == found["encoder.6"] == 100
    same = probes.probe(model, write(tmp_path / "b", told_apart=False), 64)
    assert same["chance"] == 50 and all(value == 50 for value in same.values())  # each picture is in both, once right


def test_any_detail_is_brought_to_what_the_network_takes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(2):
            Image.new("RGB", (64, 64), (9 * number, 99, 200)).save(tmp_path / name / f"{number}.png")
    found = probes.probe_weights("default", tmp_path, 100, torch.device("cpu"))
    assert found["probe_chance"] == 50 and "probe_encoder.0" in found


def test_pictures_without_classes(tmp_path: Path) -> None:
    write(tmp_path, told_apart=True)
    model = models.build("default", bins=8).eval()
    with pytest.raises(ValueError, match="at least two classes of two pictures, got 'lying': 20"):
        probes.probe(model, tmp_path / "lying", 64)
