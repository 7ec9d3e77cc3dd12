"""The network in OpenVINO, on the CPU: bfloat16 where the chip has it."""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from .session import BY_PIXEL, answered

_MOST = 4  # sizes whose memory is kept
_once = threading.RLock()
_HINTS = {"fp32": "f32", "bf16": "bf16"}


def runtime() -> Any:
    """The openvino package.

    Raises:
        ValueError: it is not installed or does not load.
    """
    with _once:
        try:
            with _without_telemetry():
                import openvino
        except (ImportError, OSError) as error:
            raise ValueError(f"engine: openvino is not usable: {error}; pip install 'fastcolor[openvino]'") from None
    return openvino


@contextlib.contextmanager
def _without_telemetry() -> Iterator[None]:
    """OpenVINO's import tells an analytics host of itself, unless the package that does is not to be had: then it uses
    a stub of its own. Its switch is a file in the user's home, which is not ours to write."""
    absent = "openvino_telemetry" not in sys.modules
    if absent:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if absent:
            del sys.modules["openvino_telemetry"]


@functools.cache
def _only_core() -> Any:
    """OpenVINO's devices, once in a process and never let go.

    Each Core gives its thread a stack for signals and takes it away with itself. With two of them that end in the order
    in which they began, the thread is left with one that is gone, and the next signal ends the process.
    """
    return runtime().Core()


def _core() -> Any:
    with _once:  # the cache alone would let two threads make one each
        return _only_core()


def precisions() -> tuple[str, ...]:
    """What this chip computes fast, the fastest first."""
    able = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ("bf16", "fp32") if "BF16" in able else ("fp32",)


class OpenVinoEngine:
    """An exported generator.

    Args:
        content: an ONNX file's bytes. precision: of the arithmetic: "fp32", "bf16" or, for a file in INT8, "int8",
            which leaves what is not quantised to the fastest of the others.

    Raises:
        ValueError: OpenVINO is not installed. RuntimeError: the file is damaged.
    """

    def __init__(self, content: bytes, precision: str = "fp32") -> None:
        self.device = torch.device("cpu")
        self.name = f"openvino cpu {precision}"
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": _HINTS[precisions()[0] if precision == "int8" else precision],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        core = _core()
        self._tensor = runtime().Tensor
        self._model = core.compile_model(core.read_model(content, b""), "CPU", settings)
        self._by_pixel = BY_PIXEL in self._model.output(0).names
        self._requests: dict[torch.Size, tuple[Any, tuple[int, ...]]] = {}
        self._lock = threading.Lock()  # a request does one thing at a time

    def __call__(self, lightness: Tensor) -> Tensor:
        answer = self._answer(lightness)
        if not self._by_pixel:
            return answer
        return answer.view(*answered(lightness.shape, len(answer)), answer.shape[1]).permute(0, 3, 1, 2)

    def _answer(self, lightness: Tensor) -> Tensor:
        """As the file gives it."""
        samples = lightness.contiguous().numpy()  # named: it must outlive the run, whose tensor only points to it
        picture = self._tensor(samples, shared_memory=True)
        with self._lock:
            request, shape = self._requests.get(lightness.shape) or (self._model.create_infer_request(), None)
            request.set_input_tensor(picture)
            if shape is None:  # a new size: the request says what comes out, and keeps it
                request.infer()
                output = torch.from_numpy(request.get_output_tensor().data.copy())
                if len(self._requests) >= _MOST:
                    self._requests.clear()
                self._requests[lightness.shape] = request, tuple(output.shape)
                return output
            # Straight into memory of our own: the request's is overwritten by its next run, and a copy takes a tenth.
            output = torch.empty(shape)
            request.set_output_tensor(self._tensor(output.numpy(), shared_memory=True))
            request.infer()
        return output
