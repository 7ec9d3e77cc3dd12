"""How much memory a network takes on a CPU while it runs, by the size that it sees.

`python -m bench.bench_memory NAMES` runs each, with weights of no training, in torch in float32 on one picture at two
sizes, in a process of its own (Linux). Told is the most memory beyond what the loaded network holds, and c and a of the
c + a p bytes that fit it, p the pixels: `fastcolor/models/sizes.py` has them. `--save` writes
bench/results/<machine>-memory.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

import torch

from fastcolor import models

from . import timing
from .memory import forget, held
from .run import RESULTS, machine_name, write


def measure(name: str, side: int) -> dict[str, int]:
    model = models.build(name).eval()
    with torch.inference_mode():
        model(torch.full((1, 1, 64, 64), 50.0))  # what is loaded or made once
        forget()
        before = held("VmRSS")
        model(torch.rand(1, 1, side, side) * 100)
    return {"side": side, "network": before, "more": held("VmHWM") - before}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--sides", type=int, nargs=2, default=(256, 512))
    parser.add_argument("--one", type=int, help="measure the first name at this side, and print that alone")
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(measure(options.names[0], options.one)))
        return
    rows = {}
    for name in options.names:
        found = []
        for side in options.sides:
            command = [sys.executable, "-m", "bench.bench_memory", name, "--one", str(side)]
            found.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        (p, small), (q, large) = ((row["side"] ** 2, row["more"]) for row in found)
        each = (large - small) / (q - p)
        rows[name] = {"runs": found, "c": round(max(0.0, small - each * p)), "a": round(each)}
        print(name, json.dumps(rows[name]), flush=True)
    if options.save:
        result = {"machine": timing.machine(), "command": " ".join(["python -m bench.bench_memory", *sys.argv[1:]])}
        write(result | {"rows": rows}, RESULTS / f"{machine_name()}-memory.json")


if __name__ == "__main__":
    main()
