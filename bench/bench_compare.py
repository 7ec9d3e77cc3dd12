"""Several networks compared on one picture by one command, beside a command each.

`python -m bench.bench_compare [--save]` has `fastcolor evaluate` measure the default network and others, of fresh
weights, on one photograph, in torch. The ways alternate; each command is a process of its own. Processor time is of
all that a way starts, memory the most that one of its processes held. The first use of the networks, in which torch is
timed in the precisions that the processor has, is told apart.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from PIL import Image

from bench import timing
from bench.memory import children_seconds
from bench.run import keep
from fastcolor import models
from fastcolor.models import weights
from fastcolor.palette import Palette

OTHERS = ("eccv16", "siggraph17")
PHOTOGRAPH = Path(__file__).parent / "demo" / "chelsea.jpg"
COMMAND = """
import sys
from bench.memory import held
from fastcolor.commands import cli
try:
    cli.main(sys.argv[1:])
finally:
    print(held("VmHWM") / 2**20)
"""


def made(name: str, folder: Path) -> str:
    """The path of a network with fresh weights."""
    torch.manual_seed(0)
    model, path = models.build(name), folder / f"{name}.safetensors"
    palette = Palette.grid() if model.kind == "classifier" else None
    weights.save(path, model, name=name, options={}, palette=palette, temperature=0.38, size=256)
    return str(path)


def spent(*words: str) -> tuple[float, float]:
    """(seconds of processor time, MB held at most) of a command."""
    before = children_seconds()
    command = [sys.executable, "-c", COMMAND, *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return children_seconds() - before, float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--save", action="store_true", help="write bench/results/<machine>-compare.json")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    together: list[tuple[float, float]] = []
    alone: dict[str, list[tuple[float, float]]] = {name: [] for name in ("default", *OTHERS)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["FASTCOLOR_HOME"] = str(folder / "home")
        (folder / "photographs").mkdir()
        Image.open(PHOTOGRAPH).save(folder / "photographs" / "chelsea.png")
        networks = {"default": "default"} | {name: made(name, folder) for name in OTHERS}
        rest = [str(folder / "photographs"), "--engine", "torch", "--device", "cpu"]
        first = spent("evaluate", ",".join(networks.values()), *rest)
        print(f"the first use: {first}", flush=True)
        for _ in range(options.rounds):
            together.append(spent("evaluate", ",".join(networks.values()), *rest))
            print(f"all at once: {together[-1]}", flush=True)
            for name, path in networks.items():
                alone[name].append(spent("evaluate", path, *rest))
                print(f"{name}: {alone[name][-1]}", flush=True)
    median = {name: [statistics.median(one) for one in zip(*found, strict=True)] for name, found in alone.items()}
    one, ways = [statistics.median(one) for one in zip(*together, strict=True)], list(median.values())
    rows = [
        {"name": "the first use, one command", "seconds": round(first[0], 2), "mb": round(first[1])},
        {"name": "one command", "seconds": round(one[0], 2), "mb": round(one[1])},
        {
            "name": "a command each",
            "seconds": round(sum(seconds for seconds, _ in ways), 2),
            "mb": round(max(mb for _, mb in ways)),
        },
    ]
    rows += [{"name": f"{name} alone", "seconds": round(s, 2), "mb": round(mb)} for name, (s, mb) in median.items()]
    for row in rows:
        print(row)
    if options.save:
        facts = {"threads": 1, "command": "python -m bench.bench_compare", "load": round(os.getloadavg()[0], 1)}
        keep({"machine": {**timing.machine(), **facts}, "rounds": options.rounds, "rows": rows}, "compare")


if __name__ == "__main__":
    main()
