#!/bin/sh
# PyAV's VideoFrame.from_numpy_buffer makes frames of 4:2:0 two lines short, and takes luma for chroma, where the height
# is no multiple of four.
#
# Versions: PyAV 18.1.0.
# Expected: a frame's own to_ndarray(), handed to from_numpy_buffer, is that frame again, as from_ndarray makes it.
# What happens: the height is counted as rows // 6 * 4, which is right for multiples of four alone. 486 lines become 484,
#   and the planes of chroma are looked for two lines too early: they begin with the last lines of luma. Nothing is said.
# Who meets it: who passes pictures from NumPy to an encoder without copying them, and has 720x486 (NTSC), 854x482 or
#   1920x802 (wide screen).
# Seen here:
#   480 lines: from_ndarray gives 480 lines, chroma 90 to 90; from_numpy_buffer gives 480 lines, chroma 90 to 90
#   486 lines: from_ndarray gives 486 lines, chroma 90 to 90; from_numpy_buffer gives 484 lines, chroma 90 to 200
#   802 lines: from_ndarray gives 802 lines, chroma 90 to 90; from_numpy_buffer gives 800 lines, chroma 90 to 200
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy==2.3.5
cat > "$folder/frame.py" <<'PYTHON'
import av
import numpy as np


def told(frame):
    plane = frame.planes[1]
    chroma = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
    return f"{frame.height} lines, chroma {chroma.min()} to {chroma.max()}"


for width, height in ((720, 480), (720, 486), (1920, 802)):
    frame = av.VideoFrame(width, height, "yuv420p")
    for plane, value in zip(frame.planes, (200, 90, 90)):
        plane.update(bytes([value]) * plane.buffer_size)
    array = frame.to_ndarray()
    assert array.shape == (height * 3 // 2, width)
    copied = told(av.VideoFrame.from_ndarray(array, "yuv420p"))
    lent = told(av.VideoFrame.from_numpy_buffer(array, "yuv420p"))
    print(f"{height} lines: from_ndarray gives {copied}; from_numpy_buffer gives {lent}")
PYTHON
"$folder/venv/bin/python" "$folder/frame.py" | tee "$folder/seen"
cat > "$folder/wanted" <<'WANTED'
480 lines: from_ndarray gives 480 lines, chroma 90 to 90; from_numpy_buffer gives 480 lines, chroma 90 to 90
486 lines: from_ndarray gives 486 lines, chroma 90 to 90; from_numpy_buffer gives 484 lines, chroma 90 to 200
802 lines: from_ndarray gives 802 lines, chroma 90 to 90; from_numpy_buffer gives 800 lines, chroma 90 to 200
WANTED
cmp "$folder/seen" "$folder/wanted"
