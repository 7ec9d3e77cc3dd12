#!/bin/sh
# FFmpeg's JPEG 2000 encoder writes a film's frame as it is and calls it sYCC: black comes out as dark gray, white as gray.
#
# Versions: PyAV 18.1.0 (its wheel brings FFmpeg 8.1), Pillow 13.0.0 (its wheel brings OpenJPEG 2.5.4).
# Expected: a ramp from black to white, encoded as yuv420p into a .jp2, is shown from 0 to 255: either the samples are
#   brought to the full range, or the file does not say that they have it.
# What happens: the samples keep the range of films, 16 to 235, and the file's colour box says 18, sYCC (ISO/IEC 15444-1),
#   in which black is 0 and white 255. Whoever follows the file shows 16 to 235. From gray frames (pix_fmt gray) all is
#   right. (236 and not 235: it compresses with loss.)
# Who meets it: who takes single frames from films as JPEG 2000 (`ffmpeg -i film.mp4 still.jp2`), or reads such stills: the
#   picture is flat, and nothing in the file tells why.
# Seen here:
#   yuv420p: colour space 18, shown from 16 to 236
#   gray: colour space 17, shown from 0 to 255
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy==2.3.5 pillow==13.0.0
cat > "$folder/still.py" <<'PYTHON'
import io
import struct
from fractions import Fraction

import av
import numpy as np
from PIL import Image

ramp = np.tile(np.linspace(0, 255, 64).round().astype(np.uint8), (64, 1))
for form in ("yuv420p", "gray"):
    frame = av.VideoFrame.from_ndarray(ramp, format="gray").reformat(format=form)  # a film's range, or all of it
    frame.pts = 0
    encoder = av.CodecContext.create("jpeg2000", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 64, 64, form
    encoder.time_base = Fraction(1, 25)
    still = b"".join(bytes(packet) for packet in encoder.encode(frame) + encoder.encode(None))
    (space,) = struct.unpack_from(">I", still, still.index(b"colr") + 7)
    shown = np.asarray(Image.open(io.BytesIO(still)).convert("L"))
    print(f"{form}: colour space {space}, shown from {shown.min()} to {shown.max()}")
PYTHON
seen=$("$folder/venv/bin/python" "$folder/still.py")
echo "$seen"
[ "$seen" = "$(sed -n 's/^#   \(yuv420p\|gray\): /\1: /p' "$0")" ] || { echo "something has changed"; exit 1; }
