"""What somebody waits for after a plain install: one picture beside importing torch, and a film, here and before.

`python -m bench.bench_install --before TREE` times, alternated in one run, with this Python: `import torch`;
`fastcolor colorize` of a 640x480 JPEG; and `fastcolor-video --fast` of a 480p film; the last two with this tree's code
and with TREE's, a checkout of an earlier commit whose extension is built. Run it in an environment with what a plain
install brings and no more. Times are wall clock, and processor time of the program and its children; medians. The
first run of each, in which engines are measured and remembered, does not count and is told apart.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from bench.memory import children_seconds

TREE = Path(__file__).parents[1]
PHOTOGRAPH = TREE / "bench" / "demo" / "chelsea.jpg"


def film(path: Path, frames: int) -> Path:
    """A gray film of 854x480: a photograph that slides by."""
    gray = np.asarray(Image.open(PHOTOGRAPH).convert("L").resize((1100, 480)))
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=Fraction(25), options={"preset": "ultrafast", "crf": "18"})
        stream.width, stream.height, stream.pix_fmt = 854, 480, "yuv420p"
        for i in range(frames):
            left = i % (1100 - 854)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(gray[:, left : left + 854]), format="gray")
            for packet in stream.encode(frame):
                output.mux(packet)
        for packet in stream.encode():
            output.mux(packet)
    return path


def run(command: list[str], tree: Path, home: Path) -> tuple[float, float]:
    """(wall, processor) seconds of a command."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "FASTCOLOR_HOME": str(home)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # pip compiles what it installs
    before, start = children_seconds(), time.perf_counter()
    done = subprocess.run([sys.executable, *command], env=environment, cwd=home, capture_output=True, text=True)
    wall, used = time.perf_counter() - start, children_seconds() - before
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stderr.strip().splitlines()[-1:]}")
    return wall, used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, required=True, help="checkout of an earlier commit, built")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=250)
    parser.add_argument("--only", choices=("picture", "film"))
    parser.add_argument("--out", type=Path, help="file for the figures as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        picture = folder / "gray.jpg"
        Image.open(PHOTOGRAPH).convert("L").resize((640, 480)).save(picture)
        ways: dict[str, tuple[list[str], Path, Path]] = {}
        for kind, tree in (("now", TREE), ("before", options.before.resolve())):
            home = folder / kind
            home.mkdir()
            if options.only != "film":
                out = ["-o", str(folder / f"{kind}.jpg"), "--overwrite"]
                ways[f"picture {kind}"] = ["-m", "fastcolor", "colorize", str(picture), *out], tree, home
            if options.only != "picture":
                src, dst = film(folder / "gray.mp4", options.frames), str(folder / f"{kind}.mp4")
                ways[f"film {kind}"] = ["-m", "fastcolor", "video", str(src), dst, "--fast", "--overwrite"], tree, home
        ways["import torch"] = ["-c", "import torch"], TREE, folder
        first = {}
        for way in ways:
            first[way] = run(*ways[way])
            print(f"first {way}: {first[way]}", flush=True)
        times: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for _ in range(options.rounds):
            for way in ways:
                times[way].append(run(*ways[way]))
                print(f"{way}: {times[way][-1]}", flush=True)
    rows = {}
    for way, found in times.items():
        wall, processor = (statistics.median(column) for column in zip(*found, strict=True))
        rows[way] = {
            "wall_s": round(wall, 3),
            "processor_s": round(processor, 3),
            "first_wall_s": round(first[way][0], 3),
        }
        print(way, rows[way], flush=True)
    torch = rows["import torch"]
    ratios = {}
    for way, row in rows.items():
        other = rows.get(way.replace("now", "before")) if way.endswith("now") else None
        against = [("import torch", torch)] + ([("before", other)] if other else [])
        for label, base in against:
            if way != "import torch":
                ratios[f"{way} / {label}"] = {k: round(row[k] / base[k], 3) for k in ("wall_s", "processor_s")}
    print(json.dumps(ratios, indent=1))
    if options.out:
        facts = {"load_average": os.getloadavg(), "cores": os.cpu_count(), "rounds": options.rounds}
        facts |= {
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
            "frames": options.frames,
            "command": " ".join(["python -m bench.bench_install", *sys.argv[1:]]),
        }
        options.out.write_text(json.dumps({"machine": facts, "rows": rows, "ratios": ratios}, indent=1) + "\n")


if __name__ == "__main__":
    main()
