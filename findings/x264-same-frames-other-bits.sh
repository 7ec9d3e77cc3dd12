#!/bin/sh
# x264 with AVX-512 encodes the same frames into other bits from run to run, on one thread too, at many widths.
#
# Versions: av 18.1.0 (its wheel brings FFmpeg 8 with libx264), numpy 2.3.5, glibc, a processor with AVX-512.
# Expected: the same frames and options give the same packets; x264's results are said to depend on nothing else.
# What happens: where the width in macroblocks of 16 pixels is no multiple of eight, the packets depend on what the memory
#   held before, here filled by glibc's MALLOC_PERTURB_; without it about one encoding in five differed, by 2.3 code values
#   of luma on average. It needs macroblock tree (mbtree, on by default) and B-frames; without AVX-512 (asm=AVX2 in
#   x264-params), or with mbtree=0, all are alike. 640, 1280 and 1920 pixels are spared, 352, 720 and 854 are not.
# Who meets it: whoever compares, caches or tests encodings by their bytes, of DVD and PAL sizes above all.
# Seen here:
#   352 pixels: 3 different encodings of 3
#   352 pixels, asm=AVX2: 1 different encodings of 3
#   352 pixels, mbtree=0: 1 different encodings of 3
#   640 pixels: 1 different encodings of 3
#   720 pixels: 3 different encodings of 3
set -eu
grep -qw avx512bw /proc/cpuinfo || { echo "needs a processor with AVX-512"; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy==2.3.5
cat > "$folder/encode.py" <<'PYTHON'
import hashlib
import sys

import av
import numpy as np


def encoded(width, more, height=64, frames=60):
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt, context.framerate = width, height, "yuv420p", 30
    context.thread_count, context.options = 1, {"preset": "veryfast", "crf": "18", "x264-params": more}
    y, x = np.mgrid[:height, :width]
    packets = []
    for index in range(frames):
        frame = av.VideoFrame(width, height, "yuv420p")
        wave = np.sin(x / 7 + index / 5) + np.cos(y / 5 - index / 9) + 0.2 * np.sin(x * y / 3)
        for plane, values in zip(frame.planes, (127 + 45 * wave, 128, 128)):
            np.frombuffer(plane, np.uint8).reshape(plane.height, -1)[:, : plane.width] = values
        frame.pts = index
        packets += context.encode(frame)
    packets += context.encode(None)
    return hashlib.sha256(b"".join(map(bytes, packets))).hexdigest()


for width, more in ((352, ""), (352, "asm=AVX2"), (352, "mbtree=0"), (640, ""), (720, "")):
    print(f"{width} pixels{more and ', '}{more}:", encoded(width, more))
PYTHON
for filler in 0 85 170; do
    MALLOC_PERTURB_=$filler "$folder/venv/bin/python" "$folder/encode.py"
done > "$folder/all"
seen=$(sort -u "$folder/all" | cut -d: -f1 | uniq -c | while read -r count what; do echo "$what: $count different encodings of 3"; done)
seen=$(echo "$seen" | LC_ALL=C sort)
echo "$seen"
[ "$seen" = "$(sed -n 's/^#   \([0-9]* pixels\)/\1/p' "$0" | LC_ALL=C sort)" ] || { echo "something has changed"; exit 1; }
