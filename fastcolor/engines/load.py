"""Generators from any file or name: weights, ONNX files and TensorRT engines."""

from __future__ import annotations

import os
from pathlib import Path

from torch import Tensor

from ..models import weights
from ..models.generator import Generator
from .exported import FORMAT, generator_of
from .onnx import OnnxEngine
from .tensorrt import NotAnEngine, unpack

_ON_CPU = ("onnx", "openvino")


def load(name_or_path: str | os.PathLike[str]) -> Generator:
    """Read a generator by name, or from a file that `fastcolor.train` or `fastcolor.export` wrote.

    Returns:
        The generator. Of a `.onnx` file, `.model` is ONNX Runtime's engine.

    Raises:
        ValueError: an unknown name, not such a file, or ONNX Runtime is not installed. FileNotFoundError: no such file.
    """
    path = Path(name_or_path)
    if path.suffix not in (".onnx", ".engine"):
        return weights.load(name_or_path)
    if not path.exists():
        raise FileNotFoundError(f"weights: no such file: {path}")
    content = path.read_bytes()
    try:
        if path.suffix == ".onnx":
            engine = OnnxEngine(content)
            description = engine.metadata()
        else:
            description = unpack(content)[0]["network"]
    except RuntimeError as error:
        raise ValueError(f"weights: {path} is not an ONNX file or is damaged ({error})") from None
    except (LookupError, NotAnEngine) as error:
        raise ValueError(f"weights: {path} is {error}") from None
    if description.get("format") != FORMAT:
        kind = "an ONNX" if path.suffix == ".onnx" else "an engine"
        raise ValueError(f"weights: {path} is {kind} file, but not one of fastcolor's (no {FORMAT} in its metadata)")
    try:
        if path.suffix == ".engine":
            return generator_of(content, description, ("tensorrt",), lambda: _on_its_gpu)
        engine.precision = description["precision"]
        runs_on = _ON_CPU if engine.precision == "int8" else (*_ON_CPU, "tensorrt")
        return generator_of(content, description, runs_on, lambda: engine)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"weights: {path} does not fit this version of fastcolor ({error})") from None


def _on_its_gpu(lightness: Tensor) -> Tensor:
    raise RuntimeError("weights: a TensorRT engine runs on its GPU alone")
