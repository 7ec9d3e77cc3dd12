"""Every op against the other ways to compute the same, into bench/results/<machine>-ops.json and a table.

Run as `make bench` or `fastcolor bench`. Ratios are the baseline's time over ours, from one process, alternated.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro

from . import bench_color, bench_decode, bench_encode, bench_loss, timing

FAMILIES = {"color": bench_color, "encode": bench_encode, "loss": bench_loss, "decode": bench_decode}
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class BenchOptions:
    """Time every op against plain torch, torch.compile, kornia, OpenCV, scikit-image, scikit-learn and a copy."""

    device: str = "cpu"
    """cpu or cuda."""
    threads: int = 1
    """CPU threads for everybody."""
    only: tuple[str, ...] = ()
    """Names of families (color, encode, loss, decode); none: all."""
    seconds: float = 4.0
    """Time for each row."""
    malloc: str = "tuned"
    """tuned: glibc keeps its memory between calls; default: as it comes."""
    out: Path | None = None
    """File for the figures as JSON."""


def main(options: BenchOptions) -> dict[str, Any]:
    if options.malloc == "tuned":
        timing.tune_malloc()
    torch.set_num_threads(options.threads)
    rows = []
    for name, family in FAMILIES.items():
        if options.only and name not in options.only:
            continue
        for make in family.ROWS:
            with torch.device("cpu"):
                row = timing.measure(make(options.device), device=options.device, seconds=options.seconds)
            rows.append(row)
            print(text(row), flush=True)
    results = {"machine": timing.machine() | {"threads": options.threads, "device": options.device}, "rows": rows}
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(results, indent=1) + "\n")
    return results


def text(row: dict[str, Any]) -> str:
    """One row for a terminal: our time, its share of the copy rate, and each ratio with the bar it has to clear."""
    head = f"{row['name']}: {row['ms']:.3f} ms, {100 * row['share_of_copy_rate']:.0f} % of the copy rate"
    parts = []
    for name, ratio in row["ratio"].items():
        bar, goal = row["must"].get(name), row["stretch"].get(name)
        said = "".join(f", {word} {value:g}" for word, value in (("must", bar), ("stretch", goal)) if value)
        verdict = "" if bar is None and goal is None else " ok" if ratio >= (bar or goal) else " BELOW"
        parts.append(f"    {ratio:7.1f}x {name} ({row['baseline_ms'][name]:.2f} ms{said}){verdict}")
    return "\n".join([head, *parts, *(f"            {name}: not here, {why}" for name, why in row["absent"].items())])


def machine_name() -> str:
    facts = timing.machine()
    return re.sub(r"[^a-z0-9]+", "-", facts.get("gpu", facts["cpu"]).lower()).strip("-")


if __name__ == "__main__":
    main(tyro.cli(BenchOptions, config=(tyro.conf.FlagCreatePairsOff,)))
