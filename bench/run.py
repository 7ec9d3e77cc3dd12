"""Every op against the other ways to compute the same, into bench/results/<machine>-ops.json and a table.

Run as `make bench` or `fastcolor bench`. Ratios are the baseline's time over ours, from one process, alternated.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

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
    save: bool = False
    """Write them to bench/results/<machine>-ops.json, where bench/table.py looks."""
    once: bool = False
    """Time nothing: run each op once, in an NVTX range with its name, for a profiler around this program."""


def main(options: BenchOptions) -> dict[str, Any]:
    if options.malloc == "tuned":
        timing.tune_malloc()
    torch.set_num_threads(options.threads)
    out = RESULTS / f"{machine_name()}-ops.json" if options.save else options.out
    results: dict[str, Any] = {"machine": timing.machine() | {"threads": options.threads, "device": options.device}}
    on_gpu = options.device != "cpu"
    if on_gpu and not options.once:
        results["copy_gb_s"] = timing.copy_ceiling(options.device)
        print(f"copy of 2 GiB: {results['copy_gb_s']:.0f} GB/s read and written", flush=True)
    results |= {"rows": [], "failed": []}
    for name, family in FAMILIES.items():
        if options.only and name not in options.only:
            continue
        for number, make in enumerate([*family.ROWS, *(family.CUDA_ROWS if on_gpu else ())]):
            try:
                row = make(options.device)
                if options.once:
                    results["rows"].append(run_once(row))
                    write(results, out)
                    continue
                measured = timing.measure(
                    row, device=options.device, seconds=options.seconds, copy_gb_s=results.get("copy_gb_s", 0.0)
                )
            except (AssertionError, RuntimeError) as error:  # the other rows are worth having all the same
                results["failed"].append(f"{name}, row {number}: {type(error).__name__}: {error}")
                print(f"FAILED {results['failed'][-1]}", flush=True)
                continue
            if on_gpu:
                measured["roofline"] = measured["gb_s"] / results["copy_gb_s"]
            results["rows"].append(measured)
            print(text(measured), flush=True)
            write(results, out)
    write(results, out)
    return results


def run_once(row: timing.Row) -> dict[str, Any]:
    """One call after a first one that fills caches of tables; only the second is inside the range."""
    row.ours()
    torch.cuda.synchronize()
    with torch.cuda.nvtx.range(row.name):
        row.ours()
        torch.cuda.synchronize()
    return {"name": row.name, "bytes": row.bytes}


def write(results: dict[str, Any], out: Path | None) -> None:
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        part = out.with_name(out.name + ".part")
        part.write_text(json.dumps(results, indent=1) + "\n")
        os.replace(part, out)


def keep(results: dict[str, Any], name: str, out: Path | None = None) -> None:
    """Write what a benchmark found, to bench/results/<machine>-NAME.json or to `out`, and say where."""
    path = out or RESULTS / f"{machine_name()}-{name}.json"
    write(results, path)
    print(path)


def text(row: dict[str, Any]) -> str:
    """One row for a terminal: our time, its share of the copy rate, and each ratio with the bar it has to clear."""
    head = f"{row['name']}: {row['ms']:.4g} ms, {100 * row['share_of_copy_rate']:.0f} % of the copy rate"
    if "roofline" in row:
        head += f", {row['gb_s']:.0f} GB/s, {100 * row['roofline']:.0f} % of the roofline"
    if "goal" in row:
        head += f"; goal {row['goal']} {'ok' if row['goal_met'] else 'BELOW'}"
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


def parse(arguments: list[str]) -> BenchOptions:
    """The options, by the standard library alone: a machine without a network has what it has."""
    plain = BenchOptions()
    parser = argparse.ArgumentParser(description=BenchOptions.__doc__)
    parser.add_argument("--device", default=plain.device, help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=plain.threads, help="CPU threads for everybody")
    parser.add_argument("--only", nargs="*", default=plain.only, choices=FAMILIES, help="families; none: all")
    parser.add_argument("--seconds", type=float, default=plain.seconds, help="time for each row")
    parser.add_argument("--malloc", default=plain.malloc, choices=("tuned", "default"))
    parser.add_argument("--out", type=Path, help="file for the figures as JSON")
    parser.add_argument("--save", action="store_true", help="write bench/results/<machine>-ops.json")
    parser.add_argument("--once", action="store_true", help="run each op once, for a profiler around this program")
    given = vars(parser.parse_args(arguments))
    if given["once"] and given["device"] == "cpu":
        parser.error("--once: must go with --device cuda: NVTX ranges are CUDA's")
    return BenchOptions(**given | {"only": tuple(given["only"])})


if __name__ == "__main__":
    sys.exit(1 if main(parse(sys.argv[1:]))["failed"] else 0)
