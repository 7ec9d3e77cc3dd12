"""Recognition by another network, through real files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from programs import exported, scripted
from torch import Tensor, nn

from fastcolor.evaluation import recognition
from fastcolor.models.efficientnet import EfficientNetLite0Classifier


def picture(seed: int, height: int = 40, width: int = 52) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


class Expects(nn.Module):
    """Class 1 when the channels' means are those given, else class 0."""

    def __init__(self, *means: float) -> None:
        super().__init__()
        self.register_buffer("means", torch.tensor(means))

    def forward(self, rgb: Tensor) -> Tensor:
        error = (rgb.mean((0, 2, 3)) - self.means).abs().max()
        return torch.stack([error, torch.full_like(error, 1e-4)])[None]


def test_a_classifier_sees_what_it_was_trained_on(tmp_path: Path) -> None:
    """Normalised by ImageNet's numbers, the central part of the picture only."""
    rgb = np.zeros((300, 600, 3), np.uint8)
    rgb[:, 160:440] = (51, 102, 255)  # what lies in the central square and a little more
    expected = [(0.2 - 0.485) / 0.229, (0.4 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    classifier = recognition.Classifier(scripted(Expects(*expected), tmp_path / "net.pt"))
    assert classifier(rgb) == 1 and classifier(rgb[..., ::-1].copy()) == 0
    network = exported(Expects(*expected), tmp_path / "net.pt2", torch.zeros(1, 3, 224, 224))
    assert recognition.Classifier(network)(rgb) == 1


def test_mobilenet(tmp_path: Path) -> None:
    """Its size is the published one; a state dict gives the same answers through a file."""
    assert sum(p.numel() for p in recognition.MobileNetV2().parameters()) == 3_504_872
    network = recognition.MobileNetV2(classes=7).eval()
    state = {k: v.half() for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "net.pth")
    classifier = recognition.Classifier(tmp_path / "net.pth")
    network.load_state_dict({k: v.float() for k, v in state.items()}, strict=False)
    rgb = picture(3, 256, 256)
    x = torch.from_numpy(rgb[16:240, 16:240].copy()).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        assert classifier(rgb) == int(network(x).argmax())
    for wrong in ({"conv.weight": torch.zeros(2)}, {**state, "features.0.0.weight": torch.zeros(8, 3, 3, 3)}):
        torch.save(wrong, tmp_path / "wrong.pth")
        with pytest.raises(ValueError, match=r"wrong\.pth must be a state dict of MobileNetV2 1\.0 or Eff"):
            recognition.Classifier(tmp_path / "wrong.pth")


def test_labels_and_folders(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("n01 tench, Tinca\ngolden retriever\ncat\n")
    labels = recognition.load_labels(tmp_path / "labels.txt")
    assert labels["n01"] == 0 and labels["golden retriever"] == 1 and labels["cat"] == 2
    assert recognition.folder_of("/a/cat/1.jpg") == "cat" == recognition.folder_of("/a/b.zip:cat/1.jpg")
    assert recognition.folder_of("/a/b.zip:val/cat/1.jpg") == "cat"


def test_efficientnet_lite(tmp_path: Path) -> None:
    """Its size is the published one, its names are the released ones, and it sees 0..255 about 127."""
    torch.manual_seed(0)
    assert sum(p.numel() for p in EfficientNetLite0Classifier().parameters()) == 4_652_008
    network = EfficientNetLite0Classifier(classes=7).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # its own statistics would damp what it sees to nothing
            module.running_var.fill_(0.05)
    network.half().float()  # as a file keeps it
    pictures = [picture(seed, 256, 256) // (seed + 1) for seed in range(6)]
    inputs = torch.stack([torch.from_numpy(rgb[16:240, 16:240].copy()).permute(2, 0, 1) for rgb in pictures])
    with torch.no_grad():
        logits = network((inputs.float() - 127) / 128)
        network.classifier.bias -= logits.mean(0)  # else one class is the likeliest of all
        best = network((inputs.float() - 127) / 128).topk(2, 1)
    state = {}
    for key, value in network.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            state[key.removeprefix("trunk.").removeprefix("stem.")] = value
    assert {"conv_stem.weight", "bn1.bias", "blocks.6.0.conv_pwl.weight", "conv_head.weight", "bn2.bias"} <= set(state)
    torch.save(state, tmp_path / "net.pth")
    classifier = recognition.Classifier(tmp_path / "net.pth")
    clear = (best.values[:, 0] - best.values[:, 1] > 0.05 * best.values.abs().max()).tolist()  # rounding decides no tie
    expected = [int(first) for first, is_clear in zip(best.indices[:, 0], clear, strict=True) if is_clear]
    found = [classifier(rgb) for rgb, is_clear in zip(pictures, clear, strict=True) if is_clear]
    assert found == expected and len(set(expected)) >= 3
    del state["conv_head.weight"]
    torch.save(state, tmp_path / "trunk.pth")
    with pytest.raises(ValueError, match=r"trunk\.pth must be a state dict of EfficientNet-Lite0, .* missing"):
        recognition.Classifier(tmp_path / "trunk.pth")
