"""Exported networks in INT8, for CPUs that multiply 8-bit integers.

ONNX Runtime's static quantisation: Q/DQ around every operation but the first and last convolutions and what is said of
the whole picture, weights scaled for each channel by itself, activations for the least and the greatest value that some
pictures make them take.
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
from .session import runtime

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
    used = {node.domain for node in model.graph.node}
    opsets = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:], model.graph.value_info[:]
    model.opset_import.extend(opsets)
    facts = describe(generator, "int8")
    if generator.kind == "classifier":

        def in_torch(lightness: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                logits: np.ndarray = generator.model(torch.from_numpy(lightness)).float().numpy()
            return logits

        facts["answer"] = json.dumps(proof.answer(in_torch, facts))
    onnx.helper.set_model_props(model, facts)
    return model.SerializeToString()
