#!/bin/sh
# ONNX Runtime runs a quantised Gemm in float where DequantizeLinear leaves out the zero points, which are then 0.
#
# Versions: onnxruntime 1.31.1 on a CPU, onnx 1.23.2.
# Expected: x_zero_point of DequantizeLinear is optional and 0 where it is left out, so with and without it a graph means
#   the same, and weights and bias that are symmetric, as they mostly are, need none.
# What happens: Q/DQ round a Gemm whose weights and bias state zero points of 0 become QGemm, in 8-bit integers. Without
#   them the weights are made float when the file is loaded and the Gemm runs in float, without a word: a file that was
#   quantised for speed is as slow as one that was not. The answers differ by roundings alone.
# Who meets it: who writes Q/DQ by hand or with a tool that leaves out zero points, for the last layer of a network, whose
#   answer stays float.
# Seen here:
#   zero points stated: DequantizeLinear, Gemm -> QGemm
#   left out: DequantizeLinear, Gemm -> DequantizeLinear, Gemm
#   the same to 1e-3 of their largest: True
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check onnxruntime==1.31.1 onnx==1.23.2 numpy==2.3.5
cat > "$folder/gemm.py" <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

rng = np.random.default_rng(0)
scale = rng.uniform(0.001, 0.002, 48).astype(np.float32)
codes = {
    "x_scale": np.float32(0.02), "x_zero": np.uint8(3), "w": rng.integers(-127, 128, (64, 48)).astype(np.int8),
    "w_scale": scale, "w_zero": np.zeros(48, np.int8), "b": rng.integers(-9999, 9999, 48).astype(np.int32),
    "b_scale": np.float32(0.02) * scale, "b_zero": np.zeros(48, np.int32),
}
pixels = rng.integers(0, 256, (500, 64)).astype(np.uint8)


def run(stated):
    """The kinds of nodes before and after optimisation, and the answer."""
    nodes = [helper.make_node("DequantizeLinear", ["x", "x_scale", "x_zero"], ["xf"])]
    for name, axis in (("w", 1), ("b", 0)):
        given = [name, f"{name}_scale"] + [f"{name}_zero"] * stated
        nodes.append(helper.make_node("DequantizeLinear", given, [f"{name}f"], axis=axis))
    nodes.append(helper.make_node("Gemm", ["xf", "wf", "bf"], ["y"]))
    graph = helper.make_graph(
        nodes, "gemm", [helper.make_tensor_value_info("x", TensorProto.UINT8, ("n", 64))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n", 48))],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in codes.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = f"{sys.argv[1]}/seen.onnx"
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    after = onnx.load(options.optimized_model_filepath).graph.node
    kinds = [", ".join(sorted({node.op_type for node in some})) for some in (nodes, after)]
    return " -> ".join(kinds), session.run(None, {"x": pixels})[0]


(stated, one), (left, other) = run(True), run(False)
print("zero points stated:", stated)
print("left out:", left)
print("the same to 1e-3 of their largest:", bool(np.abs(one - other).max() < 1e-3 * np.abs(other).max()))
PYTHON
"$folder/venv/bin/python" "$folder/gemm.py" "$folder" | tee "$folder/seen"
cat > "$folder/wanted" <<'WANTED'
zero points stated: DequantizeLinear, Gemm -> QGemm
left out: DequantizeLinear, Gemm -> DequantizeLinear, Gemm
the same to 1e-3 of their largest: True
WANTED
cmp "$folder/seen" "$folder/wanted"
