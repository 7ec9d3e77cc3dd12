#!/bin/sh
# libswscale, as PyAV's VideoFrame.reformat uses it, takes all gray for full range: a gray film of limited range loses
# contrast when it becomes YUV, whatever its frames and the caller say.
#
# Versions: PyAV 18.1.0 with its own libraries (FFmpeg 8.1).
# Expected: frames that say limited range (16 black, 235 white) keep their luma where they go from gray to a YUV format
#   of limited range, as YUV frames do, and certainly where the caller names that range for both.
# What happens: luma is squeezed as if it had been of full range, black to 30 and white to 218; the result says limited
#   range. Only a caller that says "full" for the result, which is not true, gets the luma as it was.
# Who meets it: who brings gray films that say their range, as monochrome AV1, HEVC and FFV1 do, to yuv420p to show or
#   encode them: blacks are gray, whites dull. Twice, where it is done twice.
# Seen here:
#   decoded: gray of limited range, 16 to 235
#   to yuv420p, nothing said: limited range, 30 to 218
#   to yuv420p, limited range said for both: limited range, 30 to 218
#   to yuv420p, full range said for both: full range, 16 to 235
#   yuv444p to yuv420p, nothing said: limited range, 16 to 235
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy==2.3.5
cat > "$folder/gray.py" <<'PYTHON'
import sys

import av
import numpy as np

RANGES = {0: "unknown", 1: "limited", 2: "full"}
BOTH = {name: {"src_color_range": code, "dst_color_range": code} for name, code in (("limited", "MPEG"), ("full", "JPEG"))}


def told(frame):
    plane = frame.planes[0]
    luma = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]
    return f"{RANGES[frame.color_range]} range, {luma.min()} to {luma.max()}"


def film(pixel_format):
    path = f"{sys.argv[1]}/{pixel_format}.mkv"
    with av.open(path, "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, pixel_format
        stream.codec_context.color_range = 1
        frame = av.VideoFrame(64, 64, pixel_format)
        for index, plane in enumerate(frame.planes):
            samples = np.full((plane.height, plane.line_size), 128, np.uint8)
            if index == 0:
                samples[:, :64] = np.linspace(16, 235, 64)
            plane.update(samples)
        frame.color_range = 1
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    with av.open(path) as source:
        return next(source.decode(video=0))


gray = film("gray")
print(f"decoded: gray of {told(gray)}")
print(f"to yuv420p, nothing said: {told(gray.reformat(format='yuv420p'))}")
for name, said in BOTH.items():
    print(f"to yuv420p, {name} range said for both: {told(gray.reformat(format='yuv420p', **said))}")
print(f"yuv444p to yuv420p, nothing said: {told(film('yuv444p').reformat(format='yuv420p'))}")
PYTHON
"$folder/venv/bin/python" "$folder/gray.py" "$folder" | tee "$folder/seen"
cat > "$folder/wanted" <<'WANTED'
decoded: gray of limited range, 16 to 235
to yuv420p, nothing said: limited range, 30 to 218
to yuv420p, limited range said for both: limited range, 30 to 218
to yuv420p, full range said for both: full range, 16 to 235
yuv444p to yuv420p, nothing said: limited range, 16 to 235
WANTED
cmp "$folder/seen" "$folder/wanted"
