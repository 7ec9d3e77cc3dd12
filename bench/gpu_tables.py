"""The readable half of `make gpu`'s results: tables of its figures, and the reading of ncu's own."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

METRICS = ("dram__bytes_read.sum", "dram__bytes_write.sum", "gpu__time_duration.sum")


def ncu_kernels(log: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Bytes and time of our kernels, each with the row in whose range it ran. `log`: ncu's raw page as CSV."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.startswith('"')]
    found = []
    names = sorted((row["name"] for row in rows), key=len, reverse=True)  # one name may begin with another
    floors = {row["name"]: row["bytes"] for row in rows}
    for record in csv.DictReader(lines):
        if not record.get("ID"):  # the line of units
            continue
        name = next((n for n in names if any(n in (value or "") for value in record.values())), None)
        if name is None:  # the call before the range, which fills tables and caches
            continue
        read, written, nanoseconds = (float(record[metric].replace(",", "")) for metric in METRICS)
        kernel = (re.findall(r"\w+_kernel\b", record["Kernel Name"]) or [record["Kernel Name"]])[0]
        found.append(
            {"row": name, "kernel": kernel, "floor": floors[name], "read": read, "written": written, "ns": nanoseconds}
        )
    return found


def ncu(found: list[dict[str, Any]]) -> Iterator[str]:
    yield "\nDRAM traffic by ncu, MB (floor: what the row must read and write)"
    yield "    read  written    floor       us  kernel"
    for k in found:
        yield (
            f"{k['read'] / 1e6:8.1f} {k['written'] / 1e6:8.1f} {k['floor'] / 1e6:8.1f} {k['ns'] / 1e3:8.1f}  "
            f"{k['kernel']}  [{k['row']}]"
        )


def ops(figures: dict[str, Any]) -> Iterator[str]:
    yield f"\nOps; a copy of 2 GiB moves {figures.get('copy_gb_s', 0):.0f} GB/s, bytes read and written: the roofline"
    yield "       us     GB/s  of roofline  of a copy as large  against plain torch (must)"
    for row in figures["rows"]:
        ratios = []
        for name, ratio in row["ratio"].items():
            must = row["must"].get(name)
            ratios.append(f"{name} {ratio:.1f}x" + (f" ({must:g}x{'' if ratio >= must else ' BELOW'})" if must else ""))
        goal = f"; goal {row['goal']} {'ok' if row['goal_met'] else 'BELOW'}" if "goal" in row else ""
        share, roofline = row["share_of_copy_rate"], row.get("roofline", 0)
        yield (
            f"{row['ms'] * 1e3:9.1f} {row.get('gb_s', 0):8.0f} {roofline:12.0%} {share:19.0%}  "
            f"{', '.join(ratios)}{goal}  [{row['name']}]"
        )
    yield from (f"FAILED {failure}" for failure in figures["failed"])


def train(rows: list[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        yield f"\n{row['name']}"
        for name, ms in row["ms"].items():
            yield f"{ms:10.2f} ms {row['time_ratio'].get(name, 1):6.2f}x {row['peak_mib'][name]:8.0f} MiB peak  {name}"
