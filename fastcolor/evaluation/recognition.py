"""Recognition: the class that another network sees in a picture, before and after it was coloured.

Source: the semantic interpretability of Zhang, Isola, Efros, "Colorful Image Colorization", ECCV 2016, section 3.1.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ..models import efficientnet
from ..models.layers import ConvNormAct, check_state
from ..models.mobilenet import MobileNetGenerator
from ..models.weights import state_dict
from .measures import chw, kind_of_file, load_program


class MobileNetV2(nn.Module):
    """The classifier (Sandler et al. 2018) under torchvision's names, RGB (N, 3, H, W) in [-1, 1] -> logits."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        blocks = list(MobileNetGenerator(bins=8).features)[1:]
        self.features = nn.Sequential(ConvNormAct(3, 32, stride=2), *blocks, ConvNormAct(320, 1280, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))

    def forward(self, rgb: Tensor) -> Tensor:
        return self.classifier(self.features(rgb).mean((2, 3)))


class Classifier:
    """Tells the class of a picture, by a network that the user has.

    Args:
        path: a program, RGB (N, 3, 224, 224) float32 normalised by ImageNet's mean and deviation -> logits; or a state
            dict, of MobileNetV2 under torchvision's names for RGB in [-1, 1], or of EfficientNet-Lite0 under timm's for
            (x - 127) / 128 of 0..255.

    Pictures are resized to 256 pixels at the short side (bilinear, antialiased) and cropped to their central 224.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        path = Path(path)
        self._network: Callable[[Tensor], Any]
        if path.exists() and kind_of_file(path) in ("state", "") and path.suffix in (".pth", ".pt"):
            state = {k: v.float() for k, v in state_dict(path).items() if not k.endswith("num_batches_tracked")}
            lite = "conv_stem.weight" in state
            what = f"classifier: {path} must be"
            self._network = efficientnet.classifier(state, what) if lite else _mobilenet(path, state)
            self._mean, self._deviation = ((127 / 255,) * 3, (128 / 255,) * 3) if lite else ((0.5,) * 3, (0.5,) * 3)
        else:
            self._network = load_program(path, "classifier")
            self._mean, self._deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

    @torch.no_grad()
    def __call__(self, rgb: np.ndarray) -> int:
        """The likeliest class of a (H, W, 3) uint8 picture."""
        image = Image.fromarray(rgb)
        scale = 256 / min(image.size)
        size = round(image.width * scale), round(image.height * scale)
        image = image.resize(size, Image.Resampling.BILINEAR)
        left, top = ((side - 224) // 2 for side in image.size)
        x = chw(np.array(image.crop((left, top, left + 224, top + 224)))).float() / 255
        mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in (self._mean, self._deviation))
        return int(self._network((x - mean) / deviation).flatten().argmax())


def _mobilenet(path: Path, state: dict[str, Tensor]) -> nn.Module:
    last = state.get("classifier.1.bias")
    network = MobileNetV2(1000 if last is None else len(last))
    known = "of MobileNetV2 1.0 or EfficientNet-Lite0"
    check_state(network, state, f"classifier: {path} must be a state dict {known}")
    network.load_state_dict(state, strict=False)
    return network.eval()


def load_labels(path: str | os.PathLike[str]) -> dict[str, int]:
    """The number of each class by its name: line i of a text file names class i, by the whole line and, as in lists of
    ImageNet's synsets, by its first word."""
    lines = [line.strip() for line in Path(path).read_text(encoding="utf-8-sig").splitlines()]
    first = {line.split()[0]: i for i, line in reversed(list(enumerate(lines))) if line}
    return {**first, **{line: i for i, line in enumerate(lines) if line}}


def folder_of(name: str) -> str:
    """The folder that a picture lies in, which names its class: of "a/cat/1.jpg" or "a.zip:cat/1.jpg" it is "cat"."""
    return Path(name).parent.name.rpartition(":")[2]
