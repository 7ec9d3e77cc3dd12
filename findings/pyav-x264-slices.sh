#!/bin/sh
# H.264 that PyAV writes has every picture cut into as many slices as the machine has threads, and is larger for it.
#
# Versions: av 18.1.0 (its wheel brings FFmpeg 8.1 with libx264), numpy 2.3.5.
# Expected: one slice a picture, as ffmpeg's own command and x264's write it: their threads work on several pictures.
# What happens: PyAV asks every codec for threads within a picture (`thread_type` SLICE; good for decoders that answer at
#   once). libx264 takes that for its mode of low delay: each picture is cut into bands, one a thread, over whose edges
#   nothing is predicted. With `stream.codec_context.thread_type = "FRAME"` there is one slice again. At 720p and 16
#   threads a grainy pan was 7 % larger by slices and took a twentieth more processor time. Try FRAME well before you rely
#   on it: a program of ours with several encoders came to a stand once, for reasons that were not found.
# Who meets it: who encodes H.264 with PyAV, the more the more cores; and who compares files of two machines.
# Seen here:
#   8 threads, as it comes: slices in a picture: 8
#   8 threads, FRAME: slices in a picture: 1
#   larger by slices, by 2 % or more: True
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy==2.3.5
cat > "$folder/encode.py" <<'PYTHON'
import re
from fractions import Fraction

import av
import numpy as np

random = np.random.default_rng(0)
texture = random.normal(0, 1, (900, 1500))
for axis in (0, 1):  # as fine as leaves
    texture = sum(np.roll(texture, shift, axis) for shift in range(9))
texture = np.clip(128 + 40 * texture / texture.std(), 16, 235).astype(np.uint8)


def encoded(kind):
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 1280, 720, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, 25), 25
    encoder.options = {"preset": "veryfast", "x264-params": "log-level=none"}
    encoder.thread_count = 8
    if kind:
        encoder.thread_type = kind
    packets = []
    for index in range(40):
        luma = np.ascontiguousarray(texture[index : index + 720, 3 * index : 3 * index + 1280])
        frame = av.VideoFrame.from_ndarray(luma, format="gray").reformat(format="yuv420p")
        frame.pts = index
        packets += encoder.encode(frame)
    return [bytes(packet) for packet in packets + encoder.encode(None)]


def slices(packet):
    """Units of types 1 and 5 behind start codes."""
    return sum(unit[0] & 31 in (1, 5) for unit in re.split(b"\0\0\1", packet)[1:])


cut, whole = encoded(None), encoded("FRAME")
print("8 threads, as it comes: slices in a picture:", max(map(slices, cut)))
print("8 threads, FRAME: slices in a picture:", max(map(slices, whole)))
print("larger by slices, by 2 % or more:", sum(map(len, cut)) > 1.02 * sum(map(len, whole)))
PYTHON
"$folder/venv/bin/python" "$folder/encode.py" | tee "$folder/seen"
cat > "$folder/wanted" <<'WANTED'
8 threads, as it comes: slices in a picture: 8
8 threads, FRAME: slices in a picture: 1
larger by slices, by 2 % or more: True
WANTED
cmp "$folder/seen" "$folder/wanted"
