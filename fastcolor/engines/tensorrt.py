"""The network in TensorRT (10.12 or later) or TensorRT-RTX, on an NVIDIA GPU. One builder serves both.

Networks are strongly typed: their precision stands in the ONNX file. A built engine holds for one GPU model, library
version, network and range of sizes; its file starts with that key (length as 4 bytes, JSON, then the plan) and an
engine whose key differs is built again, not trusted.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..models.generator import Generator, Precision
from . import cache

FORMAT = "fastcolor-engine-1"
_BATCH = (1, 8, 16)  # least, best, most


@functools.lru_cache(maxsize=1)
def runtime() -> Any:
    """The tensorrt or tensorrt_rtx package.

    Raises:
        ValueError: neither is installed, or what is installed does not load.
    """
    problems = []
    for name in ("tensorrt", "tensorrt_rtx"):
        try:
            trt = importlib.import_module(name)
            trt.Builder(_logger(trt, []))
            return trt
        except (ImportError, OSError, TypeError, AttributeError) as error:
            # TypeError: the libraries are there, a driver is not. AttributeError: a folder of that name.
            problems.append(f"{name}: {str(error).splitlines()[0]}")
    raise ValueError(
        f"engine: tensorrt is not usable ({'; '.join(problems)}); pip install 'fastcolor[tensorrt]' or, "
        "for GeForce and RTX chips, 'fastcolor[tensorrt-rtx]', and the NVIDIA driver"
    )


def _logger(trt: Any, errors: list[str]) -> Any:
    """Gathers what TensorRT would print."""

    class Logger(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                errors.append(message.splitlines()[0])

    return Logger()


def shapes_of(generator: Generator) -> list[tuple[int, int, int, int]]:
    """The least, best and largest input that an engine takes: all that `Colorizer.input_size` asks for."""
    stride = generator.stride
    sides = (2 * stride, generator.side, max(4 * generator.size // stride, 2) * stride)
    return [(n, 1, side, side) for n, side in zip(_BATCH, sides, strict=True)]


def key_of(onnx: bytes, shapes: list[tuple[int, int, int, int]], device: torch.device | None) -> dict[str, Any]:
    """What an engine depends on. device: None where there is no GPU (TensorRT-RTX builds without)."""
    trt = runtime()
    return {
        "gpu": "none" if device is None else torch.cuda.get_device_name(device),
        "library": f"{trt.__name__} {trt.__version__}",
        "onnx": hashlib.sha256(onnx).hexdigest(),
        "shapes": [list(shape) for shape in shapes],
    }


def build(onnx: bytes, shapes: list[tuple[int, int, int, int]]) -> bytes:
    """Compile an exported network; seconds to minutes.

    Args:
        onnx: the file's bytes. shapes: as `shapes_of` gives them.

    Returns:
        The plan.

    Raises:
        ValueError: TensorRT is not usable. RuntimeError: it refuses the network; the message names the nodes.
    """
    trt = runtime()
    errors: list[str] = []
    logger = _logger(trt, errors)
    builder = trt.Builder(logger)
    # Later versions know no other kind of network, and may have dropped the flag.
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    network = builder.create_network(0 if flag is None else 1 << int(flag))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(onnx):
        refused = [str(parser.get_error(i)).splitlines()[0] for i in range(parser.num_errors)]
        raise RuntimeError(f"TensorRT does not take the network: {'; '.join(refused)}")
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    profile.set_shape("lightness", *shapes)
    config.add_optimization_profile(profile)
    # What earlier builds timed. TensorRT-RTX times nothing while it builds.
    timings = cache.home() / "tensorrt" / f"{trt.__version__}.timings"
    kept = config.create_timing_cache(cache.read(timings) or b"") if trt.__name__ == "tensorrt" else None
    if kept is not None:
        config.set_timing_cache(kept, ignore_mismatch=False)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise RuntimeError(f"TensorRT could not build the network: {'; '.join(errors) or 'it does not say why'}")
    if kept is not None:
        cache.keep(timings, bytes(kept.serialize()))
    return bytes(plan)


class NotAnEngine(ValueError):
    """A file that does not start as an engine file does."""


def pack(header: dict[str, Any], plan: bytes) -> bytes:
    """An engine file's bytes."""
    text = json.dumps({"format": FORMAT, **header}).encode()
    return len(text).to_bytes(4, "little") + text + plan


def unpack(content: bytes) -> tuple[dict[str, Any], bytes]:
    """(header, plan) of an engine file. NotAnEngine: it is none."""
    length = int.from_bytes(content[:4], "little")
    try:
        header = json.loads(content[4 : 4 + length])
        if header["format"] != FORMAT:
            raise ValueError(f"format {header['format']!r}")
    except (ValueError, KeyError, TypeError) as error:
        raise NotAnEngine(f"not an engine file of fastcolor's, or damaged ({error})") from None
    return header, content[4 + length :]


