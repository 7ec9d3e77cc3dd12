#!/bin/sh
# torch's antialiased resize gives one value, repeated, for float pictures that are one pixel wide.
#
# Versions: torch 2.13.0 on a CPU.
# Expected: a column of ten pixels shrunk to five is the same column, whether it stands alone or repeated to a wide picture.
# What happens: F.interpolate(..., antialias=True) in float32 and float64, bilinear and bicubic, shrinking and enlarging, fills
#   the whole column with its first result. uint8 is right, and so is the plane laid on its side.
# Who meets it: who resizes signals, masks or feature maps of one column; tests with small planes; no error is raised.
# Seen here:
#   bilinear 10 -> 5: alone 2.43 2.43 2.43 2.43 2.43, in a wide picture 2.43 6 10 14 17.6
#   bilinear 10 -> 20: alone 1 1 1 1 1, in a wide picture 1 1.5 2.5 3.5 4.5
#   bicubic 10 -> 5: alone 2.09 2.09 2.09 2.09 2.09, in a wide picture 2.09 5.92 10 14.1 17.9
#   bilinear 10 -> 5, uint8: alone 2 6 10 14 18, in a wide picture 2 6 10 14 18
#   bilinear 10 -> 5, on its side: alone 2.43 6 10 14 17.6, in a wide picture 2.43 6 10 14 17.6
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.3.5
cat > "$folder/resize.py" <<'PYTHON'
import torch
from torch.nn.functional import interpolate

column = torch.arange(1.0, 20, 2).view(1, 1, 10, 1)  # 1, 3, ... 19


def tell(name, to, mode="bilinear", dtype=torch.float32, turn=False):
    seen = []
    for width in (1, 4):
        picture = column.expand(1, 1, 10, width).to(dtype).contiguous()
        picture = picture.mT.contiguous() if turn else picture
        small = interpolate(picture, size=(width, to) if turn else (to, width), mode=mode, antialias=True)
        small = small.mT if turn else small
        seen.append(" ".join(f"{value:.3g}" for value in small[0, 0, :5, 0].tolist()))
    print(f"{name}: alone {seen[0]}, in a wide picture {seen[1]}")


tell("bilinear 10 -> 5", 5)
tell("bilinear 10 -> 20", 20)
tell("bicubic 10 -> 5", 5, "bicubic")
tell("bilinear 10 -> 5, uint8", 5, dtype=torch.uint8)
tell("bilinear 10 -> 5, on its side", 5, turn=True)
PYTHON
"$folder/venv/bin/python" "$folder/resize.py" | tee "$folder/seen"
sed -n 's/^#   \(bi.*: alone\)/\1/p' "$0" > "$folder/wanted"
cmp "$folder/seen" "$folder/wanted"
