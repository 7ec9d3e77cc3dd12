#!/bin/sh
# Pillow opens an uncompressed TIFF of 16-bit colour in planes ("per channel") as 8-bit colour, and shows noise.
#
# Versions: Pillow 13.0.0, tifffile 2026.3.3 as writer and as the other reader.
# Expected: the picture, or an error.
# What happens: no error. Of each plane the first half of the bytes is taken for 8-bit pixels, low and high bytes in turn.
# Who meets it: whoever opens scans that Photoshop or a scanner saved "per channel".
# Seen here:
#   interleaved: mode RGB, mean error 0
#   planes: mode RGB, mean error 64
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0 tifffile==2026.3.3 numpy==2.3.5
cat > "$folder/planes.py" <<'PYTHON'
import sys

import numpy as np
import tifffile
from PIL import Image

folder = sys.argv[1]
gray = (np.arange(256, dtype=np.uint16) * 257)[None].repeat(64, axis=0)
rgb = np.dstack([gray, gray[:, ::-1], gray])
for name, samples, options in (("interleaved", rgb, {}), ("planes", np.moveaxis(rgb, -1, 0), {"planarconfig": "separate"})):
    tifffile.imwrite(f"{folder}/{name}.tif", samples, photometric="rgb", **options)
    assert np.array_equal(tifffile.imread(f"{folder}/{name}.tif"), samples)
    image = Image.open(f"{folder}/{name}.tif")
    error = np.abs(np.asarray(image).astype(int) - (rgb >> 8)).mean()
    print(f"{name}: mode {image.mode}, mean error {error:.0f}")
PYTHON
seen=$("$folder/venv/bin/python" "$folder/planes.py" "$folder")
echo "$seen"
[ "$seen" = "$(sed -n 's/^#   \(interleaved\|planes\): /\1: /p' "$0")" ] || { echo "something has changed"; exit 1; }
