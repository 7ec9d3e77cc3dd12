"""Which engine is fastest here: measured once a machine, then remembered."""

from __future__ import annotations

import json
import math
import platform
import statistics
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from ..models.weights import Weights
from . import cache
from .parity import side_of
from .torch import TorchEngine

_LIBRARIES = ("torch", "onnxruntime", "openvino", "tensorrt", "tensorrt-rtx")
_BATCHES = (1, 8)
_ROUNDS, _SECONDS = 7, 0.4  # at most, for each batch size; but three rounds, of which the first warms up


def processor() -> str:
    """The CPU's name and the threads torch uses on it."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    except OSError:
        pass
    return f"{name}, {torch.get_num_threads()} threads"


def versions(libraries: tuple[str, ...]) -> dict[str, str]:
    """Of those that are installed."""
    found = {}
    for library in libraries:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return found


def key_of(weights: Weights, device: torch.device, candidates: list[str]) -> str:
    """All that the choice depends on."""
    machine = processor() if device.type == "cpu" else torch.cuda.get_device_name(device)
    shipped = device.type == "cpu" and cache.shipped(weights)
    body = "int8" if shipped else getattr(weights.model, "precision", None)
    network = [weights.name, weights.options, type(weights.model).__name__, side_of(weights), body]
    return json.dumps([machine, versions(_LIBRARIES), network, candidates])


def recall(weights: Weights, device: torch.device, candidates: list[str]) -> dict[str, Any] | None:
    """{"engine": name, "ms": {name: [a picture in a batch of 1, of 8]}, ...}, or None if this was not measured."""
    found = cache.recall("choices", key_of(weights, device, candidates))
    return found if isinstance(found, dict) and found.get("engine") in candidates and "ms" in found else None


def measure(
    engines: dict[str, Any], weights: Weights, device: torch.device, candidates: list[str], left_out: list[str]
) -> dict[str, Any]:
    """Time engines side by side and remember the fastest: the lowest product of both medians.

    Args:
        engines: by name. candidates: all that were thought of. left_out: those not made, as that takes long.

    Returns:
        What `recall` will.
    """
    side = side_of(weights)
    times: dict[str, list[list[float]]] = {name: [[] for _ in _BATCHES] for name in engines}
    for row, batch in enumerate(_BATCHES):
        lightness = torch.full((batch, 1, side, side), 50.0, device=device)
        begun = time.perf_counter()
        for turn in range(_ROUNDS):
            if turn > 2 and time.perf_counter() - begun > _SECONDS:
                break
            for name, engine in engines.items():
                _wait(device)
                start = time.perf_counter()
                if isinstance(engine, TorchEngine):
                    engine.replay("timing", engine, lightness)
                else:
                    engine(lightness)
                _wait(device)
                if turn > 0:
                    times[name][row].append((time.perf_counter() - start) * 1e3 / batch)
    medians = {name: [round(statistics.median(row), 3) for row in rows] for name, rows in times.items()}
    fastest = min(medians, key=lambda name: math.prod(medians[name]))
    result = {"engine": fastest, "ms": medians, "left_out": left_out}
    cache.remember("choices", key_of(weights, device, candidates), result)
    return result


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
