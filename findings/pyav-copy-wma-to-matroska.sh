#!/bin/sh
# PyAV refuses to copy WMA or ADPCM sound into Matroska, where FFmpeg's own program copies it and players play it.
#
# Versions: PyAV 18.1.0 (FFmpeg 8.1.2), imageio-ffmpeg 0.6.0 (FFmpeg 7.0.2) as the other program.
# Expected: the muxer is asked and takes the stream, as `ffmpeg -c copy` does.
# What happens: add_stream_from_template raises ValueError. It trusts avformat_query_codec, which for Matroska lists the
#   codecs with a Matroska name and leaves out those it stores under their Windows name (A_MS/ACM).
# Who meets it: whoever changes the container of films from the 1990s and 2000s (.wmv, .avi): skipping such streams, as the
#   error suggests, makes the film silent.
# Seen here:
#   wmav2: ffmpeg exit 0, copied wmav2; PyAV ValueError: 'matroska' format does not support 'wmav2' codec
#   adpcm_ms: ffmpeg exit 0, copied adpcm_ms; PyAV ValueError: 'matroska' format does not support 'adpcm_ms' codec
#   mp3: ffmpeg exit 0, copied mp3float; PyAV took it
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 imageio-ffmpeg==0.6.0 numpy==2.3.5
cat > "$folder/sound.py" <<'PYTHON'
import subprocess
import sys

import av
import imageio_ffmpeg

folder, ffmpeg = sys.argv[1], imageio_ffmpeg.get_ffmpeg_exe()
for codec, ending in (("wmav2", "wma"), ("adpcm_ms", "avi"), ("mp3", "mp3")):
    source, target = f"{folder}/sound.{ending}", f"{folder}/sound.mkv"
    quiet = [ffmpeg, "-v", "error", "-y"]
    encoder = "libmp3lame" if codec == "mp3" else codec
    subprocess.run([*quiet, "-f", "lavfi", "-i", "sine=d=1", "-ac", "2", "-c:a", encoder, source], check=True)
    done = subprocess.run([*quiet, "-i", source, "-c", "copy", target], check=False)
    with av.open(target) as copied:
        name = copied.streams.audio[0].codec_context.name
        assert sum(frame.samples for frame in copied.decode(audio=0)) > 40_000
    with av.open(source) as read, av.open(f"{folder}/again.mkv", "w") as write:
        try:
            write.add_stream_from_template(read.streams.audio[0])
            seen = "took it"
        except ValueError as error:
            seen = f"ValueError: {error}"
    print(f"{codec}: ffmpeg exit {done.returncode}, copied {name}; PyAV {seen}")
PYTHON
"$folder/venv/bin/python" "$folder/sound.py" "$folder" | tee "$folder/seen"
sed -n 's/^#   \(.*: ffmpeg exit\)/\1/p' "$0" > "$folder/wanted"
cmp "$folder/seen" "$folder/wanted"
