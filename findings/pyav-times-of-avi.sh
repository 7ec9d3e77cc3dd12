#!/bin/sh
# PyAV gives the frames of an AVI with B-frames times that skip and come twice: they are not when the frames are shown.
#
# Versions: PyAV 18.1.0 (its wheel brings FFmpeg 8.1).
# Expected: 50 frames of 25 a second are decoded with 50 different times, 1/25 s apart, in the order in which they come.
# What happens: AVI holds times of decoding alone. PyAV asks libav to make up the others (AVFMT_FLAG_GENPTS, set for every
#   input), which it does from a packet's neighbours; the frames come in the right order, their times do not. With that
#   flag taken away, and a frame's time taken as the next of the sorted times of decoding, all is even.
# Who meets it: who reads times from DivX, XviD and H.264 in AVI, or copies them into an encoder, which refuses them or
#   makes a film that judders ("non monotonically increasing dts").
# Seen here:
#   steps as they come: 1: 18, 2: 2, others: 29
#   steps put in order: 1: 49, 2: 0, others: 0
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy==2.3.5
cat > "$folder/film.py" <<'PYTHON'
import sys
from fractions import Fraction

import av
import numpy as np
from av.container import Flags

path = sys.argv[1]
encoder = av.CodecContext.create("libx264", "w")
encoder.width, encoder.height, encoder.pix_fmt = 96, 64, "yuv420p"
encoder.time_base, encoder.framerate = Fraction(1, 25), 25
encoder.options, encoder.max_b_frames = {"bf": "2", "x264-params": "log-level=none:threads=1:b-adapt=0"}, 2
coded = []
for index in range(50):
    luma = np.full((64, 96), 60, np.uint8)
    luma[:, index : index + 20] = 200
    frame = av.VideoFrame.from_ndarray(luma, format="gray").reformat(format="yuv420p")
    frame.pts = index
    coded += encoder.encode(frame)
coded += encoder.encode(None)

with av.open(path, "w", format="avi") as film:
    stream = film.add_stream("libx264", rate=25)
    stream.width, stream.height, stream.codec_context.codec_tag = 96, 64, "H264"
    film.start_encoding()
    for index, packet in enumerate(coded):  # AVI counts packets
        packet.stream, packet.time_base = stream, Fraction(1, 25)
        packet.pts = packet.dts = index
        film.mux_one(packet)


def tell(what, times):
    steps = [after - before for before, after in zip(times, times[1:])]
    one, two = steps.count(1), steps.count(2)
    print(f"steps {what}: 1: {one}, 2: {two}, others: {len(steps) - one - two}")


with av.open(path) as film:
    tell("as they come", [frame.pts for frame in film.decode(video=0)])
with av.open(path) as film:
    film.flags &= ~Flags.gen_pts.value
    times = []
    for packet in film.demux(video=0):
        packet.pts = packet.dts
        times += [frame.pts for frame in packet.decode()]
    tell("put in order", sorted(times))
PYTHON
"$folder/venv/bin/python" "$folder/film.py" "$folder/film.avi" | tee "$folder/seen"
cat > "$folder/wanted" <<'WANTED'
steps as they come: 1: 18, 2: 2, others: 29
steps put in order: 1: 49, 2: 0, others: 0
WANTED
cmp "$folder/seen" "$folder/wanted"
