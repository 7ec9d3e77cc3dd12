"""Exported networks in INT8, for CPUs that multiply 8-bit integers.

ONNX Runtime's static quantisation: Q/DQ around every operation but the first and last convolutions and what is said of
the whole picture, weights scaled for each channel by itself, activations for the least and the greatest value that some
pictures make them take. A last convolution that mixes channels alone becomes a product of rounded pixels and weights.
bench/results/int8.md says what else was tried.
"""

from __future__ import annotations

import contextlib
import json
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import ops
from ..models.generator import Generator
from . import proof
from .exported import describe
from .onnx import require_exporter
from .session import BY_PIXEL, runtime

# GroupNorm's statistics want float (and its reshaping comes out wrong), as do attention's shares, all below 1.
_IN_FLOAT = ("InstanceNormalization", "Softmax")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The library tells the root logger of steps that should be taken, and are."""

    def serious(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR

    logging.getLogger().addFilter(serious)  # which other loggers' records do not pass
    try:
        yield
    finally:
        logging.getLogger().removeFilter(serious)


def _first_in_int8(nodes: Sequence[Any], convolutions: list[int]) -> int:
    """The place of the first node to be rounded. What makes L the first convolution's input is not, or L would be
    rounded twice; nor are that convolution and a depthwise one behind it: few filters that look at one number each, on
    whose roundings all others stand. Of the default network's error in INT8 they alone would make four fifths."""
    groups = [a.i for i in convolutions[1:2] for a in nodes[i].attribute if a.name == "group"]
    return convolutions[1] + 1 if groups and groups[0] > 1 else convolutions[0]


def _of_the_whole(nodes: Sequence[Any]) -> list[str]:
    """The names of what is made of a mean over all places until maps take it in: a few numbers, whose rounding would
    shift every place. In the default network, of a picture that does not calibrate, it made three quarters of the
    logits' error."""
    found, whole = [], set[str]()
    for node in nodes:
        if node.op_type in ("ReduceMean", "GlobalAveragePool"):
            whole.update(node.output)
        elif node.op_type == "Conv" and node.input[0] in whole:
            found.append(node.name)
            whole.update(node.output)
        elif node.op_type == "Add" and whole.intersection(node.input):
            found.append(node.name)
    return found


def _multiply_pixels(onnx: Any, model: Any) -> None:
    """Make a last convolution of one pixel, whose input is rounded, a product of its pixels and rounded weights, where
    they lie; the answer, in float, lies pixel by pixel then, see `session.BY_PIXEL`.

    As a convolution in float with its answer brought back to planes it was a fifth of the default network.
    """
    graph, last = model.graph, model.graph.node[-1]
    weights = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    rounded = {node.output[0]: node for node in graph.node if node.op_type == "DequantizeLinear"}
    if last.op_type != "Conv" or len(last.input) != 3 or (source := rounded.get(last.input[0])) is None:
        return
    kernel, steps = weights[last.input[1]], {one.name: [one.i, *one.ints] for one in last.attribute}
    plain = {"group": [1], "strides": [0, 1, 1], "pads": 5 * [0]}
    if kernel.shape[2:] != (1, 1) or any(steps.get(name, due) != due for name, due in plain.items()):
        return
    by_column = kernel[:, :, 0, 0].T
    channels, bins = by_column.shape
    bias, of_pixels = weights[last.input[2]], weights[source.input[1]]
    # Of a bin with next to no weights a bias in so small steps would not fit into 32 bits.
    scale = np.maximum(np.abs(by_column).max(0) / 127, np.abs(bias) / (of_pixels * 2**30))
    scale = np.where(scale > 0, scale, 1).astype(np.float32)
    of_sums = scale * of_pixels
    constants = {
        "last_codes": np.round(by_column / scale).astype(np.int8),
        "last_scale": scale,
        "last_zero": np.zeros(bins, np.int8),  # where none is said, ONNX Runtime multiplies in float
        "last_bias_codes": np.round(bias / of_sums).astype(np.int32),
        "last_bias_scale": of_sums,
        "last_bias_zero": np.zeros(bins, np.int32),
        "last_row": np.array([-1, channels]),
    }
    graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in constants.items())
    make = onnx.helper.make_node
    nodes = [
        make("DequantizeLinear", ["last_codes", "last_scale", "last_zero"], ["last_weights"], axis=1),
        make("DequantizeLinear", ["last_bias_codes", "last_bias_scale", "last_bias_zero"], ["last_bias"], axis=0),
        make("Transpose", [source.input[0]], ["last_pixels"], perm=[0, 2, 3, 1]),
        make("Reshape", ["last_pixels", "last_row"], ["last_rows"]),
        make("DequantizeLinear", ["last_rows", *source.input[1:]], ["last_input"]),
        make("Gemm", ["last_input", "last_weights", "last_bias"], [BY_PIXEL]),
    ]
    graph.node.remove(last)
    if not any(last.input[0] in node.input for node in graph.node):
        graph.node.remove(source)
    graph.node.extend(nodes)
    for name in last.input[1:]:
        graph.initializer.remove(next(one for one in graph.initializer if one.name == name))
    del graph.output[:]
    value = onnx.helper.make_tensor_value_info(BY_PIXEL, onnx.TensorProto.FLOAT, ("pixels", bins))
    graph.output.append(value)


def to_int8(generator: Generator, content: bytes, gray: Tensor) -> bytes:
    """A network's ONNX file in float32 as one in INT8, float32 in and out, with metadata.

    Args:
        generator: whose network it is. content: its ONNX file. gray: (N, H, W) uint8, pictures at network size to
            calibrate on; two do as well as a hundred.

    Raises:
        ValueError: onnx, onnxscript or onnxruntime is not installed.
    """
    onnx, _ = require_exporter(), runtime()
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Pictures(CalibrationDataReader):
        def __init__(self) -> None:
            self._rows = iter(gray.split(1))

        def get_next(self) -> dict[str, object] | None:
            row = next(self._rows, None)
            return None if row is None else {"lightness": ops.luma_to_input(row, tuple(row.shape[1:])).numpy()}

    with _quiet(), tempfile.TemporaryDirectory() as folder:  # it takes and leaves files
        source, out = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(content)
        quant_pre_process(source, source, skip_symbolic_shape=True)
        nodes = onnx.load(source).graph.node
        # Logits in 256 steps would tie, and the most probable colour be the first of several.
        convolutions = [i for i, node in enumerate(nodes) if node.op_type == "Conv"]
        kept = [node.name for node in nodes[: _first_in_int8(nodes, convolutions)]] + _of_the_whole(nodes)
        kept += [nodes[convolutions[-1]].name, *(node.name for node in nodes if node.op_type in _IN_FLOAT)]
        quantize_static(
            source,
            out,
            Pictures(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=kept,
        )
        model = onnx.load(out)
    if generator.kind == "classifier":  # whose answers are wide
        _multiply_pixels(onnx, model)
    used = {node.domain for node in model.graph.node}
    opsets = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:], model.graph.value_info[:]
    model.opset_import.extend(opsets)
    facts = describe(generator, "int8", by_pixel=model.graph.output[0].name == BY_PIXEL)
    if generator.kind == "classifier":

        def in_torch(lightness: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                logits: np.ndarray = generator.model(torch.from_numpy(lightness)).float().numpy()
            return logits

        facts["answer"] = json.dumps(proof.answer(in_torch, facts))
    onnx.helper.set_model_props(model, facts)
    return model.SerializeToString()
