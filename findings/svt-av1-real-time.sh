#!/bin/sh
# SVT-AV1, when root runs it, turns the thread that opens the encoder, and all its own, into real-time threads.
#
# Versions: PyAV 18.1.0 (its wheel brings FFmpeg and SVT-AV1 4.1.0), Linux, as root.
# Expected: an encoder leaves the scheduling of the program that calls it alone.
# What happens: the caller's thread goes from SCHED_OTHER to SCHED_FIFO, priority 99, the highest there is, and stays there
#   when the encoder is done. Whatever the program does next comes before every other process of the machine.
# Who meets it: everybody who encodes AV1 in a container (where one is root) or a service run by root; other programs stand
#   still for seconds, and a nice value does not help them.
# Seen here:
#   before: policy 0, priority 0
#   open: policy 1, priority 99
#   closed: policy 1, priority 99
set -eu
[ "$(uname)" = Linux ] && [ "$(id -u)" = 0 ] || { echo "needs Linux and root"; exit 0; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy==2.3.5
cat > "$folder/film.py" <<'PYTHON'
import os
from fractions import Fraction

import av
import numpy as np


def tell(when):
    print(f"{when}: policy {os.sched_getscheduler(0)}, priority {os.sched_getparam(0).sched_priority}", flush=True)


tell("before")
encoder = av.CodecContext.create("libsvtav1", "w")
encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 64, 64, "yuv420p", Fraction(1, 25)
encoder.framerate, encoder.options = 25, {"preset": "10"}
encoder.open()
tell("open")
frame = av.VideoFrame.from_ndarray(np.zeros((96, 64), np.uint8), format="yuv420p")
frame.pts = 0
assert len(encoder.encode(frame)) + len(encoder.encode(None)) == 1
del encoder
tell("closed")
PYTHON
SVT_LOG=0 "$folder/venv/bin/python" "$folder/film.py" | tee "$folder/seen"
cat > "$folder/wanted" <<'WANTED'
before: policy 0, priority 0
open: policy 1, priority 99
closed: policy 1, priority 99
WANTED
cmp "$folder/seen" "$folder/wanted"
