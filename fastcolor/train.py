"""Training: one readable loop, its settings as data.

Every batch is determined by the seed and the step's number, and a checkpoint holds all else, so a run that was stopped
or killed goes on as if nothing had happened.
"""

from __future__ import annotations

import copy
import json
import math
import os
import pickle
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from . import models, ops, weights
from .data import Crops, Source, View, batches, find
from .engines import device_of
from .palette import Palette, class_weights, prior, smooth_prior


@dataclass(frozen=True)
class Stage:
    """A part of training, up to the share `until` of all steps."""

    until: float
    batch_size: int
    view: View


@dataclass(frozen=True)
class Preset:
    """A recipe. Learning rates follow a warm-up and half a cosine; `freeze` first blocks of the encoder keep their
    weights; the exported weights are an exponential average over steps."""

    model: str
    steps: int
    stages: tuple[Stage, ...]
    learning_rate: float
    encoder_learning_rate: float
    weight_decay: float = 0.02
    betas: tuple[float, float] = (0.9, 0.99)
    warmup: int = 300
    clip: float = 5.0
    ema: float = 0.999
    freeze: int = 0
    mix: float = 0.5  # share of the uniform distribution in the class weights
    temperature: float = 0.38
    size: int = 256


PRESETS: dict[str, Preset] = {
    "default": Preset(
        model="default",
        steps=12_000,
        stages=(Stage(0.65, 32, View(128, 0.5, 1.0)), Stage(1.0, 16, View(192, 0.65, 1.0))),
        learning_rate=1.5e-3,
        encoder_learning_rate=4e-4,
        freeze=4,
    )
}


@dataclass(frozen=True)
class TrainResult:
    """What a run left: `weights` (a file for `Colorizer(weights=...)`), `metrics` of its last steps, `steps` taken."""

    weights: Path
    metrics: dict[str, float]
    steps: int


class TrainingError(RuntimeError):
    """Training cannot go on; the message says at which step and why. The last checkpoint is whole."""


