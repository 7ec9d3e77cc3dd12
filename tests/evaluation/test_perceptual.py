"""The perceptual distance: the published formula, and files that do not fit it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fastcolor.evaluation.perceptual import SqueezeDistance, SqueezeNet


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A random network with a classifier beside it, as a whole state dict has one; layers under LPIPS' own names."""
    state = {name: value * 1.5 for name, value in SqueezeNet().state_dict().items()}
    torch.save({**state, "classifier.1.weight": torch.zeros(10, 512, 1, 1)}, tmp_path / "net.pth")
    widths = (64, 128, 256, 384, 384, 512, 512)
    torch.save({f"lin{i}.model.1.weight": torch.rand(1, n, 1, 1) for i, n in enumerate(widths)}, tmp_path / "lin.pth")
    return tmp_path / "net.pth", tmp_path / "lin.pth"


def test_the_formula_layer_by_layer(files: tuple[Path, Path]) -> None:
    state, lin = (torch.load(path, weights_only=True) for path in files)
    random = np.random.default_rng(0)
    truth, other = (random.integers(0, 256, (70, 83, 3), dtype=np.uint8) for _ in range(2))

    def fire(x: torch.Tensor, at: int) -> torch.Tensor:
        def conv(x: torch.Tensor, part: str, padding: int = 0) -> torch.Tensor:
            key = f"features.{at}.{part}"
            return F.conv2d(x, state[f"{key}.weight"], state[f"{key}.bias"], padding=padding).relu()

        x = conv(x, "squeeze")
        return torch.cat([conv(x, "expand1x1"), conv(x, "expand3x3", 1)], 1)

    def layers(rgb: np.ndarray) -> list[torch.Tensor]:
        x = torch.from_numpy(rgb).permute(2, 0, 1)[None] / 255
        x = (x * 2 - 1 - torch.tensor([-0.03, -0.088, -0.188]).view(3, 1, 1)) / torch.tensor([0.458, 0.448, 0.45]).view(
            3, 1, 1
        )
        x = F.conv2d(x, state["features.0.weight"], state["features.0.bias"], 2).relu()
        found = [x]
        for block in ((3, 4), (6, 7), (9,), (10,), (11,), (12,)):
            if block[0] in (3, 6, 9):
                x = F.max_pool2d(x, 3, 2, ceil_mode=True)
            for at in block:
                x = fire(x, at)
            found.append(x)
        return found

    expected = 0.0
    for i, (x, y) in enumerate(zip(layers(other), layers(truth), strict=True)):
        difference = (F.normalize(x, dim=1, eps=1e-10) - F.normalize(y, dim=1, eps=1e-10)) ** 2
        expected += float((difference * lin[f"lin{i}.model.1.weight"]).sum(1).mean())
    found = SqueezeDistance(*files)(np.stack([other, truth]), truth)
    assert found[0] == pytest.approx(expected, rel=1e-4) and expected > 0.01
    assert found[1] == pytest.approx(0, abs=1e-6)


def test_files_that_do_not_fit(files: tuple[Path, Path], tmp_path: Path) -> None:
    network, layers = files
    with pytest.raises(ValueError, match=r"perceptual: .*lin\.pth must be a SqueezeNet 1\.1 state dict, got"):
        SqueezeDistance(layers, layers)
    with pytest.raises(ValueError, match=r"perceptual_layers: must hold lin0\.\.6\.weight, .*, got .*net\.pth"):
        SqueezeDistance(network, network)
    with pytest.raises(FileNotFoundError, match="no such file"):
        SqueezeDistance(tmp_path / "none.pth", layers)