def kept_or(path: Path, key: Callable[[Precision], dict[str, Any]], make: Callable[[], bytes]) -> bytes:
    """An engine file's bytes: the kept ones while their key is still true, else made again and kept.

    Args:
        key: from the precision in the header to the key as it must be. make: builds the whole file.
    """
    content = cache.read(path)
    if content is not None:
        try:
            header, _ = unpack(content)
            if header["key"] == key(header["precision"]):
                return content
        except (NotAnEngine, KeyError):
            pass
    content = make()
    cache.keep(path, content)
    return content


class TensorRtEngine:
    """A built engine. Runs behind torch's current stream, which goes on behind it; reads and writes torch's tensors.

    Args:
        plan: as `build` returns it. device: the GPU it was built for. precision: of its body.

    Raises:
        ValueError: TensorRT is not usable. RuntimeError: the plan does not fit this machine.
    """

    def __init__(self, plan: bytes, device: torch.device, precision: str) -> None:
        trt = runtime()
        self.device = device
        self.name = f"{trt.__name__} {device} {precision}"
        with torch.cuda.device(device):
            errors: list[str] = []
            # Logger, runtime and engine must outlive the context.
            self._logger = _logger(trt, errors)
            self._runtime = trt.Runtime(self._logger)
            self._engine = self._runtime.deserialize_cuda_engine(plan)
            if self._engine is None:
                raise RuntimeError(f"TensorRT cannot load the engine here: {'; '.join(errors)}")
            self._compiled = cache.home() / "tensorrt" / f"{hashlib.sha256(plan).hexdigest()[:16]}.kernels"
            # Its scratch memory is torch's, as large as the size at hand needs and not as the largest would.
            strategy = trt.ExecutionContextAllocationStrategy.USER_MANAGED
            if hasattr(self._engine, "create_runtime_config") and hasattr(trt, "IRuntimeCache"):
                # TensorRT-RTX compiles kernels when they first run: those of earlier processes are taken as they are,
                # unless the GPU, its driver or the version is another.
                config = self._engine.create_runtime_config()
                config.set_execution_context_allocation_strategy(strategy)
                self._kernels = config.create_runtime_cache()
                if content := cache.read(self._compiled):
                    self._kernels.deserialize(content)
                config.set_runtime_cache(self._kernels)
                self._context = self._engine.create_execution_context(config)
            else:
                self._kernels = None
                self._context = self._engine.create_execution_context(strategy)
            self._stream = torch.cuda.Stream()
        self._shapes: set[tuple[int, ...]] = set()  # that have run
        self._lock = threading.Lock()

    def __call__(self, lightness: Tensor) -> Tensor:
        with self._lock, torch.cuda.device(self.device):
            lightness = lightness.to(self.device, torch.float32).contiguous()
            if not self._context.set_input_shape("lightness", tuple(lightness.shape)):
                raise ValueError(f"lightness: must lie within the engine's sizes, got {tuple(lightness.shape)}")
            scratch_bytes = self._context.update_device_memory_size_for_shapes()
            scratch = torch.empty(max(scratch_bytes, 1), dtype=torch.uint8, device=self.device)
            self._context.set_device_memory(scratch.data_ptr(), scratch_bytes)
            output = torch.empty(tuple(self._context.get_tensor_shape("output")), device=self.device)
            self._context.set_tensor_address("lightness", lightness.data_ptr())
            self._context.set_tensor_address("output", output.data_ptr())
            # On a stream of the engine's own: a context is safe on one alone, and on CUDA's default stream TensorRT may
            # wait for the whole device. The caller's goes on behind it, so torch reuses the memory no earlier.
            caller = torch.cuda.current_stream()
            self._stream.wait_stream(caller)
            if not self._context.execute_async_v3(self._stream.cuda_stream):
                raise RuntimeError("TensorRT failed to run the engine")
            caller.wait_stream(self._stream)
            self._keep_kernels(tuple(lightness.shape))
        return output

    def _keep_kernels(self, shape: tuple[int, ...]) -> None:
        """After a shape that is new, and ever more rarely: what was compiled for it, where the library keeps that."""
        if self._kernels is None or shape in self._shapes:
            return
        self._shapes.add(shape)
        if len(self._shapes) & (len(self._shapes) - 1) == 0:  # the 1st, 2nd, 4th, 8th, ...
            cache.keep(self._compiled, bytes(self._kernels.serialize()))
