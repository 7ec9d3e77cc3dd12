"""Generators as ONNX files and TensorRT engines that carry all that is needed to colour with them.

The precision is the graph's own: float32 (opset 20), or a float16 or bfloat16 body between casts (opset 21), which
strongly typed TensorRT builds as it stands, or INT8 for CPUs (`quantize`). BatchNorm is folded; batch, height
and width are free.
"""

from __future__ import annotations

import contextlib
import copy
import gc
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..atomic import write_bytes
from ..models import weights as weights_files
from ..models.layers import fold_batch_norm
from ..models.weights import Weights
from ..palette import Palette
from .exported import FORMAT, Network, TakesLong, describe
from .onnx import require_onnx
from .parity import BOUNDS, DTYPES, Parity, Precision, compare, photographs, read_pictures, side_of


@dataclass(frozen=True)
class ExportReport:
    """What was written. `problems`: precisions that were tried and left, and why."""

    path: Path
    precision: Precision
    parity: Parity
    pictures: int
    problems: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.path}: {self.precision}, {self.path.stat().st_size / 1e6:.1f} MB"]
        lines.append(f"  against torch float32 on {self.pictures} pictures: {self.parity}")
        return "\n".join(lines + [f"  not {problem}" for problem in self.problems])


def export(
    weights: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    precision: Precision | None = None,
    pictures: str | os.PathLike[str] | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> ExportReport:
    """Write a generator as an ONNX file or, for this machine's GPU, a TensorRT engine.

    The result is compared with torch on pictures first; what lies beyond its precision's bound is not written.
    `Colorizer(weights=out)` colours with it.

    Args:
        weights: a name or file as `Colorizer` takes it. out: ends in `.onnx` or `.engine`.
        precision: of the network's body; input and output are float32. None: fp32 in `.onnx`; in `.engine` the first
            of fp16, bf16 and fp32 within its bound. bf16 is for `.engine` alone: no CPU runs it to be compared; int8 is
            for `.onnx`, on CPUs with VNNI.
        pictures: what to compare on, as `fastcolor.train` takes data; None: four photographs of the package. For int8
            every second one calibrates and the others are compared.
        device: of a `.engine`. overwrite: replace an existing `out`.

    Returns:
        What was written and how far it is from torch.

    Raises:
        ValueError, FileNotFoundError, FileExistsError: bad weights, `out` or options, or a package that is not there.
        RuntimeError: the export differs from torch beyond the bound; nothing was written.

    Example:
        >>> export("default", "net.onnx").precision  # doctest: +SKIP
        'fp32'
    """
    out = Path(out)
    if out.suffix not in (".onnx", ".engine"):
        raise ValueError(f"out: must end in .onnx or .engine, got {str(out)!r}")
    if precision is not None and precision not in (
        ("fp32", "fp16", "int8") if out.suffix == ".onnx" else tuple(DTYPES)
    ):
        choices = "fp32, fp16 or int8" if out.suffix == ".onnx" else "fp32, fp16 or bf16"
        raise ValueError(f"precision: must be {choices} for {out.suffix}, got {precision!r}")
    if out.exists() and not overwrite:
        raise FileExistsError(f"{out}: exists already; --overwrite (overwrite=True) replaces it")
    loaded = weights_files.load(weights) if Path(weights).suffix not in (".onnx", ".engine") else load(weights)
    gray = photographs() if pictures is None else read_pictures(Path(pictures), side_of(loaded))
    if out.suffix == ".engine":
        from ..device import device_of
        from . import tensorrt as trt

        built = trt.build_checked(loaded, device_of(device), precision=precision, gray=gray)
        content, precision, parity, problems = built.content, built.precision, built.parity, built.problems
    else:
        from .onnx import OnnxEngine

        precision, problems = precision or "fp32", ()
        if precision == "int8" and not isinstance(loaded.model, Network):
            from .quantize import to_int8

            if len(gray) < 2:
                raise ValueError(f"pictures: int8 needs two, one to calibrate on and one to compare, got {pictures}")
            content, gray = to_int8(loaded, to_onnx(loaded, "fp32"), gray[::2]), gray[1::2]
        else:
            content = to_onnx(loaded, precision)
        runs: list[Callable[[Tensor], Tensor]] = [OnnxEngine(content)]
        if precision == "fp16" and not isinstance(loaded.model, Network):
            # On a CPU, ONNX Runtime rounds the weights but computes in float32; what overflows, overflows in torch.
            runs.append(_Body(loaded.model, torch.float16))
        for run in runs:
            parity = compare(run, loaded, gray)
            problem = parity.problem(precision)
            if problem is not None:
                raise RuntimeError(f"{out}: not written, because its {problem} ({parity})")
    out.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(out, content)
    return ExportReport(out, precision, parity, len(gray), problems)


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """The exporter makes millions of objects; looking for cycles among them would take a quarter of its time."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@_uncollected()
def to_onnx(weights: Weights, precision: Precision, *, quick: bool = False) -> bytes:
    """The network as an ONNX file with metadata, run once at sizes that it was not traced at (but for bf16).

    Args:
        quick: take about two seconds, or raise TakesLong.

    Raises:
        ValueError: onnx, onnxscript or onnxruntime is not installed, or the weights are an exported file already.
        RuntimeError: the graph does not give what torch does.
    """
    if isinstance(weights.model, Network):
        if weights.model.precision != precision:
            raise ValueError(
                f"weights: an exported {weights.model.precision} file cannot become {precision}; export the original"
            )
        return weights.model.content
    onnx = require_onnx()
    # Tracing with symbols takes ten times as long, and many networks bake no size in: try numbers, free them, see.
    # What no CPU runs is traced as its float32 twin needs it.
    tried: Precision = "fp32" if precision == "bf16" else precision
    model = _free_sizes(_trace(weights, tried, symbolic=False))
    symbolic = _problem_elsewhere(model, weights, tried) is not None
    if symbolic:
        if quick:
            raise TakesLong("exporting this network takes long")
        model = _trace(weights, tried, symbolic=True)
        problem = _problem_elsewhere(model, weights, tried)
        if problem is not None:
            raise RuntimeError(f"the exported graph differs from torch: {problem}")
    if precision != tried:
        model = _trace(weights, precision, symbolic=symbolic)
        model = model if symbolic else _free_sizes(model)
    for node in (*model.graph.node, *(node for function in model.functions for node in function.node)):
        del node.metadata_props[:]  # source files and lines of the machine that traced it
    onnx.helper.set_model_props(model, describe(weights, precision))
    return model.SerializeToString()


class _Body(nn.Module):
    """The network in its export precision, float32 in and out."""

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.model = fold_batch_norm(copy.deepcopy(model).eval().requires_grad_(False)).to(dtype)

    def forward(self, lightness: Tensor) -> Tensor:
        return self.model(lightness).float()


def _trace(weights: Weights, precision: Precision, *, symbolic: bool) -> Any:
    """The graph as the exporter gives it: of batch 2 and one height and width, or of any."""
    side: int = weights.model.stride  # type: ignore[assignment]
    shapes = None
    if symbolic:
        dim = torch.export.Dim
        shapes = ({0: dim("n"), 2: side * dim("h"), 3: side * dim("w")},)
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                _Body(weights.model, DTYPES[precision]),
                (torch.rand(2, 1, 2 * side, 3 * side) * 100,),
                dynamo=True,
                opset_version=20 if precision == "fp32" else 21,
                input_names=["lightness"],
                output_names=["output"],
                dynamic_shapes=shapes,
                verbose=False,
            )
    except Exception as error:  # of several libraries
        reason = next(filter(None, map(str.strip, str(error.__cause__ or error).splitlines())), type(error).__name__)
        raise RuntimeError(f"the network cannot be exported: {reason}") from None
    return program.model_proto


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells of every package that it could have used."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _free_sizes(model: Any) -> Any:
    names = {"lightness": ("n", None, "h", "w"), "output": ("n", None, "h_out", "w_out")}
    for value in (*model.graph.input, *model.graph.output):
        for dim, name in zip(value.type.tensor_type.shape.dim, names[value.name], strict=True):
            if name is not None:
                dim.dim_param = name
    del model.graph.value_info[:]
    return model


@torch.inference_mode()
def _problem_elsewhere(model: Any, weights: Weights, precision: Precision) -> str | None:
    """What goes wrong at other batch sizes, heights and widths than were traced, or None."""
    from .onnx import OnnxEngine

    side: int = weights.model.stride  # type: ignore[assignment]
    noise = torch.Generator().manual_seed(0)
    try:
        run = OnnxEngine(model.SerializeToString())
        for shape in ((1, 1, 4 * side, 2 * side), (3, 1, 2 * side, 2 * side)):
            lightness = torch.rand(shape, generator=noise) * 100
            truth, output = weights.model(lightness).float(), run(lightness)
            relative = float((output - truth).norm() / truth.norm().clamp(min=1e-6))
            if output.shape != truth.shape or not relative <= BOUNDS[precision][0]:
                return f"relative error {relative:.2g} at {shape}"
    except Exception as error:  # the runtime's own types, which it does not export
        return str(error).splitlines()[0]
    return None


def load(path: str | os.PathLike[str]) -> Weights:
    """Read a `.onnx` or `.engine` file that `export` wrote.

    Returns:
        Weights whose network is a `Network`.

    Raises:
        ValueError: not such a file, or ONNX Runtime is not installed. FileNotFoundError: no such file.
    """
    from . import onnx as ort
    from . import tensorrt as trt

    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"weights: no such file: {path}")
    content, on_cpu = path.read_bytes(), path.suffix == ".onnx"
    try:
        description = ort.metadata(content) if on_cpu else trt.unpack(content)[0]["network"]
    except RuntimeError as error:
        raise ValueError(f"weights: {path} is not an ONNX file or is damaged ({error})") from None
    except (LookupError, trt.NotAnEngine) as error:
        raise ValueError(f"weights: {path} is {error}") from None
    if description.get("format") != FORMAT:
        raise ValueError(f"weights: {path} is an ONNX file, but not one of fastcolor's (no {FORMAT} in its metadata)")
    try:
        points = json.loads(description["palette"])
        network = Network(
            content, description["precision"], description["kind"], int(description["stride"]), on_cpu=on_cpu
        )
        return Weights(
            model=network.eval(),
            name=description["model"],
            options=json.loads(description["options"]),
            palette=None if points is None else Palette(torch.tensor(points)),
            temperature=float(description["temperature"]),
            saturation=float(description["saturation"]),
            size=int(description["size"]),
            card=json.loads(description["card"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"weights: {path} does not fit this version of fastcolor ({error})") from None
