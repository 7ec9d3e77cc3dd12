"""What tests of engines ask: which were to choose from, which was chosen, what was said."""

from __future__ import annotations

import os
import subprocess
import sys

import onnx
import onnx.numpy_helper
import pytest
import torch

from fastcolor.engines import choose, timings
from fastcolor.engines.torch import precisions
from fastcolor.models.generator import Generator

CPU = torch.device("cpu")


def plant(content: bytes) -> bytes:
    """A real ONNX file with a quarter of its last filters' weights turned around."""
    model = onnx.load_from_string(content)
    head = next(x for x in model.graph.initializer if len(x.dims) == 4 and x.dims[0] == 313)
    values = onnx.numpy_helper.to_array(head).copy()
    values[::4] *= -1
    head.CopyFrom(onnx.numpy_helper.from_array(values, head.name))
    return model.SerializeToString()


def names_of(generator: Generator) -> list[str]:
    """What "auto" chooses among on the CPU."""
    return [str(candidate) for candidate in choose.candidates(generator, CPU)]


def in_torch() -> list[str]:
    """Torch's ways on the CPU."""
    return [f"torch {precision}" for precision in precisions(CPU)]


def said(caplog: pytest.LogCaptureFixture) -> str:
    """Our own warnings so far, and a clean page."""
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("fastcolor")]
    caplog.clear()
    return "\n".join(lines)


def way_of(engine: timings.Engine) -> str:
    """Such as "torch bf16"."""
    name, _, precision = engine.name.split()
    return f"{name} {precision.replace('bfloat16', 'bf16').replace('float32', 'fp32')}"


def python(code: str, **environment: str) -> str:
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return run.stdout
