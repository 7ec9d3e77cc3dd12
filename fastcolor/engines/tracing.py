"""Generators traced to ONNX graphs: BatchNorm folded; batch, height and width free.

The precision is the graph's own: float32 (opset 20), or a float16 or bfloat16 body between casts (opset 21), which
strongly typed TensorRT builds as it stands.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ..models.generator import Generator, Precision
from ..models.layers import fold_batch_norm, shared_copy
from .exported import Exported, describe
from .onnx import OnnxEngine, require_exporter
from .parity import BOUNDS, DTYPES


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """The exporter makes millions of objects; looking for cycles among them would take a quarter of its time."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def to_onnx(generator: Generator, precision: Precision) -> bytes:
    """The network as an ONNX file with metadata, run once at sizes that it was not traced at (but for bf16).

    Raises:
        ValueError: onnx or onnxscript is not installed, or the generator is an exported file of another precision.
        RuntimeError: the graph does not give what torch does.
    """
    content = quick_onnx(generator, precision)
    return content if content is not None else _symbolic(generator, precision)


@uncollected()
def quick_onnx(generator: Generator, precision: Precision) -> bytes | None:
    """`to_onnx` in about two seconds; None of a network that only symbols describe, which take ten times as long: many
    bake no size in, so numbers are traced, freed, and tried elsewhere. `bakes_sizes` says of a network that it does."""
    if isinstance(generator.network, Exported):
        if generator.precision != precision:
            raise ValueError(
                f"weights: an exported {generator.precision} file cannot become {precision}; export the original"
            )
        return generator.network.content
    require_exporter()
    if getattr(generator.model, "bakes_sizes", False):
        return None
    tried = _tried(precision)
    model = _free_sizes(_trace(generator, tried, symbolic=False))
    if _problem_elsewhere(model, generator, tried) is not None:
        return None
    if precision != tried:
        model = _free_sizes(_trace(generator, precision, symbolic=False))
    return _finished(model, generator, precision)


@uncollected()
def _symbolic(generator: Generator, precision: Precision) -> bytes:
    tried = _tried(precision)
    model = _trace(generator, tried, symbolic=True)
    problem = _problem_elsewhere(model, generator, tried)
    if problem is not None:
        raise RuntimeError(f"the exported graph differs from torch: {problem}")
    if precision != tried:
        model = _trace(generator, precision, symbolic=True)
    return _finished(model, generator, precision)


def _tried(precision: Precision) -> Precision:
    """What is run here for it: no CPU runs bfloat16, which is traced as its float32 twin needs it."""
    return "fp32" if precision == "bf16" else precision


def _finished(model: Any, generator: Generator, precision: Precision) -> bytes:
    """The file, without the source files and lines of the machine that traced it."""
    for node in (*model.graph.node, *(node for function in model.functions for node in function.node)):
        del node.metadata_props[:]
    require_exporter().helper.set_model_props(model, describe(generator, precision))
    return model.SerializeToString()


class InPrecision(nn.Module):
    """The network in its export precision, float32 in and out."""

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.model = fold_batch_norm(shared_copy(model)).to(dtype)

    def forward(self, lightness: Tensor) -> Tensor:
        return self.model(lightness).float()


def _trace(generator: Generator, precision: Precision, *, symbolic: bool) -> Any:
    """The graph as the exporter gives it: of batch 2 and one height and width, or of any."""
    side = generator.stride
    shapes = None
    if symbolic:
        dim = torch.export.Dim
        shapes = ({0: dim("n"), 2: side * dim("h"), 3: side * dim("w")},)
    try:
        with quiet(), torch.no_grad():
            program = torch.onnx.export(
                InPrecision(generator.model, DTYPES[precision]),
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
    assert program is not None  # with `dynamo`
    return program.model_proto


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The exporter tells of every package that it could have used, and of every step of its optimiser that it left."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
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
def _problem_elsewhere(model: Any, generator: Generator, precision: Precision) -> str | None:
    """What goes wrong at other batch sizes, heights and widths than were traced, or None."""
    side = generator.stride
    noise = torch.Generator().manual_seed(0)
    try:
        run = OnnxEngine(model.SerializeToString())
        for shape in ((1, 1, 4 * side, 2 * side), (3, 1, 2 * side, 2 * side)):
            lightness = torch.rand(shape, generator=noise) * 100
            truth, output = generator.model(lightness).float(), run(lightness)
            relative = float((output - truth).norm() / truth.norm().clamp(min=1e-6))
            if output.shape != truth.shape or not relative <= BOUNDS[precision][0]:
                return f"relative error {relative:.2g} at {shape}"
    except Exception as error:  # the runtime's own types, which it does not export
        return str(error).splitlines()[0]
    return None