def train(
    data: Source,
    preset: str = "default",
    out: str | os.PathLike[str] = "runs/a",
    *,
    steps: int | None = None,
    batch_size: int | None = None,
    crop: int | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: Literal["auto", "bf16", "fp32"] = "auto",
    encoder: str | os.PathLike[str] | None = None,
    workers: int = 1,
    checkpoint_every: int = 500,
    resume: bool = False,
) -> TrainResult:
    """Train a generator on a user's own colour pictures.

    Args:
        data: a folder, zip or tar file, list (.txt), or several of these.
        preset: the recipe, one of `PRESETS`. steps, batch_size, crop: in place of the preset's own.
        out: folder for `log.jsonl` (one line a step), `checkpoint.pt`, `samples-*.png` and `weights.safetensors`.
        seed: of weights and crops. device: "auto", "cpu", "cuda" or "cuda:1".
        precision: of the network; "auto" takes bfloat16 where the processor computes in it.
        encoder: ImageNet weights to start the encoder from: a MobileNetV2 state dict under torchvision's names.
        workers: processes that read pictures; 0 reads them in this one.
        checkpoint_every: steps between checkpoints. resume: go on from the checkpoint in `out`.

    Returns:
        Where the weights are, the means over the last hundred steps, the number of steps.

    Raises:
        ValueError, FileNotFoundError: bad arguments or data. FileExistsError: `out` holds a run and `resume` is off.
        TrainingError: the loss is no longer finite. KeyboardInterrupt: after a checkpoint was written.

    Example:
        >>> train("photos/", out="runs/mine", steps=2000)  # doctest: +SKIP
    """
    recipe = _recipe(preset, steps, batch_size, crop)
    out, target = Path(out), device_of(device)
    amp = _bf16_is_fast(target) if precision == "auto" else precision == "bf16"
    items = find(data)
    checkpoint = _open_run(out, recipe, seed, len(items), resume)

    torch.manual_seed(seed)
    model = models.build(recipe.model)
    if encoder is not None:
        model.load_imagenet(torch.load(encoder, map_location="cpu", weights_only=True))
    model = model.to(target, memory_format=torch.channels_last)
    average = copy.deepcopy(model).eval().requires_grad_(False)
    optimiser = torch.optim.AdamW(
        _parameter_groups(model, recipe), weight_decay=recipe.weight_decay, betas=recipe.betas
    )
    step = 0
    if checkpoint is not None:
        model.load_state_dict(checkpoint["model"])
        average.load_state_dict(checkpoint["average"])
        optimiser.load_state_dict(checkpoint["optimiser"])
        step = checkpoint["step"]
    palette = Palette.grid()
    weight = class_weights(_prior_of(items, palette, out), mix=recipe.mix).to(target)

    log = open(out / "log.jsonl", "a", buffering=1)
    recent: list[dict[str, float]] = []
    feed = batches(Crops(items, seed), _plan(recipe, step), workers)
    with log, _Interrupted() as interrupted:
        while step < recipe.steps:
            start = time.perf_counter()
            rgb = next(feed).to(target, non_blocking=True)
            waited = time.perf_counter() - start

            lab = ops.rgb_to_lab(rgb, layout="hwc")
            lightness, ab = lab[:, :1], F.avg_pool2d(lab[:, 1:], 4)
            rate = _learning_rate(step, recipe)
            for group in optimiser.param_groups:
                group["lr"] = group["base"] * rate
            _train_mode(model, recipe.freeze)
            with torch.autocast(target.type, torch.bfloat16, enabled=amp):
                logits = model(lightness)
            loss = ops.rebalanced_cross_entropy(logits, ab, class_weight=weight, inplace=True)
            if not math.isfinite(value := loss.item()):
                raise TrainingError(
                    f"the loss became {value} at step {step + 1}; the last checkpoint is {out}/checkpoint.pt"
                )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(_trained(model), recipe.clip)
            optimiser.step()
            step += 1
            _update_average(average, model, min(recipe.ema, (1 + step) / (10 + step)))

            seconds = time.perf_counter() - start
            entry = {
                "step": step,
                "loss": value,
                "cross_entropy": value,
                "gradient_norm": float(norm),
                "learning_rate": rate * recipe.learning_rate,
                "pictures_per_second": len(rgb) / seconds,
                "wait_share": waited / seconds,
            }
            log.write(json.dumps(entry) + "\n")
            recent = [*recent[-99:], entry]
            last = step == recipe.steps
            if last or interrupted.flag or step % checkpoint_every == 0:
                _save_checkpoint(out, step, model, average, optimiser)
                _sample_sheet(out / f"samples-{step:06d}.png", average, rgb[:8], palette, recipe.temperature)
            if interrupted.flag and not last:
                raise KeyboardInterrupt
    metrics = (
        {key: float(np.mean([e[key] for e in recent])) for key in ("loss", "pictures_per_second", "wait_share")}
        if recent
        else {}
    )
    path = out / "weights.safetensors"
    card = {"preset": preset, "steps": str(step), "pictures": str(len(items)), "seed": str(seed)}
    weights.save(
        path, average, name=recipe.model, options={}, palette=palette, temperature=recipe.temperature,
        size=recipe.size, card=card,
    )  # fmt: skip
    return TrainResult(path, metrics, step)


def _recipe(preset: str, steps: int | None, batch_size: int | None, crop: int | None) -> Preset:
    if preset not in PRESETS:
        raise ValueError(f"preset: must be one of {', '.join(PRESETS)}, got {preset!r}")
    for name, value in (("steps", steps), ("batch_size", batch_size), ("crop", crop)):
        if value is not None and value < 1:
            raise ValueError(f"{name}: must be at least 1, got {value}")
    if crop is not None and crop % 32:
        raise ValueError(f"crop: must be a multiple of 32, got {crop}")
    recipe = PRESETS[preset]
    stages = tuple(
        Stage(s.until, batch_size or s.batch_size, replace(s.view, crop=crop or s.view.crop)) for s in recipe.stages
    )
    return replace(recipe, steps=steps or recipe.steps, stages=stages)


