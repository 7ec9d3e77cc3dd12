"""Whether a film's memory grows with its length: bench/results/<machine>-film-memory.json.

`python -m bench.bench_film_memory` makes a film of one minute, of photographs over which a camera pans, with a cut
every four seconds, and one of ten, the same over and over; small, for its length is what counts. Each is coloured in
each way by a process of its own, whose peak memory is compared.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import torch
from PIL import Image
from skimage import data

from . import timing
from .run import keep

SIZE, RATE, SHOT = (160, 96), 10, 40  # frames of a shot
MINUTES = 1, 10
WORKER = """
import json, logging, sys
import fastcolor
from bench.memory import held
logging.disable(logging.WARNING)
source, target, told = json.loads(sys.argv[1])
usual = {"size": 64, "fast": True, "overwrite": True, "device": "cpu", "progress": False}
frames = fastcolor.video(source, target, **usual, **told).frames
print(frames, held("VmHWM") / 2**20)
"""


def make_film(path: Path, frames: int) -> None:
    photographs = [Image.fromarray(getattr(data, name)()) for name in ("astronaut", "coffee", "chelsea")]
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for number in range(frames):
            shot, within = divmod(number, SHOT)
            box = (within, within / 2, 300 + within, 180 + within / 2)
            image = photographs[shot % 3].resize(SIZE, Image.Resampling.BOX, box=box).convert("L").convert("RGB")
            frame = av.VideoFrame.from_image(image)
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        key = folder / "key.png"
        Image.fromarray(data.astronaut()).crop((0, 0, 300, 180)).save(key)
        hint = folder / "hints.json"
        hint.write_text('{"version": 1, "hints": [{"x": 0.5, "y": 0.5, "color": "#8c1f28", "time": 5}]}')
        peaks: dict[str, list[float]] = {}
        for minutes in MINUTES:
            film, colours = folder / f"{minutes}.mp4", folder / f"{minutes}-colours.mkv"
            make_film(film, minutes * 60 * RATE)
            ways = {
                "automatic, writing a chroma film": {"chroma_to": str(colours)},
                "painting from it": {"chroma_from": str(colours)},
                "hints, a key frame, carried on": {"hints": str(hint), "key_frames": [f"0={key}"], "carry": True},
            }
            for way, told in ways.items():
                words = json.dumps([str(film), str(folder / "out.mp4"), told])
                done = subprocess.run(
                    [sys.executable, "-c", WORKER, words], check=True, stdout=subprocess.PIPE, text=True
                )
                frames, peak = done.stdout.split()
                assert int(frames) == minutes * 60 * RATE
                peaks.setdefault(way, []).append(float(peak))
                print(f"{way}: {minutes} min, {float(peak):.0f} MB", flush=True)
    rows = [{"name": name, "mb": values, "ratio": values[1] / values[0]} for name, values in peaks.items()]
    facts = timing.machine() | {
        "threads": torch.get_num_threads(),
        "device": "cpu",
        "command": "python -m bench.bench_film_memory",
    }
    keep({"machine": facts, "minutes": MINUTES, "rows": rows}, "film-memory")


if __name__ == "__main__":
    main()
