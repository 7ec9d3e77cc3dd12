#!/bin/sh
# torch.onnx.export fails at scaled_dot_product_attention of three dimensions, which torch itself takes.
#
# Versions: torch 2.13.0 on a CPU, onnx 1.23.2, onnxscript 0.7.2.
# Expected: query, key and value (batch, length, width) export as those with a dimension of heads between do; the page of
#   F.scaled_dot_product_attention gives their shapes as (N, ..., L, E), where "..." may be nothing.
# What happens: torch runs both and gives the same numbers; the exporter (dynamo=True) translates the one with heads, and
#   fails at the other.
# Who meets it: who exports attention of one head written without heads, as in self-attention of pictures (SAGAN,
#   DeOldify). A dimension of size 1 is the way round it.
# Seen here:
#   torch: with and without heads the same: True
#   with heads: exported
#   without heads: ConversionError, Error when translating node %scaled_dot_product_attention
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5 onnx==1.23.2 onnxscript==0.7.2
cat > "$folder/attention.py" <<'PYTHON'
import logging
import warnings

import torch
from torch.nn.functional import scaled_dot_product_attention

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)


class Attention(torch.nn.Module):
    def __init__(self, heads):
        super().__init__()
        self.heads = heads

    def forward(self, x):
        if self.heads:
            x = x[:, None]
        y = scaled_dot_product_attention(x, x, x, scale=1.0)
        return y[:, 0] if self.heads else y


x = torch.rand(2, 96, 16)
print("torch: with and without heads the same:", torch.allclose(Attention(True)(x), Attention(False)(x)))
for heads in (True, False):
    name = "with heads" if heads else "without heads"
    try:
        torch.onnx.export(Attention(heads).eval(), (x,), dynamo=True, opset_version=20, verbose=False)
        print(f"{name}: exported")
    except Exception as error:
        cause = error.__cause__ or error
        print(f"{name}: {type(cause).__name__},", str(cause).split(" :")[0].splitlines()[0])
PYTHON
"$folder/venv/bin/python" "$folder/attention.py" 2>/dev/null | tee "$folder/seen"
sed -n '/^# Seen here:/,/^set/s/^#   //p' "$0" > "$folder/wanted"
cmp "$folder/seen" "$folder/wanted"
