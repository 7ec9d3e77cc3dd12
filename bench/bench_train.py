"""Training, every stage of every preset: pictures/s, waiting for data, and what loss and colour ops take of a step,
beside what the same ops would take in plain torch. Into bench/results/<machine>-train.json and a table.

Run as `python -m bench.bench_train`. A few real steps each; the ops are then verified and timed on a step's shapes.
Heavy presets run at a smaller batch than they train with, which the table says. Under 4 minutes on 2 cores.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import tyro
from PIL import Image
from torch import Tensor

import fastcolor
from fastcolor import models, ops
from fastcolor.palette import Palette
from fastcolor.training.presets import PRESETS, START, CrossEntropy, Preset, Recognise, Stage

from . import baselines, timing
from .bench_encode import random_ab
from .run import RESULTS, machine_name

HERE = Path(__file__).parent
BATCHES = {"eccv16": 8, "siggraph17": 4, "resnet-unet": 4, "cgan-attention": 4}  # where the preset's own is heavy
STEPS = {"default": 12}  # light: enough for the workers' head start to be used up
FEW = 4


@dataclass(frozen=True)
class TrainBenchOptions:
    """Time training with every preset."""

    data: Path | None = None
    """Folder, zip or tar file, or list of pictures. None: crops of the demo's photographs."""
    only: tuple[str, ...] = ()
    """Presets; none: all."""
    threads: int = 2
    """CPU threads of the training process."""
    workers: int = 1
    """Processes that read pictures."""
    device: str = "cpu"
    """cpu or cuda."""
    steps: int | None = None
    """Steps of a stage, the first of which does not count. None: 12 for default, else 4."""
    batch_size: int | None = None
    """None: the preset's own, or less where that is heavy."""
    crop: int | None = None
    """None: the preset's own."""
    out: Path | None = None
    """File for the figures. None: bench/results/<machine>-train.json."""


def demo_pictures(folder: Path, count: int = 64, side: int = 256) -> Path:
    """Crops of the demo's photographs, as JPEG files."""
    folder.mkdir()
    photographs = [Image.open(path).convert("RGB") for path in sorted((HERE / "demo").glob("*.jpg"))]
    generator = torch.Generator().manual_seed(0)
    for i in range(count):
        photograph = photographs[i % len(photographs)]
        left, top = (int(torch.rand((), generator=generator) * max(size - side, 0)) for size in photograph.size)
        photograph.crop((left, top, left + side, top + side)).save(folder / f"{i:03d}.jpg", quality=90)
    return folder


def one_stage(recipe: Preset, number: int) -> Preset:
    """The preset as if this stage were all of it; from torch's own initial weights, which do not change a step."""
    return replace(recipe, stages=(replace(recipe.stages[number], until=1.0),), initialise="default")


def logits_like(recipe: Preset, stage: Stage, batch: int, precision: str, device: str) -> Tensor | None:
    """Random logits of the shape, dtype and memory layout that the network gives in this stage; None: it gives none."""
    if not any(isinstance(term, CrossEntropy) for term in stage.losses):
        return None
    model = models.build(recipe.model, **recipe.options).to(device, memory_format=torch.channels_last)
    lightness = torch.full((2, 1, stage.view.crop, stage.view.crop), 50.0, device=device)
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)
    with torch.no_grad(), torch.autocast(torch.device(device).type, dtype, enabled=precision != "fp32"):
        output = model(lightness, both=True)[0] if model.kind == "regressor" else model(lightness)
    last = output.is_contiguous(memory_format=torch.channels_last)
    logits = torch.randn((batch, *output.shape[1:]), generator=torch.Generator().manual_seed(0))
    layout = torch.channels_last if last else torch.contiguous_format
    return logits.to(device, output.dtype).contiguous(memory_format=layout).requires_grad_()


Pair = tuple[Callable[[], Tensor], Callable[[], Tensor]]


def pairs(recipe: Preset, stage: Stage, batch: int, precision: str, device: str) -> dict[str, Pair]:
    """(ours, plain torch) of every op of this project that a step of the stage calls, gradients included."""
    crop = stage.view.crop
    palette = Palette.square() if recipe.palette == "square" else Palette.grid()
    points = palette.points.to(device)
    rgb = torch.randint(0, 256, (batch, crop, crop, 3), dtype=torch.uint8, device=device)
    found: dict[str, Pair] = {
        "rgb to lab": (lambda: ops.rgb_to_lab(rgb, layout="hwc"), lambda: baselines.rgb_to_lab(rgb))
    }
    logits = logits_like(recipe, stage, batch, precision, device)
    if logits is None:
        return found
    ab = random_ab(batch, *logits.shape[2:], device)
    term = next(term for term in stage.losses if isinstance(term, CrossEntropy))
    class_weight = torch.rand(len(palette), device=device) + 0.5

    def ours() -> Tensor:
        loss = ops.rebalanced_cross_entropy(
            logits, ab, palette=palette, class_weight=class_weight, neighbours=term.neighbours, sigma=term.sigma
        )
        return torch.autograd.grad(loss, logits)[0]

    def plain() -> Tensor:
        index, weight = baselines.encode(ab, points, term.neighbours, term.sigma)
        return torch.autograd.grad(baselines.compact_loss(logits.float(), index, weight, class_weight), logits)[0]

    found["cross entropy"] = ours, plain
    if models.build(recipe.model, **recipe.options).kind == "classifier" and any(
        not isinstance(term, (CrossEntropy, Recognise)) for term in stage.losses
    ):
        grad = torch.randn(ab.shape, device=device)

        def annealed_mean() -> Tensor:
            made = ops.annealed_mean(logits, palette=palette, temperature=recipe.temperature)
            return torch.autograd.grad(made.float(), logits, grad)[0]

        def softmax_and_einsum() -> Tensor:
            made = baselines.decode(logits.float(), points, recipe.temperature)
            return torch.autograd.grad(made, logits, grad)[0]

        found["annealed mean"] = annealed_mean, softmax_and_einsum
    return found


