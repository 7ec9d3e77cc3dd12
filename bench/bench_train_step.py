"""One optimiser step of the default network with our loss, and with the same loss in plain torch: time and memory.

32 pictures of 128 x 128; the network from scratch, channels_last, AdamW, as `fastcolor train` runs it (on a GPU under
bfloat16 autocast too). "dense" holds the soft target as a volume like the logits, "compact" as five bins a pixel; the
encoding is part of every step.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fastcolor import models, ops
from fastcolor.palette import Palette

from . import baselines, timing
from .bench_encode import random_ab
from .run import RESULTS, machine_name, write

BATCH, CROP = 32, 128
Loss = Callable[[Tensor, Tensor], Tensor]


def losses(device: str) -> dict[str, Loss]:
    """name -> loss of (logits, ab)."""
    points = Palette.grid().points.to(device)
    class_weight = (torch.rand(313, generator=torch.Generator().manual_seed(0)) + 0.5).to(device)

    def plain(form: Callable[..., Tensor]) -> Loss:
        return lambda logits, ab: form(logits.float(), *baselines.encode(ab, points), class_weight)

    return {
        "fastcolor": lambda z, ab: ops.rebalanced_cross_entropy(z, ab, class_weight=class_weight, inplace=True),
        "compact eager": plain(baselines.compact_loss),
        "dense eager": plain(baselines.dense_loss),
    }


def step_of(loss: Loss, device: str, bf16: bool) -> Callable[[], Tensor]:
    """One step: forward, loss, backward, update. Every loss gets the same network and pictures."""
    torch.manual_seed(0)
    model = models.build("default").to(device, memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4)
    lightness = (torch.rand(BATCH, 1, CROP, CROP) * 100).to(device)
    ab = random_ab(BATCH, CROP // 4, CROP // 4, device)

    def step() -> Tensor:
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cuda" if device != "cpu" else "cpu", torch.bfloat16, enabled=bf16):
            logits = model(lightness)
        value = loss(logits, ab)
        value.backward()
        optimiser.step()
        return value.detach()

    return step


def measure(device: str, bf16: bool, seconds: float) -> dict[str, Any]:
    """Verify that all losses give the same value, then time in turns and look at each step's peak memory."""
    steps = {name: step_of(loss, device, bf16) for name, loss in losses(device).items()}
    values = {name: float(step()) for name, step in steps.items()}
    for name, value in values.items():
        assert abs(value / values["fastcolor"] - 1) < (2e-2 if bf16 else 1e-3), (name, values)
    ms = timing.alternate(steps, device=device, seconds=seconds, cold=False)
    peak = {name: timing.peak_bytes(step, device) / 2**20 for name, step in steps.items()}
    return {
        "name": f"training step, default network, {BATCH}x{CROP}x{CROP}, {'bfloat16' if bf16 else 'float32'}, {device}",
        "ms": ms,
        "peak_mib": peak,
        "time_ratio": {name: ms[name] / ms["fastcolor"] for name in ms if name != "fastcolor"},
        "memory_ratio": {name: peak[name] / peak["fastcolor"] for name in ms if name != "fastcolor"},
    }


def text(row: dict[str, Any]) -> str:
    lines = [f"{row['name']}:"]
    for name, ms in row["ms"].items():
        ratio = row["time_ratio"].get(name, 1)
        lines.append(f"    {ms:9.2f} ms {ratio:5.2f}x  {row['peak_mib'][name]:7.0f} MiB at its peak  {name}")
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, help="CPU threads; as torch has it by default")
    parser.add_argument("--seconds", type=float, default=30, help="time for each row")
    parser.add_argument("--out", type=Path, help="file for the figures as JSON")
    parser.add_argument("--save", action="store_true", help="write bench/results/<machine>-step.json")
    given = parser.parse_args(arguments)
    timing.tune_malloc()
    if given.threads:
        torch.set_num_threads(given.threads)
    out = RESULTS / f"{machine_name()}-step.json" if given.save else given.out
    facts = timing.machine() | {"threads": torch.get_num_threads(), "device": given.device}
    rows = []
    for bf16 in (False,) if given.device == "cpu" else (False, True):
        rows.append(measure(given.device, bf16, given.seconds))
        print(text(rows[-1]), flush=True)
        write({"machine": facts | {"command": "python -m bench.bench_train_step"}, "rows": rows}, out)


if __name__ == "__main__":
    main(sys.argv[1:])
