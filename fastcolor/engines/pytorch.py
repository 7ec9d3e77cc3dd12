"""The network in PyTorch: BatchNorm folded, channels_last, bfloat16 where that is faster."""

from __future__ import annotations

import copy
import time

import torch
from torch import Tensor, nn

from ..models.layers import fold_batch_norm


class TorchEngine:
    """A generator on one device, in the precision that runs fastest there.

    On a GPU that is bfloat16. On a CPU both are timed once, on first use, if its instructions know bfloat16.
    """

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self.device = device
        folded = fold_batch_norm(copy.deepcopy(model).eval().requires_grad_(False))
        self._model = folded.to(device, memory_format=torch.channels_last)
        self._decided = False

    @property
    def name(self) -> str:
        """Such as "torch cpu bfloat16"; decides on a precision if none has been."""
        self._decide()
        precision = str(next(self._model.parameters()).dtype).removeprefix("torch.")
        return f"torch {self.device} {precision}"

    @torch.inference_mode()
    def __call__(self, lightness: Tensor) -> Tensor:
        self._decide()
        return self._model(lightness)

    @torch.inference_mode()
    def _decide(self) -> None:
        if self._decided:
            return
        self._decided = True
        if self.device.type == "cuda":
            self._model = self._model.to(torch.bfloat16)
        elif torch.ops.mkldnn._is_mkldnn_bf16_supported():
            candidate = copy.deepcopy(self._model).to(torch.bfloat16)
            if _seconds(candidate) < _seconds(self._model):
                self._model = candidate


def _seconds(model: nn.Module) -> float:
    """The best of five runs at 256 px, after one to warm up."""
    lightness = torch.full((1, 1, 256, 256), 50.0)
    times = []
    for _ in range(6):
        start = time.perf_counter()
        model(lightness)
        times.append(time.perf_counter() - start)
    return min(times[1:])
