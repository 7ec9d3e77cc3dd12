"""What runs the network, and nothing else: L at network size in, logits or ab out.

Lab, resizing, decoding and painting are `fastcolor.ops`, before and after, so engines are interchangeable.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ..weights import Weights
from .pytorch import TorchEngine


class Engine(Protocol):
    """Runs one generator on one device."""

    name: str
    device: torch.device

    def __call__(self, lightness: Tensor) -> Tensor:
        """L (N, 1, h, w) float32 on the device -> logits (N, Q, h/4, w/4) or ab (N, 2, h, w)."""


def device_of(device: str) -> torch.device:
    """The device a name means: "auto" is the first GPU, or the CPU.

    Raises:
        ValueError: an unknown name, or a GPU that is not there.
    """
    if device == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError:
        raise ValueError(f"device: must be auto, cpu, cuda or cuda:N, got {device!r}") from None
    if found.type not in ("cpu", "cuda"):
        raise ValueError(f"device: must be auto, cpu, cuda or cuda:N, got {device!r}")
    if found.type == "cuda":
        count = torch.cuda.device_count()
        if (found.index or 0) >= count:
            raise ValueError(f"device: {device!r} asked for, but torch sees {count} CUDA devices here")
        return torch.device("cuda", found.index or 0)
    return found


def choose(weights: Weights, device: str = "auto", engine: str = "auto") -> Engine:
    """Make the engine for these weights.

    Args:
        device: as `device_of` takes it. engine: "auto" or "torch".

    Raises:
        ValueError: an unknown device or engine.
    """
    if engine not in ("auto", "torch"):
        raise ValueError(f"engine: must be auto or torch, got {engine!r}")
    return TorchEngine(weights.model, device_of(device))


def usable() -> dict[str, str]:
    """Each engine's name and "usable", or why it is not."""
    return {"torch": "usable", "onnx": "not in this version", "tensorrt": "not in this version"}
