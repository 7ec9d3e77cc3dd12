"""A perceptual distance from a network's features, to rank one's own weights by.

Source: Zhang, Isola, Efros, Shechtman and Wang, "The Unreasonable Effectiveness of Deep Features as a Perceptual
Metric", CVPR 2018, equation 1, over SqueezeNet 1.1 (Iandola et al. 2016). With other network weights than those that
the layers were fitted to it is not comparable with published figures.
"""

from __future__ import annotations

import os

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models.layers import check_state
from ..models.weights import state_dict

# What the paper's own code takes from pictures in [-1, 1]: ImageNet's mean and deviation in that range.
_MEAN, _DEVIATION = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
_TAPS = (1, 4, 7, 9, 10, 11, 12)  # layers of `features` whose outputs are compared
_CHANNELS = (64, 128, 256, 384, 384, 512, 512)


class Fire(nn.Module):
    """1x1 to few channels, then 1x1 and 3x3 beside each other."""

    def __init__(self, inputs: int, few: int, each: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, few, 1)
        self.expand1x1 = nn.Conv2d(few, each, 1)
        self.expand3x3 = nn.Conv2d(few, each, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(x))
        return torch.cat([F.relu(self.expand1x1(x)), F.relu(self.expand3x3(x))], 1)


class SqueezeNet(nn.Module):
    """SqueezeNet 1.1 without its classifier, under torchvision's names."""

    def __init__(self) -> None:
        super().__init__()

        def pool() -> nn.Module:
            return nn.MaxPool2d(3, 2, ceil_mode=True)

        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 3, 2), nn.ReLU(), pool(),
            Fire(64, 16, 64), Fire(128, 16, 64), pool(),
            Fire(128, 32, 128), Fire(256, 32, 128), pool(),
            Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256),
        )  # fmt: skip

    def forward(self, x: Tensor) -> list[Tensor]:
        """The layers that are compared, of RGB (N, 3, H, W)."""
        found = []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in _TAPS:
                found.append(x)
        return found


class SqueezeDistance:
    """How far pictures look from a true one.

    Args:
        network: state dict of SqueezeNet 1.1 under torchvision's names. layers: state dict of one weight a compared
            channel, `lin0..6.weight`, as LPIPS publishes them.

    Raises:
        ValueError: a file that holds something else. FileNotFoundError: no such file.
    """

    def __init__(self, network: str | os.PathLike[str], layers: str | os.PathLike[str]) -> None:
        state = {key: value.float() for key, value in state_dict(network).items() if key.startswith("features.")}
        self._network = SqueezeNet().eval().requires_grad_(False)
        check_state(self._network, state, f"perceptual: {network} must be a SqueezeNet 1.1 state dict")
        self._network.load_state_dict(state)
        given = {name.replace(".model.1.", "."): value for name, value in state_dict(layers).items()}
        shapes = {f"lin{i}.weight": (1, channels, 1, 1) for i, channels in enumerate(_CHANNELS)}
        if {name: tuple(value.shape) for name, value in given.items()} != shapes:
            raise ValueError(
                f"perceptual_layers: must hold lin0..6.weight, one number a channel of SqueezeNet 1.1, got {layers}"
            )
        self._weights = [given[name].float() for name in shapes]

    @torch.no_grad()
    def __call__(self, rgb: np.ndarray, truth: np.ndarray) -> list[float]:
        """(N, H, W, 3) and (H, W, 3) uint8, sides of 16 pixels or more. Returns N distances, 0 for equal pictures."""
        x = torch.from_numpy(np.concatenate([rgb, truth[None]])).permute(0, 3, 1, 2).float() / 127.5 - 1
        mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in (_MEAN, _DEVIATION))
        total = torch.zeros(len(rgb))
        for features, weight in zip(self._network((x - mean) / deviation), self._weights, strict=True):
            unit = features / (features.norm(dim=1, keepdim=True) + 1e-10)
            total += ((unit[:-1] - unit[-1:]) ** 2 * weight).sum(1).mean((1, 2))
        return total.tolist()
