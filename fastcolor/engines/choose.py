"""What runs the network, and nothing else: L at network size in, logits or ab out.

Lab, resizing, decoding and painting are `fastcolor.ops`, before and after, so engines are interchangeable. Engines
other than torch run the exported network (`fastcolor.export`), and are used if their results are torch's.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from ..device import device_of
from ..models.weights import Weights
from . import cache, timings
from . import onnx as ort
from . import openvino as ov
from . import tensorrt as trt
from .export import to_onnx
from .exported import Network, TakesLong
from .parity import Precision, compare
from .torch import TorchEngine

log = logging.getLogger(__name__)
NAMES = ("torch", "onnx", "openvino", "tensorrt")


class Engine(Protocol):
    """Runs one generator on one device."""

    name: str
    device: torch.device

    def __call__(self, lightness: Tensor) -> Tensor:
        """L (N, 1, h, w) float32 on the device -> logits (N, Q, h/4, w/4) or ab (N, 2, h, w)."""


def choose(weights: Weights, device: str = "auto", engine: str = "auto") -> Engine:
    """Make the engine for these weights.

    Args:
        device: as `device_of` takes it; "auto" is the CPU for an engine or an exported file that runs there alone.
        engine: "torch", "onnx" (ONNX Runtime) and "openvino" on the CPU, "tensorrt" on a GPU; "auto": the fastest
            of those that are ready, measured once a machine.

    Returns:
        The engine; torch instead of one whose results are not torch's, with a warning.

    Raises:
        ValueError: an unknown device or engine, one that does not fit the other, or a package that is not there.
        RuntimeError: no engine gives what an exported file should.
    """
    if engine not in ("auto", *NAMES):
        raise ValueError(f"engine: must be auto, {', '.join(NAMES[:-1])} or {NAMES[-1]}, got {engine!r}")
    where = device_of(device)
    if device == "auto" and (engine in ("onnx", "openvino") or (engine == "auto" and not _on_gpu(weights, where))):
        where = torch.device("cpu")
    if is_exported(weights) and not weights.model.on_cpu and where.type == "cpu":
        raise ValueError("weights: a TensorRT engine runs on the GPU that it was built for, got device cpu")
    if engine == "auto":
        return fastest(weights, where)
    return _make_or_torch(engine, weights, where)


def fastest(weights: Weights, device: torch.device, *, again: bool = False) -> Engine:
    """The engine that was fastest here, measured now if it was not before, or `again`."""
    candidates = ready(weights, device)
    if len(candidates) == 1:
        return _make_or_torch(candidates[0], weights, device)
    found = None if again else timings.recall(weights, device, candidates)
    # Engines that were left out because exporting for them takes long count once somebody has asked for one.
    if found is not None and not (found.get("left_out") and cache.path_of(weights, "fp32").exists()):
        try:
            return _make_or_torch(found["engine"], weights, device, quick=True)
        except TakesLong:
            return _make("torch", weights, device)
    engines, left_out = {}, []
    for name in candidates:
        try:
            engines[name] = _make(name, weights, device, quick=True)
        except TakesLong:
            left_out.append(name)
        except RuntimeError as error:
            log.warning(f"engine {name} is left out: {error}")
        except ValueError:  # it is installed, but does not load; `usable` says why
            continue
    if not engines:
        return _make(candidates[0], weights, device)
    return engines[timings.measure(engines, weights, device, candidates, left_out)["engine"]]


def ready(weights: Weights, device: torch.device) -> list[str]:
    """What "auto" chooses among: what is installed and made in a moment.

    TensorRT's builds, and exports of networks that bake their size in, take too long to be started unasked, but count
    once they are there. Where nothing can be kept, nothing is exported unasked either.
    """
    names = [] if is_exported(weights) else ["torch"]
    if device.type == "cuda":
        if is_exported(weights) or (_installed("tensorrt") and trt.path_of(weights, device).exists()):
            names.append("tensorrt")
        return names
    if is_exported(weights) or (_installed("onnx") and cache.writable()):
        names += [name for name in ("onnx", "openvino") if _installed(name)]
    return names or ["onnx"]


_PACKAGES = {
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("openvino",),
    "tensorrt": ("tensorrt", "tensorrt_rtx"),
}


def _installed(name: str) -> bool:
    """Whether the packages are there; importing them takes a second, which most processes need not spend."""
    found = [importlib.util.find_spec(package) is not None for package in _PACKAGES[name]]
    return any(found) if name == "tensorrt" else all(found)


def is_exported(weights: Weights) -> bool:
    """Whether the network is an exported file, which torch does not run."""
    return isinstance(weights.model, Network)


def _on_gpu(weights: Weights, device: torch.device) -> bool:
    """Whether anything runs these weights on that GPU: torch, or, for an exported file but one in INT8, TensorRT."""
    if getattr(weights.model, "precision", None) == "int8":
        return False
    if device.type == "cuda" and is_exported(weights) and weights.model.on_cpu:
        try:
            trt.runtime()
        except ValueError:
            return False
    return device.type == "cuda"


def _make_or_torch(name: str, weights: Weights, device: torch.device, *, quick: bool = False) -> Engine:
    """The engine, or torch, with a warning, when its results are not torch's or nothing can be exported for it."""
    try:
        return _make(name, weights, device, quick=quick)
    except TakesLong:
        raise
    except RuntimeError as error:
        if is_exported(weights):
            raise
        log.warning(f"engine {name}: {error}; torch is used instead")
        return _make("torch", weights, device)


