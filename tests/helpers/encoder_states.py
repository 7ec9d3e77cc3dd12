"""State dicts of published encoders, with random numbers in them."""

from __future__ import annotations

import torch
from torch import Tensor


def resnet18_state() -> dict[str, Tensor]:
    """Random weights under the names and shapes of torchvision's ResNet18."""
    state: dict[str, Tensor] = {}

    def conv(key: str, *shape: int) -> None:
        state[f"{key}.weight"] = torch.randn(shape) * (2 / (shape[1] * shape[2] * shape[3])) ** 0.5

    def norm(key: str, channels: int) -> None:
        state[f"{key}.weight"], state[f"{key}.bias"] = torch.rand(channels) + 0.5, torch.randn(channels) * 0.2
        state[f"{key}.running_mean"], state[f"{key}.running_var"] = torch.randn(channels), torch.rand(channels) + 0.5
        state[f"{key}.num_batches_tracked"] = torch.tensor(3)

    conv("conv1", 64, 3, 7, 7)
    norm("bn1", 64)
    channels = 64
    for layer, width in enumerate((64, 128, 256, 512), 1):
        for block in range(2):
            key = f"layer{layer}.{block}"
            conv(f"{key}.conv1", width, channels, 3, 3)
            norm(f"{key}.bn1", width)
            conv(f"{key}.conv2", width, width, 3, 3)
            norm(f"{key}.bn2", width)
            if channels != width:
                conv(f"{key}.downsample.0", width, channels, 1, 1)
                norm(f"{key}.downsample.1", width)
            channels = width
    state["fc.weight"], state["fc.bias"] = torch.randn(1000, 512), torch.randn(1000)
    return state
