#!/bin/sh
# Whoever asks each of a film's frames for its side data (closed captions, HDR) keeps the frames: hundreds at a time.
#
# Versions: PyAV 18.1.0 (its wheel brings FFmpeg 8.1).
# Expected: a loop over decoded frames has one or two of them in memory, whatever it asks of each.
# What happens: `frame.side_data` makes a container that the frame holds and that holds the frame, side data or not. Such
#   a ring is freed by Python's garbage collector alone, which counts objects and not their size: it runs when some
#   hundred frames have come, with all their pictures. 600 frames of 1080p took 689 MB so, and 81 MB where nothing
#   was asked; in 4K that is four times as much. libav's filter `sidedata=mode=select` answers and holds nothing.
# Who meets it: who looks for captions, HDR metadata, motion vectors or rotation frame by frame, in a process with a
#   limit of memory.
# Seen here:
#   frames in memory, nothing asked: 3 at most: True
#   frames in memory, side data asked for: over 60: True
#   frames in memory, side data asked for, garbage collected each time: 3 at most: True
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0
cat > "$folder/film.py" <<'PYTHON'
import gc
import sys

import av

path = sys.argv[1]
with av.open(path, "w") as film:
    stream = film.add_stream("mpeg4", rate=25)
    stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
    for index in range(300):
        frame = av.VideoFrame(320, 180, "yuv420p")
        frame.pts = index
        film.mux(stream.encode(frame))
    film.mux(stream.encode(None))


def most(ask):
    gc.collect()
    alive = 0
    with av.open(path) as film:
        for frame in film.decode(video=0):
            ask(frame)
            alive = max(alive, sum(isinstance(one, av.VideoFrame) for one in gc.get_objects()))
    return alive


def collected(frame):
    frame.side_data
    gc.collect()


print("frames in memory, nothing asked: 3 at most:", most(lambda frame: None) <= 3)
print("frames in memory, side data asked for: over 60:", most(lambda frame: frame.side_data) > 60)
print("frames in memory, side data asked for, garbage collected each time: 3 at most:", most(collected) <= 3)
PYTHON
"$folder/venv/bin/python" "$folder/film.py" "$folder/film.mp4" | tee "$folder/seen"
cat > "$folder/wanted" <<'WANTED'
frames in memory, nothing asked: 3 at most: True
frames in memory, side data asked for: over 60: True
frames in memory, side data asked for, garbage collected each time: 3 at most: True
WANTED
cmp "$folder/seen" "$folder/wanted"