def _make(name: str, weights: Weights, device: torch.device, *, quick: bool = False) -> Engine:
    if name == "torch":
        if is_exported(weights):
            raise ValueError("engine: torch runs .safetensors weights, got an exported file")
        return TorchEngine(weights.model, device)
    if (name == "tensorrt") != (device.type == "cuda"):
        raise ValueError(f"engine: {name} runs on {'a GPU' if name == 'tensorrt' else 'the CPU'}, got device {device}")
    if name == "tensorrt" and getattr(weights.model, "precision", None) == "int8":
        raise ValueError(f"weights: an exported file in int8 runs on the CPU, got device {device}")
    return trt.load(weights, device) if name == "tensorrt" else _checked(name, weights, quick)


def _checked(name: str, weights: Weights, quick: bool) -> Engine:
    """The fastest precision of an engine on the CPU that gives what torch gives on photographs.

    Raises:
        ValueError: a package is not there. RuntimeError: none does. TakesLong: a `quick` export would not do.
    """
    make: Callable[[bytes, str], Engine]
    if name == "onnx":
        make, library, precisions = ort.OnnxEngine, ort.runtime(), ("fp32",)
    else:
        make, library, precisions = ov.OpenVinoEngine, ov.runtime(), ov.precisions()
    own: Precision = getattr(weights.model, "precision", "fp32")
    if is_exported(weights) and name == "onnx":  # is itself what others are compared with
        return make(weights.model.content, own)

    def contents() -> Iterator[tuple[bytes, tuple[Precision, ...]]]:
        if (path := cache.shipped(weights)) is not None:
            yield path.read_bytes(), ("int8",)
        for fresh in (False, True):  # a kept export that fails is made again
            content = _exported(weights, own, fresh=fresh, quick=quick)
            yield content, ("int8",) if own == "int8" else precisions
            if is_exported(weights):
                break

    problem: str | None = None
    for content, rungs in contents():
        for precision in rungs:
            key = f"{name} {precision} {library.__version__} {hashlib.sha256(content).hexdigest()}"
            try:
                engine = make(content, precision)
                problem = _problem(engine, key, weights, precision)
            except RuntimeError as error:
                problem = str(error).splitlines()[0]
            if problem is None:
                return engine
            log.warning(f"engine {name} {precision} is not used: {problem}")
    raise RuntimeError(problem)


def _exported(weights: Weights, precision: Precision, *, fresh: bool = False, quick: bool = False) -> bytes:
    """The network as an ONNX file, kept from an earlier run unless `fresh`. Raises as `export.to_onnx`."""
    path = cache.path_of(weights, precision)
    content = None if fresh else cache.read(path)
    if content is None:
        if quick and cache.recall("long", path.name):
            raise TakesLong("exporting this network takes long")
        try:
            content = to_onnx(weights, precision, quick=quick)
        except TakesLong:
            cache.remember("long", path.name, True)
            raise
        cache.keep(path, content)
    return content


def _problem(engine: Engine, key: str, weights: Weights, precision: str) -> str | None:
    """What is wrong with an engine's results, compared once and remembered."""
    # An exported file in half precision is off by that, however exactly it is run.
    bound = "fp16" if precision == "fp32" and getattr(weights.model, "precision", "fp32") == "fp16" else precision
    known = cache.recall("checks", key)
    if isinstance(known, dict) and "problem" in known:
        return known["problem"]
    parity = compare(engine, weights)
    cache.remember("checks", key, {"problem": parity.problem(bound), "parity": str(parity)})
    return parity.problem(bound)


def usable() -> dict[str, str]:
    """Each engine's name and "usable", or why it is not."""

    def why(*checks: Callable[[], object]) -> str:
        try:
            for check in checks:
                check()
        except ValueError as error:
            return f"no: {str(error).removeprefix('engine: ')}"
        return "usable"

    told = {
        "torch": "usable",
        "onnx": why(ort.runtime, ort.require_onnx),
        "openvino": why(ov.runtime, ort.require_onnx),
    }
    told["tensorrt"] = why(trt.runtime, ort.require_onnx)
    if told["tensorrt"] == "usable" and not torch.cuda.is_available():
        told["tensorrt"] = f"no: {trt.runtime().__name__} is installed, but torch sees no CUDA device"
    return told


def describe(*, measure: bool = False) -> dict[str, str]:
    """Each engine's name, and whether it is usable, its speed with the default weights, and whether "auto" takes it.

    Args:
        measure: now; else what an earlier run measured is told.
    """
    from ..models.weights import load

    weights, device = load("default"), device_of("auto")
    if measure:
        fastest(weights, device, again=True)
    candidates, told = ready(weights, device), usable()
    found = timings.recall(weights, device, candidates)
    for name, (one, eight) in (found["ms"] if found else {}).items():
        told[name] += f", {one:.1f} ms a picture, {eight:.1f} ms in batches of 8"
    chosen = found["engine"] if found else candidates[0] if len(candidates) == 1 else None
    if chosen:
        told[chosen] += "; chosen by auto"
    else:
        told = {name: f"{why}, not measured yet" if name in candidates else why for name, why in told.items()}
    return told
