"""The network in PyTorch: BatchNorm folded, channels_last, bfloat16 where the processor has it, graphs on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor, nn

from ..device import bf16_is_fast
from ..models.generator import Precision
from ..models.layers import fold_batch_norm, shared_copy
from .graphs import Graphs


def precisions(device: torch.device) -> tuple[Precision, ...]:
    """What the processor has instructions for. Which of them is the fastest on a CPU has to be measured."""
    if device.type == "cuda":
        return ("bf16",) if bf16_is_fast(device) else ("fp32",)  # before Ampere bfloat16 is emulated
    return ("bf16", "fp32") if bf16_is_fast(device) else ("fp32",)


class TorchEngine:
    """A generator on one device.

    Args:
        model: the network, on the CPU in float32; its weights must not change any more. precision: of its body.
    """

    def __init__(self, model: nn.Module, device: torch.device, precision: torch.dtype = torch.float32) -> None:
        self.device = device

        def finish(module: nn.Module) -> nn.Module:
            # Torch's types know no memory format beside a precision.
            return module.to(device, precision, memory_format=torch.channels_last)  # type: ignore[call-overload]

        self._model: Any = finish(fold_batch_norm(shared_copy(model), finish))
        self._graphs = Graphs() if device.type == "cuda" else None

    @property
    def name(self) -> str:
        """Such as "torch cpu bfloat16"."""
        precision = str(next(self._model.parameters()).dtype).removeprefix("torch.")
        return f"torch {self.device} {precision}"

    @torch.inference_mode()
    def __call__(self, lightness: Tensor) -> Tensor:
        return self._model(lightness)

    @torch.inference_mode()
    def features(self, lightness: Tensor) -> tuple[Tensor, ...]:
        """What the network sees in a picture, for `colours`; of a network that takes hints."""
        return self._model.features(lightness)

    @torch.inference_mode()
    def colours(self, features: tuple[Tensor, ...]) -> Tensor:
        """What a call returns, from features."""
        return self._model.colours(features)

    @torch.inference_mode()
    def hinted(
        self, features: tuple[Tensor, ...], hints: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """What a call returns, from features, following hints (ab, mask) at the size that the network sees; and what
        brings the colours made of it on to the hints, for networks that do not do all."""
        if hasattr(self._model, "hinted"):
            return self._model.hinted(features, hints)
        return self._model.colours(features, hints), lambda ab: ab

    def replay(self, key: Hashable, work: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """`work(*inputs)`, which may call this engine; on a GPU from a graph. The key says what `work` does."""
        return work(*inputs) if self._graphs is None else self._graphs(key, work, *inputs)
