#!/bin/sh
# ONNX Runtime adds a quantised Gemm's bias in another scale than the file states; a convolution's it does not.
#
# Versions: onnxruntime 1.31.1 on a CPU, onnx 1.23.2.
# Expected: a bias of 32-bit codes with a DequantizeLinear of its own means codes times the scale stated there, whatever
#   that is, before optimisation and behind it.
# What happens: Q/DQ round a Gemm become QGemm, whose bias has the scale of the input times that of the weights. The one
#   that the file states is dropped without a comparison, and a bias in steps three times as large counts for a third.
#   Nothing is said; with optimisation switched off the answer is right. Convolutions are compared, and left as they are
#   where scales differ.
# Who meets it: who writes Q/DQ by a tool or by hand that chooses the bias' scale by the bias, as for the last layer of a
#   network whose weights are small: classes come out likelier or less likely than they are.
# Seen here:
#   Gemm, scale of the sums: right
#   Gemm, three times as large: wrong, by more than 1
#   Conv, scale of the sums: right
#   Conv, three times as large: right
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check onnxruntime==1.31.1 onnx==1.23.2 numpy==2.3.5
cat > "$folder/bias.py" <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

OFF, ON = (getattr(onnxruntime.GraphOptimizationLevel, f"ORT_{which}_ALL") for which in ("DISABLE", "ENABLE"))


def answers(kind, times):
    """Of one product, without and with optimisation. times: the bias' scale, beside that of the sums."""
    random = np.random.default_rng(0)
    ends, weights = ((1, 1), (48, 64, 1, 1)) if kind == "Conv" else ((), (64, 48))
    held = {
        "x_scale": np.float32(0.02), "x_zero": np.uint8(3), "w": random.integers(-127, 128, weights).astype(np.int8),
        "w_scale": np.float32(0.01), "w_zero": np.int8(0), "b": random.integers(-9999, 9999, 48).astype(np.int32),
        "b_scale": np.float32(times) * np.float32(0.02) * np.float32(0.01), "b_zero": np.int32(0),
        "y_scale": np.float32(0.5), "y_zero": np.uint8(128),
    }
    nodes = [helper.make_node("DequantizeLinear", [n, f"{n}_scale", f"{n}_zero"], [f"{n}_float"]) for n in "xwb"]
    nodes += [
        helper.make_node(kind, ["x_float", "w_float", "b_float"], ["exact"]),
        helper.make_node("QuantizeLinear", ["exact", "y_scale", "y_zero"], ["codes"]),
        helper.make_node("DequantizeLinear", ["codes", "y_scale", "y_zero"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "product", [helper.make_tensor_value_info("x", TensorProto.UINT8, ("n", 64, *ends))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n", 48, *ends))],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in held.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    pixels = random.integers(0, 256, (50, 64, *ends)).astype(np.uint8)
    found = []
    for level in (OFF, ON):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = level
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        found.append(session.run(None, {"x": pixels})[0])
    return found


for kind in ("Gemm", "Conv"):
    for times, name in ((1, "scale of the sums"), (3, "three times as large")):
        without, with_it = answers(kind, times)
        apart = float(np.abs(without - with_it).max())  # a step of the answer's codes is 0.5
        print(f"{kind}, {name}:", "right" if apart <= 0.5 else f"wrong, by {'more' if apart > 1 else 'less'} than 1")
PYTHON
"$folder/venv/bin/python" "$folder/bias.py" | tee "$folder/seen"
cat > "$folder/wanted" <<'WANTED'
Gemm, scale of the sums: right
Gemm, three times as large: wrong, by more than 1
Conv, scale of the sums: right
Conv, three times as large: right
WANTED
cmp "$folder/seen" "$folder/wanted"