def _bf16_is_fast(device: torch.device) -> bool:
    """Does the processor multiply in bfloat16, rather than emulate it?"""
    return device.type == "cuda" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _open_run(out: Path, recipe: Preset, seed: int, pictures: int, resume: bool) -> dict[str, Any] | None:
    """Make the folder of a new run, or read the checkpoint of an old one and cut its log back to it."""
    settings = json.loads(json.dumps({**asdict(recipe), "seed": seed, "pictures": pictures}))
    file, old = out / "run.json", out / "checkpoint.pt"
    if not resume:
        if file.exists():
            raise FileExistsError(f"out: {out} already holds a run; resume it or name another folder")
        out.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(settings, indent=1))
        return None
    if not file.exists():
        raise FileNotFoundError(f"resume: {out} holds no run to go on with")
    before = json.loads(file.read_text())
    changed = [key for key in settings if before.get(key) != settings[key]]
    if changed:
        raise ValueError(f"resume: {', '.join(changed)} differ from the run in {out}; give the same settings and data")
    checkpoint = None
    if old.exists():
        try:
            checkpoint = torch.load(old, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
            raise ValueError(f"resume: {old} is damaged ({str(error).splitlines()[0]})") from None
    if (log := out / "log.jsonl").exists():
        done = checkpoint["step"] if checkpoint else 0
        kept = [line for line in log.read_text().splitlines()[:done]]
        _replace(log, "".join(line + "\n" for line in kept).encode())
    return checkpoint


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def _parameter_groups(model: nn.Module, recipe: Preset) -> list[dict[str, Any]]:
    """Encoder and decoder at their own rates; frozen blocks in neither."""
    encoder = list(model.features[recipe.freeze :].parameters())
    for parameter in model.features[: recipe.freeze].parameters():
        parameter.requires_grad_(False)
    decoder = [p for name, p in model.named_parameters() if not name.startswith("features.")]
    return [
        {"params": encoder, "base": recipe.encoder_learning_rate},
        {"params": decoder, "base": recipe.learning_rate},
    ]


def _trained(model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.requires_grad]


def _train_mode(model: nn.Module, freeze: int) -> None:
    model.train()
    model.features[:freeze].eval()  # frozen blocks keep their statistics too


def _learning_rate(step: int, recipe: Preset) -> float:
    """Factor on the base rates: linear warm-up, then half a cosine down to 0.5 %."""
    warm = min(1.0, (step + 1) / min(recipe.warmup, max(recipe.steps // 20, 1)))  # short runs warm up sooner
    return warm * (0.5 * (1 + math.cos(math.pi * step / recipe.steps)) * 0.995 + 0.005)


def _plan(recipe: Preset, step: int) -> Iterator[tuple[int, int, View]]:
    """(first crop, batch size, view) of every step from `step` on."""
    first = 0
    for number in range(recipe.steps):
        stage = next(s for s in recipe.stages if number < s.until * recipe.steps)
        if number >= step:
            yield first, stage.batch_size, stage.view
        first += stage.batch_size


def _prior_of(items: list[Any], palette: Palette, out: Path) -> Tensor:
    """The smoothed colour prior of at most 4,000 of the pictures, kept in the run's folder."""
    file = out / "prior.json"
    if not file.exists():
        crops = Crops(items, seed=0)
        view = View(64, 0.9, 1.0)
        count = min(len(items), 4000)
        labs = (ops.rgb_to_lab(crops[i, view][None], layout="hwc")[:, 1:] for i in range(count))
        _replace(file, json.dumps(smooth_prior(prior(labs, palette), palette).tolist()).encode())
    return torch.tensor(json.loads(file.read_text()), dtype=torch.float64)


@torch.no_grad()
def _update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    pairs = zip(average.state_dict().values(), model.state_dict().values(), strict=True)
    floats = [(a, b) for a, b in pairs if a.is_floating_point()]
    torch._foreach_lerp_([a for a, _ in floats], [b for _, b in floats], 1 - decay)


def _save_checkpoint(
    out: Path, step: int, model: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer
) -> None:
    temporary = out / "checkpoint.tmp"
    state = {
        "step": step,
        "model": model.state_dict(),
        "average": average.state_dict(),
        "optimiser": optimiser.state_dict(),
    }
    torch.save(state, temporary)
    os.replace(temporary, out / "checkpoint.pt")


@torch.no_grad()
def _sample_sheet(path: Path, model: nn.Module, rgb: Tensor, palette: Palette, temperature: float) -> None:
    """Rows of pictures: gray, coloured, true."""
    lab = ops.rgb_to_lab(rgb, layout="hwc")
    ab = ops.annealed_mean(model(lab[:, :1]), palette=palette, temperature=temperature)
    rows = [ops.paint_rgb(torch.zeros_like(ab), lab[:, :1]), ops.paint_rgb(ab, lab[:, :1]), rgb]
    sheet = torch.cat([torch.cat(list(row), dim=1) for row in rows], dim=0)
    Image.fromarray(sheet.cpu().numpy()).save(path)


class _Interrupted:
    """Ctrl-C and a termination request become a flag that the loop looks at between steps."""

    flag = False

    def __enter__(self) -> _Interrupted:
        self._before = {}
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, lambda *_: setattr(self, "flag", True))
        except ValueError:  # not in the main thread: leave signals alone
            pass
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
