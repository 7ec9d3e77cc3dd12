"""How long help, a version, refusals and one picture take beside importing torch.

`python -m bench.bench_start [--save]`.
Every program is started anew, all of them in turn, several times; the medians are compared within this one run, of wall
and of processor time: on a busy machine the latter says more.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from bench import timing
from bench.memory import children_seconds
from bench.run import RESULTS, machine_name, write

_FASTCOLOR = "from fastcolor.__main__ import main; main()"
PROGRAMS = {
    "import torch": ["import torch"],
    "fastcolor --version": [_FASTCOLOR, "--version"],
    "fastcolor --help": [_FASTCOLOR, "--help"],
    "fastcolor colorize --help": [_FASTCOLOR, "colorize", "--help"],
    "fastcolor colorize missing.png -o b.png": [_FASTCOLOR, "colorize", "missing.png", "-o", "b.png"],
    "fastcolor video missing.mp4 b.mp4": [_FASTCOLOR, "video", "missing.mp4", "b.mp4"],
    "fastcolor batch missing out": [_FASTCOLOR, "batch", "missing", "out"],
    "fastcolor train --data missing": [_FASTCOLOR, "train", "--data", "missing"],
    "fastcolor evaluate default missing": [_FASTCOLOR, "evaluate", "default", "missing"],
}
PICTURE = "fastcolor colorize gray.jpg -o b.jpg"  # 640 x 480
PROGRAMS[PICTURE] = [_FASTCOLOR, "colorize", "gray.jpg", "-o", "b.jpg", "--overwrite"]
FIRST = f"{PICTURE}, the first ever"
PROGRAMS[FIRST] = PROGRAMS[PICTURE]
GOAL, GOAL_OF_A_PICTURE = 0.2, 1.2  # of importing torch
PHOTOGRAPH = Path(__file__).parent / "demo" / "chelsea.jpg"


def seconds(program: list[str], folder: str, home: str) -> tuple[float, float]:
    """(wall, processor)."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "FASTCOLOR_HOME": f"{folder}/{home}"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # pip compiles what it installs
    before, begun = children_seconds(), time.perf_counter()
    subprocess.run([sys.executable, "-c", *program], cwd=folder, env=environment, capture_output=True, check=False)
    return time.perf_counter() - begun, children_seconds() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--save", action="store_true", help="write bench/results/<machine>-start.json")
    options = parser.parse_args()
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in PROGRAMS}
    with tempfile.TemporaryDirectory() as folder:
        Image.open(PHOTOGRAPH).convert("L").resize((640, 480)).save(Path(folder) / "gray.jpg")
        for number in range(options.rounds + 1):
            for name, program in PROGRAMS.items():
                time_taken = seconds(program, folder, f"home-{number}" if name == FIRST else "home")
                if number:  # the first fills the disk's cache
                    taken[name].append(time_taken)
    medians = {name: [statistics.median(one) for one in zip(*times, strict=True)] for name, times in taken.items()}
    whole = medians["import torch"]
    rows = {
        name: {
            "seconds": round(wall, 3),
            "of_torch": round(wall / whole[0], 3),
            "processor_seconds": round(processor, 3),
            "processor_of_torch": round(processor / whole[1], 3),
        }
        for name, (wall, processor) in medians.items()
    }
    for name, row in rows.items():
        shares = f"{row['of_torch']:6.3f} of importing torch, {row['processor_of_torch']:6.3f} by processor time"
        print(f"{row['seconds']:7.3f} s  {shares}  {name}")
    goals = dict.fromkeys(PROGRAMS, GOAL) | {PICTURE: GOAL_OF_A_PICTURE, FIRST: GOAL_OF_A_PICTURE, "import torch": 1.0}
    slow = [name for name, row in rows.items() if row["of_torch"] > goals[name]]
    print(f"goals {GOAL} and, of a picture, {GOAL_OF_A_PICTURE}: {'ok' if not slow else 'MISSED: ' + ', '.join(slow)}")
    if options.save:
        result = {"machine": timing.machine(), "rounds": options.rounds, "load": os.getloadavg()[0], "rows": rows}
        write(result, RESULTS / f"{machine_name()}-start.json")


if __name__ == "__main__":
    main()
