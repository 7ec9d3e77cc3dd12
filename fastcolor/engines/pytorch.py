"""The network in PyTorch: BatchNorm folded, channels_last, bfloat16 where that is faster, CUDA graphs on a GPU."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Hashable

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
        self._graphs = Graphs() if device.type == "cuda" else None

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

    def replay(self, key: Hashable, work: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """`work(*inputs)`, which may call this engine; on a GPU from a graph. The key says what `work` does."""
        self._decide()
        return work(*inputs) if self._graphs is None else self._graphs(key, work, *inputs)

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


def _seconds(model: nn.Module) -> float:
    """The best of five runs at 256 px, after one to warm up."""
    lightness = torch.full((1, 1, 256, 256), 50.0)
    times = []
    for _ in range(6):
        start = time.perf_counter()
        model(lightness)
        times.append(time.perf_counter() - start)
    return min(times[1:])
