"""Generators as ONNX files and TensorRT engines that carry all that is needed to colour with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ..atomic import write_bytes
from ..device import device_of
from ..models.generator import Generator, Precision
from ..options.base import takes
from ..options.export import ExportOptions
from .exported import Exported
from .load import load
from .onnx import OnnxEngine
from .parity import DTYPES, Parity, Trial, photographs, read_pictures
from .quantize import to_int8
from .tensorrt_build import build_checked
from .tracing import InPrecision, to_onnx


@dataclass(frozen=True)
class ExportReport:
    """What was written. `problems`: precisions that were tried and left, and why. `truth`: what it was compared to."""

    path: Path
    precision: Precision
    parity: Parity
    pictures: int
    problems: tuple[str, ...] = ()
    truth: str = "torch float32"

    def __str__(self) -> str:
        lines = [f"{self.path}: {self.precision}, {self.path.stat().st_size / 1e6:.1f} MB"]
        lines.append(f"  against {self.truth} on {self.pictures} pictures: {self.parity}")
        return "\n".join(lines + [f"  not {problem}" for problem in self.problems])


@takes(ExportOptions)
def export(options: ExportOptions) -> ExportReport:
    """Write a generator as an ONNX file or, for this machine's GPU, a TensorRT engine.

    The result is compared with torch on pictures first; what lies beyond its precision's bound is not written.
    `Colorizer(weights=out)` colours with it.

    Returns:
        What was written and how far it is from torch.

    Raises:
        ValueError, FileNotFoundError, FileExistsError: bad weights, `out` or options, or a package that is not there.
        RuntimeError: the export differs from torch beyond the bound; nothing was written.

    Example:
        >>> export("default", "net.onnx").precision  # doctest: +SKIP
        'fp32'
    """
    out, precision = Path(options.out), options.precision
    if out.suffix not in (".onnx", ".engine"):
        raise ValueError(f"out: must end in .onnx or .engine, got {str(out)!r}")
    if precision is not None and precision not in (
        ("fp32", "fp16", "int8") if out.suffix == ".onnx" else tuple(DTYPES)
    ):
        choices = "fp32, fp16 or int8" if out.suffix == ".onnx" else "fp32, fp16 or bf16"
        raise ValueError(f"precision: must be {choices} for {out.suffix}, got {precision!r}")
    if out.exists() and not options.overwrite:
        raise FileExistsError(f"{out}: exists already; --overwrite (overwrite=True) replaces it")
    generator = load(options.weights)
    pictures = options.pictures
    gray = photographs() if pictures is None else read_pictures(Path(pictures), generator.trial_side)
    if out.suffix == ".engine":
        built = build_checked(generator, device_of(options.device), precision=precision, gray=gray)
        content, report = built.content, ExportReport(out, built.precision, built.parity, len(gray), built.problems)
    else:
        if precision == "int8" and len(gray) < 2 and not isinstance(generator.network, Exported):
            raise ValueError(f"pictures: int8 needs two, one to calibrate on and one to compare, got {pictures}")
        content, report = _onnx(generator, out, precision or "fp32", gray)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(out, content)
    return replace(report, truth="ONNX Runtime") if isinstance(generator.network, Exported) else report


def _onnx(generator: Generator, out: Path, precision: Precision, gray: Tensor) -> tuple[bytes, ExportReport]:
    """The file, within its precision's bound on the pictures. RuntimeError: it is beyond."""
    runs: list[Callable[[Tensor], Tensor]] = []
    if precision == "int8" and not isinstance(generator.network, Exported):
        content, gray = to_int8(generator, to_onnx(generator, "fp32"), gray[::2]), gray[1::2]
    else:
        content = to_onnx(generator, precision)
        if precision == "fp16" and not isinstance(generator.network, Exported):
            # On a CPU, ONNX Runtime rounds the weights but computes in float32; what overflows, overflows in torch.
            runs.append(InPrecision(generator.model, torch.float16))
    runs = [OnnxEngine(content), *runs]
    trial = Trial(generator, gray)
    for run in runs:
        parity = trial.compare(run)
        problem = parity.problem(precision)
        if problem is not None:
            raise RuntimeError(f"{out}: not written, because its {problem} ({parity})")
    return content, ExportReport(out, precision, parity, len(gray))
