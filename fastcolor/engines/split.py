"""A network that follows hints as two ONNX files: what it sees in a picture, once, and its colours, for every hint."""

from __future__ import annotations

import copy
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from .. import ops
from ..models.generator import Generator
from ..models.hints import Encoded
from ..models.layers import fold_batch_norm
from .onnx import require_exporter
from .parity import photographs
from .session import runtime
from .tracing import quiet, uncollected

FEATURES = ("quarter", "things", "edges", "heard")  # of `Encoded`, what colours are made of
_BOUND = 0.05  # relative error of logits; of weights in 8 bits it is about 0.01
_MANY = 4096  # numbers of a convolution from which each of its filters is kept in 8 bits


def _used(features: Encoded) -> tuple[Tensor, ...]:
    return tuple(getattr(features, name) for name in FEATURES)


class _Features(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, lightness: Tensor) -> tuple[Tensor, ...]:
        return _used(self.model.features(lightness))


class _Colours(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, quarter: Tensor, things: Tensor, edges: Tensor, heard: Tensor, ab: Tensor, mask: Tensor
    ) -> Tensor:
        others = (quarter, quarter, quarter)  # which colours are not made of
        return cast("Tensor", self.model.colours(Encoded(quarter, *others, things, edges, heard), (ab, mask)))


@uncollected()
@torch.no_grad()
def split_onnx(generator: Generator) -> tuple[bytes, bytes]:
    """Both files, of one picture and any size. Large weights are kept in 8 bits; all arithmetic is float32.

    Returns:
        The first takes "lightness" and gives `FEATURES`; the second takes those, "ab" and "mask" at the size of the
        lightness, mask 0 where nothing is known, and gives "output".

    Raises:
        ValueError: the network follows no hints or never learnt to, or is an exported file; a package that exporting
            needs is not there.
        RuntimeError: the files do not give what torch does.
    """
    if "torch" not in generator.runs_on or not hasattr(generator.model, "features") or generator.stride != 32:
        raise ValueError(f"hints: need the default network in torch, got {generator.name}")
    generator.model.check_taught()
    require_exporter()
    model: Any = fold_batch_norm(copy.deepcopy(generator.model).eval().requires_grad_(False))
    dim = torch.export.Dim
    h, w = dim("h"), dim("w")

    def free(step: int) -> dict[int, Any]:
        return {2: 32 // step * h, 3: 32 // step * w}

    lightness = torch.rand(1, 1, 64, 96) * 100
    given = (torch.rand(1, 2, 64, 96) * 50, torch.ones(1, 1, 64, 96))
    seen = _used(model.features(lightness))
    # Before hints no size is baked in, and symbols would take five times as long.
    first = _in_8_bits(_traced(_Features(model), (lightness,), ("lightness",), FEATURES, None))
    kept = ("mix_4", "head", "hints")
    for name in [name for name, _ in model.named_children() if name not in kept]:
        setattr(model, name, nn.Identity())  # of which the exporter would make constants that nobody uses
    maps = tuple(free(step) for step in (4, 16, 4, 4))
    inputs = (*FEATURES, "ab", "mask")
    second = _in_8_bits(_traced(_Colours(model), (*seen, *given), inputs, ("output",), (*maps, free(1), free(1))))
    _compare(generator, first, second)
    return first, second


def _traced(
    module: nn.Module, given: tuple[Tensor, ...], inputs: tuple[str, ...], outputs: tuple[str, ...], shapes: Any
) -> Any:
    with quiet():
        program = torch.onnx.export(
            module,
            given,
            dynamo=True,
            opset_version=20,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=shapes,
            verbose=False,
        )
    assert program is not None  # with `dynamo`
    model = program.model_proto
    for node in (*model.graph.node, *(node for function in model.functions for node in function.node)):
        del node.metadata_props[:]
    for value in (*model.graph.input, *model.graph.output):
        for side in (2, 3):
            value.type.tensor_type.shape.dim[side].dim_param = f"{value.name}_{'hw'[side - 2]}"
    del model.graph.value_info[:]
    return model


def _in_8_bits(model: Any) -> bytes:
    """The file with the weights of its large convolutions in 8 bits, and a scale for each filter. Their product is a
    constant, which a runtime computes as it loads the file."""
    onnx = require_exporter()
    # Of some a part is cut out first.
    filters = {node.input[node.op_type == "Conv"] for node in model.graph.node if node.op_type in ("Conv", "Slice")}
    for tensor in list(model.graph.initializer):
        if tensor.name not in filters or len(tensor.dims) != 4 or int(np.prod(tensor.dims)) < _MANY:
            continue
        whole = onnx.numpy_helper.to_array(tensor)
        scale = np.abs(whole).max(axis=(1, 2, 3), keepdims=True).clip(1e-12) / 127
        name = tensor.name
        parts = {f"{name}.int8": np.rint(whole / scale).astype(np.int8), f"{name}.scale": scale.astype(np.float32)}
        model.graph.initializer.remove(tensor)
        model.graph.initializer.extend(onnx.numpy_helper.from_array(part, named) for named, part in parts.items())
        cast_ = onnx.helper.make_node("Cast", [f"{name}.int8"], [f"{name}.float"], to=onnx.TensorProto.FLOAT)
        product = onnx.helper.make_node("Mul", [f"{name}.float", f"{name}.scale"], [name])
        model.graph.node.insert(0, product)
        model.graph.node.insert(0, cast_)
    return bytes(model.SerializeToString())


def _compare(generator: Generator, first: bytes, second: bytes) -> None:
    """RuntimeError: of a photograph of another size, with hints or without, the files do not give what torch does."""
    sessions = runtime().InferenceSession
    features, colours = (sessions(one, providers=["CPUExecutionProvider"]) for one in (first, second))
    lightness = ops.luma_to_input(photographs()[:1, :192], (192, 256))
    noise = torch.Generator().manual_seed(0)
    ab = torch.rand(1, 2, 192, 256, generator=noise) * 60 - 30
    some = (torch.rand(1, 1, 192, 256, generator=noise) > 0.98).float()
    for mask in (some, 0 * some):
        truth = generator.model(lightness, (ab, mask))
        seen = features.run(None, {"lightness": lightness.numpy()})
        given = {**dict(zip(FEATURES, seen, strict=True)), "ab": ab.numpy(), "mask": mask.numpy()}
        found = torch.from_numpy(colours.run(None, given)[0])
        error = float((found - truth).norm() / truth.norm())
        if found.shape != truth.shape or not error <= _BOUND:
            raise RuntimeError(f"hints: the exported network differs from torch by {error:.2g}")
