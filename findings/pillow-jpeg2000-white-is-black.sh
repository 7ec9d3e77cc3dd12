#!/bin/sh
# Pillow reads white of a 16-bit JPEG 2000 in colour as black, and an opaque picture as a clear one.
#
# Versions: Pillow 13.0.0 (OpenJPEG in its wheel), imagecodecs 2026.3.6 as encoder and as the other decoder.
# Expected: 65535 of 65535 becomes 255 of 255.
# What happens: samples are shifted to 8 bits with half a step added first, which runs over at the top: codes from 65408 on
#   become 0. Gray without alpha keeps its 16 bits and is right.
# Who meets it: whoever opens scans of archives, which are JPEG 2000 with 16 bits as often as not: paper, skies and
#   highlights turn black.
# Seen here:
#   RGB: black (0, 0, 0), 65407 (255, 255, 255), white (0, 0, 0); the other decoder gives 65535
#   LA: black (0, 0), 65407 (255, 0), white (0, 0); the other decoder gives 65535
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0 imagecodecs==2026.3.6 numpy==2.3.5
cat > "$folder/white.py" <<'PYTHON'
import io

import imagecodecs
import numpy as np
from PIL import Image

levels = np.array([0, 65407, 65535], np.uint16).repeat(16)[None].repeat(16, axis=0)
opaque = np.full_like(levels, 65535)
for mode, planes in (("RGB", [levels] * 3), ("LA", [levels, opaque])):
    data = imagecodecs.jpeg2k_encode(np.dstack(planes), level=0, reversible=True, codecformat="jp2")
    image = Image.open(io.BytesIO(data))
    image.load()
    black, bright, white = (image.getpixel((16 * i + 8, 8)) for i in range(3))
    other = imagecodecs.jpeg2k_decode(data)[8, 40, 0]
    print(f"{image.mode}: black {black}, 65407 {bright}, white {white}; the other decoder gives {other}")
PYTHON
seen=$("$folder/venv/bin/python" "$folder/white.py")
echo "$seen"
[ "$seen" = "$(sed -n 's/^#   \(RGB\|LA\): /\1: /p' "$0")" ] || { echo "something has changed"; exit 1; }
