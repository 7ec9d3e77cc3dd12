"""Which way to run a network is fastest here: measured once a machine, then remembered."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from ..models.generator import Generator
from . import cache
from .graphs import ENOUGH
from .torch import TorchEngine
from .versions import processor, versions

_LIBRARIES = ("torch", "onnxruntime", "openvino", "tensorrt", "tensorrt-rtx")
_BATCHES = (1, 8)
_ROUNDS, _SECONDS = 7, 0.4  # at most, for each engine and batch size; but two runs, of which the first warms up
_SLOW = 0.25  # seconds a picture: a batch of these would keep somebody waiting and say nothing new


class Engine(Protocol):
    """Runs one generator on one device."""

    device: torch.device

    @property
    def name(self) -> str: ...

    def __call__(self, lightness: Tensor) -> Tensor:
        """L (N, 1, h, w) float32 on the device -> logits (N, Q, h/4, w/4) or ab (N, 2, h, w)."""


def key_of(generator: Generator, device: torch.device, candidates: Sequence[str]) -> str:
    """All that the choice depends on."""
    on_cpu = device.type == "cpu"
    machine = f"{processor()}, {torch.get_num_threads()} threads" if on_cpu else torch.cuda.get_device_name(device)
    network = [generator.name, generator.options, generator.kind, generator.stride, generator.trial_side]
    return json.dumps([machine, versions(_LIBRARIES), network, list(candidates)])


def recall(generator: Generator, device: torch.device, candidates: Sequence[str]) -> dict[str, Any] | None:
    """{"fastest": candidate, "ms": as `measure` returns it}, or None if this was not measured. What was wrong or did
    not load when it was measured has no times."""
    found = cache.recall("choices", key_of(generator, device, candidates))
    return found if isinstance(found, dict) and found.get("fastest") in candidates and "ms" in found else None


def measure(engines: dict[str, Engine], generator: Generator, device: torch.device) -> dict[str, list[float]]:
    """Time engines, by candidate, side by side.

    Returns:
        {candidate: [milliseconds a picture in a batch of 1, of 8]}, medians. Of slow engines, and of large networks
        on a CPU, there is no batch of 8.
    """
    batches = _BATCHES[:1] if generator.large and device.type == "cpu" else _BATCHES
    times: dict[str, list[list[float]]] = {name: [[] for _ in batches] for name in engines}
    for row, batch in enumerate(batches):
        if row and min(statistics.median(rows[0]) for rows in times.values()) > 1e3 * _SLOW:
            break
        lightness = torch.full((batch, 1, generator.trial_side, generator.trial_side), 50.0, device=device)
        spent = dict.fromkeys(engines, 0.0)
        warm = warm_runs(device)
        for turn in range(warm - 1 + _ROUNDS):
            for name, engine in engines.items():
                if turn > warm and spent[name] > _SECONDS:
                    continue
                seconds = one_run(engine, lightness)
                spent[name] += seconds * (turn >= warm - 1)
                if turn >= warm:
                    times[name][row].append(seconds * 1e3 / batch)
    return {name: [round(statistics.median(row), 3) for row in rows if row] for name, rows in times.items()}


def remember(
    medians: dict[str, list[float]], generator: Generator, device: torch.device, candidates: Sequence[str]
) -> dict[str, Any]:
    """Keep what was measured, and which was fastest: the lowest product of the medians that all of them have.

    Args:
        medians: of `measure`. candidates: all that were thought of, in the order that `recall` will be asked for.

    Returns:
        What `recall` will.
    """
    shared = min(map(len, medians.values()))
    result = {"fastest": min(medians, key=lambda name: math.prod(medians[name][:shared])), "ms": medians}
    cache.remember("choices", key_of(generator, device, candidates), result)
    return result


def warm_runs(device: torch.device) -> int:
    """Runs that are not timed: a first one and, on a GPU, those after which PyTorch's is captured in a graph."""
    return ENOUGH + 1 if device.type == "cuda" else 1


def one_run(engine: Engine, lightness: Tensor) -> float:
    """Seconds that a batch takes."""
    _wait(lightness.device)
    start = time.perf_counter()
    if isinstance(engine, TorchEngine):
        engine.replay("timing", engine, lightness)
    else:
        engine(lightness)
    _wait(lightness.device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
