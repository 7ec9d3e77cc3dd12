#!/bin/sh
# Pillow opens uncompressed TIFFs of YCbCr without looking at their reference levels, and takes subsampled ones for truncated.
#
# Versions: Pillow 13.0.0, imagecodecs 2026.3.6 (libtiff) as the other reader.
# Expected: black and white where ReferenceBlackWhite has them, 16 and 235 here (TIFF 6.0, section 21); and 4:2:0 read.
# What happens: of video levels no error, black at 16 and white at 235; of 4:2:0 "image file is truncated", of a whole file.
# Who meets it: whoever opens frame grabs and scans of video, which are stored so.
# Seen here:
#   4:4:4 of levels 16 to 235: Pillow 16 to 235, libtiff 0 to 255
#   4:2:0 of levels 0 to 255: Pillow image file is truncated (0 bytes not processed), libtiff 0 to 255
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0 imagecodecs==2026.3.6 numpy==2.3.5
cat > "$folder/levels.py" <<'PYTHON'
import struct
import sys
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image

SIDE = 16
path = Path(sys.argv[1], "a.tif")


def tiff(pixels: bytes, subsampling: int, black: int, white: int) -> bytes:
    """One strip; the values that do not fit into the directory stand between it and the pixels."""
    levels = [black, 1, white, 1, 128, 1, 240 if black else 255, 1, 128, 1, 240 if black else 255, 1]
    count = 11
    bits, reference = 8 + 2 + 12 * count + 4, 8 + 2 + 12 * count + 4 + 6
    start = reference + 48
    entries = [
        (256, 4, 1, SIDE), (257, 4, 1, SIDE), (258, 3, 3, bits), (259, 3, 1, 1), (262, 3, 1, 6), (273, 4, 1, start),
        (277, 3, 1, 3), (278, 4, 1, SIDE), (279, 4, 1, len(pixels)), (530, 3, 2, subsampling << 16 | subsampling),
        (532, 5, 6, reference),
    ]
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    head = b"II*\0" + struct.pack("<IH", 8, count) + directory + bytes(4)
    return head + struct.pack("<3H", 8, 8, 8) + struct.pack("<12I", *levels) + pixels


def span(read) -> str:
    try:
        pixels = np.asarray(read())[..., :3]
    except OSError as error:
        return str(error)
    return f"{pixels.min()} to {pixels.max()}"


for name, black, white, step in (("4:4:4", 16, 235, 1), ("4:2:0", 0, 255, 2)):
    luma = np.full((SIDE, SIDE), black, np.uint8)
    luma[:, SIDE // 2 :] = white
    blocks = luma.reshape(SIDE // step, step, SIDE // step, step).transpose(0, 2, 1, 3).reshape(-1, step * step)
    path.write_bytes(tiff(np.hstack([blocks, np.full((len(blocks), 2), 128, np.uint8)]).tobytes(), step, black, white))
    theirs = span(lambda: Image.open(path).convert("RGB"))
    other = span(lambda: imagecodecs.tiff_decode(path.read_bytes(), asrgb=True))
    print(f"{name} of levels {black} to {white}: Pillow {theirs}, libtiff {other}")
PYTHON
seen=$("$folder/venv/bin/python" "$folder/levels.py" "$folder")
echo "$seen"
[ "$seen" = "$(sed -n 's/^#   \(4:\)/\1/p' "$0")" ] || { echo "something has changed"; exit 1; }
