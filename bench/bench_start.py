"""How long help, a version and refusals take beside importing torch alone: `python -m bench.bench_start [--save]`.

Every program is started anew, all of them in turn, several times; the medians are compared within this one run.
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
from pathlib import Path

from bench import timing
from bench.run import RESULTS, machine_name

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
GOAL = 0.2  # of importing torch


def seconds(program: list[str], folder: str) -> float:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # pip compiles what it installs
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", *program], cwd=folder, env=environment, capture_output=True, check=False)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--save", action="store_true", help="write bench/results/<machine>-start.json")
    options = parser.parse_args()
    taken: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.rounds + 1):
            for name, program in PROGRAMS.items():
                time_taken = seconds(program, folder)
                if number:  # the first round fills the disk's cache
                    taken[name].append(time_taken)
    medians = {name: statistics.median(values) for name, values in taken.items()}
    whole = medians["import torch"]
    rows = {name: {"seconds": round(value, 3), "of_torch": round(value / whole, 3)} for name, value in medians.items()}
    for name, row in rows.items():
        print(f"{row['seconds']:7.3f} s  {row['of_torch']:6.3f} of importing torch  {name}")
    slow = [name for name, row in rows.items() if name != "import torch" and row["of_torch"] > GOAL]
    print(f"goal {GOAL}: {'ok' if not slow else 'BELOW: ' + ', '.join(slow)}")
    if options.save:
        result = {"machine": timing.machine(), "rounds": options.rounds, "load": os.getloadavg()[0], "rows": rows}
        (RESULTS / f"{machine_name()}-start.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
