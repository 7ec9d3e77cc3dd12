"""The network in PyTorch: BatchNorm folded, channels_last, bfloat16 where the processor has it, graphs on a GPU."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor, nn

from ..device import bf16_is_fast
from ..models.generator import Precision
from ..models.layers import fold_batch_norm


def precisions(device: torch.device) -> tuple[Precision, ...]:
    """What the processor has instructions for. Which of them is the fastest on a CPU has to be measured."""
    if device.type == "cuda":
        return ("bf16",)
    return ("bf16", "fp32") if bf16_is_fast(device) else ("fp32",)


class TorchEngine:
    """A generator on one device.

    Args:
        model: the network. precision: of its body.
    """

    def __init__(self, model: nn.Module, device: torch.device, precision: torch.dtype = torch.float32) -> None:
        self.device = device
        folded = fold_batch_norm(copy.deepcopy(model).eval().requires_grad_(False))
        # Torch's types know no memory format beside a precision.
        self._model: Any = folded.to(device, precision, memory_format=torch.channels_last)  # type: ignore[call-overload]
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
    def colours(self, features: tuple[Tensor, ...], hints: tuple[Tensor, Tensor] | None) -> Tensor:
        """What a call returns, from features, following hints (ab, mask) at the size that the network sees."""
        return self._model.colours(features, hints)

    def replay(self, key: Hashable, work: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """`work(*inputs)`, which may call this engine; on a GPU from a graph. The key says what `work` does."""
        return work(*inputs) if self._graphs is None else self._graphs(key, work, *inputs)


class Graphs:
    """Work on CUDA tensors as graphs, one for each key and set of shapes: one launch in place of hundreds.

    The first time, work just runs, which also warms it up: pictures of ever new shapes are not worth a capture. The
    second time it is captured, from then on replayed; the graphs used longest ago make room.
    """

    def __init__(self, most: int = 8) -> None:
        self._most = most
        self._graphs: dict[Hashable, tuple[torch.cuda.CUDAGraph, list[Tensor], Tensor] | None] = {}
        self._lock = threading.Lock()

    @torch.inference_mode()
    def __call__(self, key: Hashable, work: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        key = (key, *((x.shape, x.dtype, x.device) for x in inputs))
        with self._lock, torch.cuda.device(inputs[0].device):
            if key not in self._graphs:
                self._graphs[key] = None
                return work(*inputs)
            graph, held, output = self._graphs.pop(key) or self._capture(work, inputs)
            self._graphs[key] = graph, held, output  # the youngest
            while len(self._graphs) > self._most:
                del self._graphs[next(iter(self._graphs))]
            for mine, given in zip(held, inputs, strict=True):
                mine.copy_(given)
            graph.replay()
            return output.clone()  # the next replay writes over it

    @staticmethod
    def _capture(work: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> tuple:
        held = [x.clone() for x in inputs]
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        # Decoders and encoders in other threads may use CUDA meanwhile.
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            output = work(*held)
        torch.cuda.current_stream().wait_stream(stream)
        return graph, held, output
