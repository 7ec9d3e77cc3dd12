"""TensorRT engines of generators: built, compared with torch, kept, and loaded again."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..models.generator import Generator, Precision
from . import cache
from .exported import Exported, describe
from .files import exported
from .parity import Parity, Trial
from .tensorrt import TensorRtEngine, build, kept_or, key_of, pack, runtime, shapes_of, unpack

log = logging.getLogger(__name__)
_LADDER: tuple[Precision, ...] = ("fp16", "bf16", "fp32")


@dataclass(frozen=True)
class Built:
    """An engine file within its bound. `problems`: precisions that were tried and left, and why."""

    content: bytes
    precision: Precision
    parity: Parity
    problems: tuple[str, ...]


def build_checked(
    generator: Generator, device: torch.device, *, precision: Precision | None = None, gray: Tensor | None = None
) -> Built:
    """Build engines until one agrees with torch: fp16, then bf16, then fp32, or the one asked for.

    Args:
        generator: with its network, or an exported file of the wanted precision. device: the GPU. gray: as
            `parity.Trial` takes it.

    Raises:
        ValueError: TensorRT or the GPU is not there. RuntimeError: no engine agrees; the message says how each fails.
    """
    if device.type != "cuda":
        raise ValueError(f"device: must be a CUDA device for TensorRT, got {device}")
    own = generator.precision if isinstance(generator.network, Exported) else precision
    shapes = shapes_of(generator)
    trial = Trial(generator, gray)
    problems: list[str] = []
    for rung in _LADDER if own is None else (own,):
        try:
            onnx = exported(generator, rung)
            plan = build(onnx, shapes)
            parity = trial.compare(TensorRtEngine(plan, device, rung))
            problem = parity.problem(rung)
        except RuntimeError as error:
            problem = str(error).splitlines()[0]
        if problem is None:
            key = key_of(onnx, shapes, device)
            header = {"key": key, "precision": rung, "parity": str(parity), "network": describe(generator, rung)}
            return Built(pack(header, plan), rung, parity, tuple(problems))
        problems.append(f"{rung}: {problem}")
        log.warning(f"engine tensorrt {rung} is not used: {problem}")
    raise RuntimeError(f"no TensorRT engine agrees with torch ({'; '.join(problems)})")


def path_of(generator: Generator, device: torch.device) -> Path:
    """Where the engine of a generator and this GPU is kept."""
    gpu = hashlib.sha256(torch.cuda.get_device_name(device).encode()).hexdigest()[:8]
    return cache.home() / "tensorrt" / f"{generator.digest[:32]}-{gpu}.engine"


def load(generator: Generator, device: torch.device) -> TensorRtEngine:
    """The engine of a generator, from `cache.home()` or built now.

    Raises:
        ValueError, RuntimeError: as `build_checked`.
    """
    if generator.runs_on == ("tensorrt",):
        assert isinstance(generator.network, Exported)
        header, plan = unpack(generator.network.content)
        trt = runtime()
        built, here = header["key"], (torch.cuda.get_device_name(device), f"{trt.__name__} {trt.__version__}")
        if (built["gpu"], built["library"]) != here:
            raise ValueError(
                f"weights: the engine was built for {built['gpu']} by {built['library']}, here are "
                f"{here[0]} and {here[1]}; export it again"
            )
        return TensorRtEngine(plan, device, header["precision"])
    content = kept_or(
        path_of(generator, device),
        lambda precision: key_of(exported(generator, precision), shapes_of(generator), device),
        lambda: build_checked(generator, device).content,
    )
    header, plan = unpack(content)
    return TensorRtEngine(plan, device, header["precision"])