def time_ops(found: dict[str, Pair], device: str) -> tuple[dict[str, float], dict[str, float]]:
    """Milliseconds of ours and of plain torch by op, each pair's results compared first."""
    ours, plain = {}, {}
    for name, (mine, theirs) in found.items():
        a, b = mine().detach().float(), theirs().detach().float()
        difference = float((a - b).norm() / b.norm())
        assert difference < 2e-2, f"{name}: differs from plain torch by {difference:.3g}"
        times = timing.alternate({"ours": mine, "plain": theirs}, device=device, seconds=1.0)
        ours[name], plain[name] = times["ours"], times["plain"]
    return ours, plain


def measure(name: str, number: int, data: Path, folder: Path, options: TrainBenchOptions) -> dict[str, Any]:
    """One stage: train it for a few steps, then time its ops."""
    recipe = one_stage(PRESETS[name], number)
    stage = recipe.stages[0]
    batch = options.batch_size or min(stage.batch_size, BATCHES.get(name, stage.batch_size))
    steps = options.steps or STEPS.get(name, FEW)
    fastcolor.train(
        data, recipe, folder, steps=steps, batch_size=batch, crop=options.crop,
        device=options.device, workers=options.workers,
    )  # fmt: skip
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    settled = log[min(5, steps // 2) :]  # the first steps allocate, and workers are ahead by four batches
    precision = json.loads((folder / "run.json").read_text())["precision"]
    step_ms = statistics.median(1e3 * batch / entry["pictures_per_second"] for entry in settled)
    stage = replace(stage, view=replace(stage.view, crop=options.crop or stage.view.crop))
    ours, plain = time_ops(pairs(recipe, stage, batch, precision, options.device), options.device)
    rest = step_ms - sum(ours.values())
    return {
        "preset": name,
        "stage": number + 1,
        "stages": len(PRESETS[name].stages),
        "crop": stage.view.crop,
        "batch": batch,
        "own_batch": stage.batch_size,
        "precision": precision,
        "steps": len(settled),
        "step_ms": step_ms,
        "pictures_per_second": 1e3 * batch / step_ms,
        "wait_share": statistics.median(entry["wait_share"] for entry in settled),
        "ours_ms": ours,
        "plain_ms": plain,
        "ours_share": sum(ours.values()) / step_ms,
        "plain_share": sum(plain.values()) / (rest + sum(plain.values())),
    }


def text(row: dict[str, Any]) -> str:
    """One line of the table."""
    stage = f" {row['stage']}/{row['stages']}" if row["stages"] > 1 else ""
    batch = f"{row['batch']}" + (f" of {row['own_batch']}" if row["batch"] != row["own_batch"] else "")
    return (
        f"{row['preset'] + stage:20} {row['crop']:>4} {batch:>8} {row['precision']:>5} {row['step_ms']:9.0f} "
        f"{row['pictures_per_second']:10.2f} {100 * row['wait_share']:7.1f} {100 * row['ours_share']:7.2f} "
        f"{100 * row['plain_share']:7.2f}"
    )


def main(options: TrainBenchOptions) -> dict[str, Any]:
    if unknown := set(options.only) - set(PRESETS):
        raise ValueError(f"only: must name presets, {', '.join(PRESETS)}, got {', '.join(sorted(unknown))}")
    torch.set_num_threads(options.threads)
    rows = []
    print(
        f"{'preset':20} {'crop':>4} {'batch':>8} {'':>5} {'ms/step':>9} {'pictures/s':>10} {'wait %':>7} {'ops %':>7} "
        f"{'torch %':>7}"
    )
    with tempfile.TemporaryDirectory() as scratch:
        data = options.data or demo_pictures(Path(scratch) / "pictures")
        for name, recipe in PRESETS.items():
            if recipe.model == START:  # the network of another
                continue
            for number in range(len(recipe.stages)) if not options.only or name in options.only else ():
                with tempfile.TemporaryDirectory() as folder:
                    rows.append(measure(name, number, data, Path(folder) / "run", options))
                print(text(rows[-1]), flush=True)
    facts = timing.machine() | {"threads": options.threads, "device": options.device}
    results = {"machine": facts, "data": "demo crops" if options.data is None else options.data.name, "rows": rows}
    out = options.out or RESULTS / f"{machine_name()}-train.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results, indent=1) + "\n")
    return results


if __name__ == "__main__":
    timing.tune_malloc()
    main(tyro.cli(TrainBenchOptions, config=(tyro.conf.FlagCreatePairsOff,)))
