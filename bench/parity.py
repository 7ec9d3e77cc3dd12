"""How far every engine's results lie from torch's float32, for every network and precision that this machine runs.

`python -m bench.parity --save` writes bench/results/<machine>-parity.json, of which bench/table.py makes a table. The
figures are those of `fastcolor.engines.parity`, on the package's photographs, with its bounds. The default network has
its own weights, the others have fresh ones, whose BatchNorms have seen something.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fastcolor import models
from fastcolor.device import device_of
from fastcolor.engines.onnx import OnnxEngine
from fastcolor.engines.openvino import OpenVinoEngine
from fastcolor.engines.openvino import precisions as openvino_precisions
from fastcolor.engines.parity import BOUNDS, DTYPES, Trial, photographs
from fastcolor.engines.quantize import to_int8
from fastcolor.engines.tensorrt import TensorRtEngine, build, runtime, shapes_of
from fastcolor.engines.torch import TorchEngine, precisions
from fastcolor.engines.tracing import to_onnx
from fastcolor.engines.versions import versions
from fastcolor.models import weights
from fastcolor.models.generator import Generator, Precision
from fastcolor.palette import Palette

from . import timing
from .run import RESULTS, machine_name, write

LIBRARIES = ("onnx", "onnxruntime", "openvino", "tensorrt", "tensorrt_rtx")
Run = Callable[[Tensor], Tensor]


def network(name: str) -> Generator:
    if name == "default":
        given = weights.load(name)
        given.model.requires_grad_(False)
        return given
    torch.manual_seed(1)
    model = models.build(name)
    with torch.no_grad():
        model(torch.rand(2, 1, 2 * model.stride, 2 * model.stride) * 100)
    palette = Palette.grid() if model.kind == "classifier" else None
    model = model.eval().requires_grad_(False)
    return Generator.of(model, name, {}, palette, temperature=0.38, size=256, card={"weights": "fresh"})


def rows(given: Generator, device: torch.device) -> Iterator[dict[str, Any]]:
    """One network in every engine and precision: what was measured, or why nothing was."""
    files: dict[Precision, bytes] = {}
    # INT8 is compared on those that it was not calibrated on.
    on_all, on_half = Trial(given), Trial(given, photographs()[1::2])

    def onnx(precision: Precision) -> bytes:
        if precision not in files:
            int8 = precision == "int8"
            files[precision] = to_int8(given, onnx("fp32"), photographs()[::2]) if int8 else to_onnx(given, precision)
        return files[precision]

    def row(engine: str, precision: Precision, make: Callable[[], tuple[Run | None, dict[str, Any]]]) -> dict[str, Any]:
        relative, de_mean = BOUNDS[precision]
        said = {"network": given.name, "weights": given.card.get("weights", "its own"), "engine": engine}
        said |= {"precision": precision, "bound": {"relative": relative, "de_mean": de_mean}}
        try:
            run, facts = make()
            if run is None:
                return said | {"status": "built"} | facts
            trial = on_half if precision == "int8" else on_all
            parity = trial.compare(lambda lightness: run(lightness.to(device)))
        except ValueError as error:  # a package is not there
            return said | {"status": "not run", "problem": str(error)}
        except RuntimeError as error:
            return said | {"status": "refused", "problem": str(error).splitlines()[0]}
        problem = parity.problem(precision)
        # Which networks bear INT8 is what the table is to tell; from the others the export keeps it away.
        status = "refused" if problem is not None and precision == "int8" else "run"
        return said | {"status": status, "problem": problem} | facts | asdict(parity)

    for precision in sorted(precisions(device), reverse=True):
        yield row("torch", precision, lambda p=precision: (TorchEngine(given.model, device, DTYPES[p]), {}))
    if device.type == "cpu":
        for precision in ("fp32", "fp16", "int8"):
            yield row("onnx", precision, lambda p=precision: (OnnxEngine(onnx(p), p), megabytes(onnx(p))))
        for precision in precisions_of_openvino():
            body = "int8" if precision == "int8" else "fp32"
            yield row("openvino", precision, lambda p=precision, b=body: (OpenVinoEngine(onnx(b), p), {}))
    for precision in ("fp32", "fp16", "bf16"):
        yield row("tensorrt", precision, lambda p=precision: tensorrt(onnx(p), given, device, p))


def precisions_of_openvino() -> tuple[Precision, ...]:
    try:
        return (*reversed(openvino_precisions()), "int8")
    except ValueError:  # the row will say so
        return ("fp32",)


def tensorrt(
    onnx: bytes, given: Generator, device: torch.device, precision: Precision
) -> tuple[Run | None, dict[str, Any]]:
    """The engine, where there is a GPU, and what building took: TensorRT-RTX builds without one.

    Builds are not repeated, so the machine's load average (of runnable threads, over a minute) goes with the seconds.
    """
    library = runtime().__name__
    start = time.perf_counter()
    plan = build(onnx, shapes_of(given))
    facts = {"library": library, "build_s": time.perf_counter() - start, "load": os.getloadavg()[0], **megabytes(plan)}
    return (TensorRtEngine(plan, device, precision) if device.type == "cuda" else None), facts


def megabytes(content: bytes) -> dict[str, float]:
    return {"mb": len(content) / 1e6}


def text(row: dict[str, Any]) -> str:
    """One row for a terminal."""
    head = f"{row['network']:15}{row['engine']:9}{row['precision']:5}{row['status']:8}"
    if row["status"] == "run":
        bound = row["bound"]
        head += (
            f"relative {row['relative']:.1e} of {bound['relative']:g}, ab {row['ab_mean']:.1e} (at most "
            f"{row['ab_max']:.1e}), dE {row['de_mean']:.1e} of {bound['de_mean']:g}"
        )
    if "build_s" in row:
        head += f"  {row['library']}, {row['mb']:.1f} MB in {row['build_s']:.1f} s at load {row['load']:.1f}"
    return f"{head}  {row['problem']}" if row.get("problem") else head


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", nargs="*", default=models.names(), choices=models.names(), help="networks; all")
    parser.add_argument("--out", type=Path, help="file for the figures as JSON")
    parser.add_argument("--save", action="store_true", help="write bench/results/<machine>-parity.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    out = RESULTS / f"{machine_name()}-parity.json" if options.save else options.out
    facts = {"threads": options.threads, "device": options.device, "libraries": versions(LIBRARIES)}
    facts["command"] = " ".join(["python -m bench.parity", *sys.argv[1:]])
    results: dict[str, Any] = {"machine": timing.machine() | facts, "rows": []}
    for name in options.only:
        for row in rows(network(name), device_of(options.device)):
            results["rows"].append(row)
            print(text(row), flush=True)
            write(results, out)
    return 1 if any(row["status"] == "run" and row["problem"] for row in results["rows"]) else 0


if __name__ == "__main__":
    sys.exit(main())
