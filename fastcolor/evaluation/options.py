"""The options of evaluation."""

from __future__ import annotations

import os
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from ..options.base import FilePath, Must, NameOrPath, Sources
from ..options.look import Look

REPORTS = (".html", ".htm", ".png")  # endings


@dataclass(frozen=True)
class EvaluateOptions(Look):
    """Measure how well weights colour a set of colour pictures."""

    weights: Annotated[NameOrPath, tyro.conf.Positional, tyro.conf.arg(metavar="WEIGHTS")] = field()
    """default, eccv16 or another name, or a .safetensors, .pth, .onnx or .engine file; several with commas between them
    are compared."""
    data: Annotated[
        Sources, tyro.conf.Positional, tyro.conf.arg(metavar="DATA [DATA ...]", help_behavior_hint="(required)")
    ]
    """Folders, zip or tar files, lists (.txt) or pictures."""
    _: KW_ONLY
    limit: Annotated[int | None, Must("be at least 1", lambda value: value >= 1)] = None
    """Measure the first so many."""
    square: Annotated[int | None, Must("be at least 16 pixels", lambda value: value >= 16)] = None
    """Crop to the central square and resize it to this side first, as the literature's tables do with 256."""
    prior: FilePath | None = None
    """Colour prior of the rebalanced AuC over the grid: from `fastcolor prior`, a .npy file, or imagenet for the
    published one (downloaded)."""
    classifier: FilePath | None = None
    """Network of recognition: TorchScript, torch.export, or a state dict of MobileNetV2 or EfficientNet-Lite0."""
    labels: FilePath | None = None
    """Names of its classes, one a line; pictures lie in folders of those names."""
    fid: FilePath | None = None
    """Feature network (TorchScript or torch.export) of the Frechet distance."""
    lpips: FilePath | None = None
    """Network (TorchScript or torch.export) that tells the perceptual distance of two pictures."""
    perceptual: FilePath | None = None
    """SqueezeNet 1.1 (a state dict under torchvision's names) of a perceptual distance to rank weights by."""
    perceptual_layers: FilePath | None = None
    """The weights of its channels (a state dict of lin0..6.weight, as LPIPS publishes them)."""
    probes: bool = False
    """Probe each block of the network with all pictures, whatever the limit, in one folder a class."""
    report: FilePath | None = None
    """Write measures and pictures, from best to worst, here (.html or .png); of several weights a picture a row."""

    def check(self) -> None:
        """Compare every field with its rule, and those that need each other.

        Raises:
            ValueError: one is out of range, or lacks another.
        """
        super().check()
        if self.probes and "+" in os.fspath(self.weights):
            raise ValueError(f"probes: must come with one network, got weights {str(self.weights)!r}")
        if self.probes and Path(self.weights).suffix in (".onnx", ".engine"):
            raise ValueError(f"probes: must come with a network in torch, got the exported file {self.weights}")
        if self.report is not None and Path(self.report).suffix.lower() not in REPORTS:
            raise ValueError(f"report: must end in one of {', '.join(REPORTS)}, got {str(self.report)!r}")
        if self.labels is not None and self.classifier is None:
            raise ValueError("labels: must come with a classifier, got none")
        if (self.perceptual is None) != (self.perceptual_layers is None):
            given, missing = (
                ("perceptual", "layers") if self.perceptual_layers is None else ("perceptual_layers", "network")
            )
            raise ValueError(f"{given}: must come with its {missing}, got none")
