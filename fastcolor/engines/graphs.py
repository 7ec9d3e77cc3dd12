"""CUDA graphs of work that comes again: one launch in place of hundreds. And which work is worth one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, Literal

import torch
from torch import Tensor

ENOUGH = 3  # times that work runs as it is, before a graph of it pays


class Policy:
    """Which work is captured in a graph and whose graph makes room, decided from what is asked for, one after another.

    Pictures of ever new shapes are not worth a capture, which waits for the GPU and costs as much as many runs. More
    shapes in turn than there is room for must not push out each other's graphs either: a graph makes room only when
    nobody has asked for it for long, and work that finds no room runs as it is.

    Args:
        most: graphs at once. patience: how many other questions a graph that is not asked for outlives.
    """

    def __init__(self, most: int = 8, patience: int = 256) -> None:
        self._most, self._patience = most, patience
        self._now = 0
        self._graphs: dict[Hashable, int] = {}  # when each was last asked for, longest ago first
        self._uses: dict[Hashable, int] = {}  # of work without a graph, asked for longest ago first

    def ask(self, key: Hashable) -> tuple[Literal["run", "capture", "replay"], Hashable | None]:
        """What to do with this work now, and the work whose graph has to go first."""
        self._now += 1
        if self._graphs.pop(key, None) is not None:
            self._graphs[key] = self._now
            return "replay", None
        uses = self._uses.pop(key, 0) + 1
        self._uses[key] = uses
        while len(self._uses) > 16 * self._most:
            del self._uses[next(iter(self._uses))]
        oldest = next(iter(self._graphs), None) if len(self._graphs) >= self._most else None
        if uses <= ENOUGH or (oldest is not None and self._now - self._graphs[oldest] <= self._patience):
            return "run", None
        if oldest is not None:
            del self._graphs[oldest]
        del self._uses[key]
        self._graphs[key] = self._now
        return "capture", oldest

    def forget(self) -> None:
        """No work has a graph any more."""
        self._graphs.clear()
        self._uses.clear()


class Graphs:
    """Work on CUDA tensors, each kind and set of shapes that comes often from a graph of its own.

    All graphs share one pool of memory, so one may write over another's result: they run one after the other, whatever
    streams they are asked for on.
    """

    def __init__(self) -> None:
        self._policy = Policy()
        self._graphs: dict[Hashable, tuple[torch.cuda.CUDAGraph, list[Tensor], Tensor]] = {}
        self._lock = threading.Lock()
        self._pool: Any = None
        self._done: torch.cuda.Event | None = None  # of the last replay, its result copied

    @torch.inference_mode()
    def __call__(self, key: Hashable, work: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        key = (key, *((x.shape, x.dtype, x.device) for x in inputs))
        with self._lock, torch.cuda.device(inputs[0].device):
            action, other = self._policy.ask(key)
            if other is not None:
                del self._graphs[other]
            if action == "run":
                return work(*inputs)
            if self._done is None:
                self._done = torch.cuda.Event()
            torch.cuda.current_stream().wait_event(self._done)
            if action == "capture":
                try:
                    self._graphs[key] = self._capture(work, inputs)
                except Exception as error:
                    self._policy.forget()
                    self._graphs.clear()
                    self._pool = None
                    if not isinstance(error, torch.cuda.OutOfMemoryError):
                        raise
                    torch.cuda.empty_cache()  # what the graphs held is worth more than they are
                    return work(*inputs)
            graph, held, output = self._graphs[key]
            for mine, given in zip(held, inputs, strict=True):
                mine.copy_(given)
            graph.replay()
            result = output.clone()  # the next replay writes over it
            self._done.record()
            return result

    def _capture(
        self, work: Callable[..., Tensor], inputs: tuple[Tensor, ...]
    ) -> tuple[torch.cuda.CUDAGraph, list[Tensor], Tensor]:
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        held = [x.clone() for x in inputs]
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        # Decoders and encoders in other threads may use CUDA meanwhile.
        with torch.cuda.graph(graph, pool=self._pool, stream=stream, capture_error_mode="thread_local"):
            output = work(*held)
        torch.cuda.current_stream().wait_stream(stream)
        return graph, held, output
