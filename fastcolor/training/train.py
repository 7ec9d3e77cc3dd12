"""Training: one readable loop, its settings as data.

Every batch, crop and bit of noise is determined by the seed and the step's number, and a checkpoint holds all else, so
a run that was stopped or killed goes on as if nothing had happened.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from .. import models, ops
from ..atomic import write_bytes
from ..data import Crops, Item, Source, View, batches, find
from ..device import device_of
from ..models import download, weights
from ..palette import Palette, load_prior, smooth_prior
from ..palette import prior as measure_prior
from . import checkpoint as checkpoints
from . import preset_checks as recipe
from . import processes as parallel
from .checkpoint import TrainingError
from .initialise import balance_gradients, data_dependent
from .learner import Learner
from .log import Log, tensorboard_writer
from .preset_checks import check
from .presets import PRESETS, Preset
from .sheet import sample_sheet
from .watches import GrayData, GrayWatch, Interrupted, Stopped

__all__ = ["PRESETS", "Preset", "TrainResult", "TrainingError", "train"]

_WATCH_EVERY = 50  # steps between looks at how colourful the network is
_MOST_SKIPPED = 10  # steps in a row that change nothing


@dataclass(frozen=True)
class TrainResult:
    """What a run left: `weights` (a file for `Colorizer(weights=...)`), `metrics` of its last steps, `steps` taken,
    and how many pictures were `skipped` because they could not be read."""

    weights: Path
    metrics: dict[str, float]
    steps: int
    skipped: int = 0


def train(
    data: Source,
    preset: str | Preset = "default",
    out: str | os.PathLike[str] = "runs/a",
    *,
    steps: int | None = None,
    batch_size: int | None = None,
    crop: int | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto",
    encoder: str | os.PathLike[str] | None = None,
    palette: str | os.PathLike[str] | Palette | None = None,
    prior: str | os.PathLike[str] | None = None,
    workers: int = 1,
    accumulate: int = 1,
    compile: bool = False,
    on_bad_picture: Literal["skip", "stop"] = "skip",
    on_bad_loss: Literal["skip", "stop"] = "stop",
    checkpoint_every: int = 500,
    keep: int = 2,
    sheet_every: int | None = None,
    tensorboard: bool = False,
    resume: bool = False,
) -> TrainResult:
    """Train a generator on a user's own colour pictures. Under `torchrun`, every process takes a batch of its own.

    Args:
        data: a folder, zip or tar file, list (.txt), or several of these.
        preset: the recipe, one of `PRESETS` or your own. steps, batch_size, crop: in place of the preset's own; stages
            and schedules keep their shares of the steps. Batch size is that of one process.
        out: folder for `log.jsonl` (one line a step), `checkpoint-*.safetensors`, `samples-*.png` and
            `weights.safetensors`.
        seed: of weights, crops and noise. device: "auto", "cpu", "cuda" or "cuda:1".
        precision: of the networks; "auto" takes bfloat16 where the processor computes in it. "fp16" scales the loss.
        encoder: ImageNet weights to start the encoder from, a state dict under torchvision's names: of MobileNetV2 for
            `default`, of ResNet18 for `resnet-unet`; "resnet18" downloads torchvision's.
        palette: of a classifier, as `Palette.load` takes it; None is the 313-point grid.
        prior: colour prior for the class weights, as `survey.load_prior` takes it; None measures the data's own.
        workers: processes that read pictures; 0 reads them in this one.
        accumulate: pieces that a batch goes through the networks in, to save memory. Gradients add up to the batch's;
            BatchNorm sees a piece at a time.
        compile: the generator through torch.compile.
        on_bad_picture: "skip" names an unreadable picture once and takes another; "stop" ends the run.
        on_bad_loss: a loss or gradient that is not finite: "stop" ends the run; "skip" says so, leaves the generator as
            it was and goes on, unless it happens ten times in a row.
        checkpoint_every: steps between checkpoints, of which the newest `keep` stay. sheet_every: steps between sample
            sheets; None: with every checkpoint. tensorboard: write its files too (extra `tensorboard`).
        resume: go on from the last checkpoint in `out`, with the same settings. Other `steps` are taken where the
            preset's schedule would have made the steps so far the same, as a constant one does.

    Returns:
        Where the weights are, the means over the last hundred steps, the number of steps and of unreadable pictures.

    Raises:
        ValueError, FileNotFoundError: bad arguments or data. FileExistsError: `out` holds a run and `resume` is off.
        TrainingError: the disk is full, or a loss or a picture is bad and `on_bad_loss` or `on_bad_picture` says
            "stop". KeyboardInterrupt (`watches.Stopped`): Ctrl-C or SIGTERM, after a checkpoint was written.
        DownloadError: `encoder` cannot be downloaded.

    Example:
        >>> train("photos/", out="runs/mine", steps=2000)  # doctest: +SKIP
    """
    plan = recipe.fit(preset, steps, batch_size, crop)
    for name, value, least in (("workers", workers, 0), ("accumulate", accumulate, 1), ("keep", keep, 1)):
        check(value >= least, name, f"be at least {least}", value)
    for name, value in (("checkpoint_every", checkpoint_every), ("sheet_every", sheet_every)):
        check(value is None or value >= 1, name, "be at least 1", value)
    for name, value in (("on_bad_picture", on_bad_picture), ("on_bad_loss", on_bad_loss)):
        check(value in ("skip", "stop"), name, "be 'skip' or 'stop'", repr(value))
    check(precision in ("auto", "bf16", "fp16", "fp32"), "precision", "be auto, bf16, fp16 or fp32", repr(precision))
    given = palette if isinstance(palette, Palette) or palette is None else Palette.load(palette)
    check(given is None or plan.classifies, "palette", f"be left out: {plan.model} has no classes here", given)
    palette = given or (Palette.square() if plan.palette == "square" else Palette.grid())
    check(prior is None or plan.needs_prior, "prior", f"be left out: no loss of {plan.model} weighs colours", prior)
    given_prior = load_prior(prior, palette) if prior is not None else None
    board = tensorboard_writer() if tensorboard else None
    items, out = find(data), Path(out)
    with parallel.join(device_of(device)) as (processes, target):
        if precision == "auto":
            precision = "bf16" if _bf16_is_fast(target) else "fp32"
        options = {**plan.options, **({"bins": len(given)} if given else {})}
        model = _network(plan, options, palette, encoder, accumulate, seed)
        settings = {
            **asdict(plan),
            "seed": seed,
            "pictures": len(items),
            "palette": palette.key,
            "precision": precision,
            "accumulate": accumulate,
            "processes": processes.size,
        }
        del settings["saturation"]  # which no step depends on
        if processes.first:
            checkpoint = checkpoints.open_run(
                out, settings, resume, lambda before, done: recipe.check_steps(plan, before, done)
            )
            if plan.needs_prior:
                _prior_of(items, palette, given_prior, out)
        processes.wait()
        if not processes.first:
            checkpoint = checkpoints.load(checkpoints.files(out)[-1]) if resume and checkpoints.files(out) else None

        crops = Crops(items, seed)
        model = model.to(target, memory_format=torch.channels_last)
        if plan.initialise == "kmeans" and checkpoint is None:
            _start_from_data(model, plan, crops, target, seed)
        processes.broadcast(model)
        learner = Learner(
            plan,
            processes.synchronise(model, target),
            palette,
            _prior_of(items, palette, given_prior, out) if plan.needs_prior else None,
            seed=seed,
            processes=processes,
            device=target,
            amp={"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision),
            accumulate=accumulate,
            compile=compile,
        )
        skipped = set[str]()
        if checkpoint is not None:
            learner.restore(checkpoint)
            skipped = set(checkpoint.facts.get("skipped", ()))
            del checkpoint

        feed = batches(crops, _numbers(plan, learner.step, processes), workers, pin_memory=target.type == "cuda")
        watch, gray_data, in_a_row = GrayWatch(), GrayData(len(items)), 0
        with (
            Log(out if processes.first else None, learner.step, plan.steps, board) as log,
            Interrupted() as interrupted,
            closing(feed),
        ):
            while learner.step < plan.steps:
                start, step = time.perf_counter(), learner.step + 1
                batch = next(feed)
                for problem in batch.problems:
                    if on_bad_picture == "stop":
                        raise TrainingError(f"step {step}: {problem}; {checkpoints.last(out)}")
                    if problem not in skipped:
                        skipped.add(problem)
                        log.say(f"skipped {problem}")
                rgb = batch.rgb.to(target, non_blocking=True)
                waited = time.perf_counter() - start

                lab = ops.rgb_to_lab(rgb, layout="hwc")
                looks = (step - 1) % _WATCH_EVERY == 0
                parts = learner.backward(lab, watch if looks else None)
                flag = torch.tensor(float(interrupted.signal > 0), device=target)
                told = torch.stack([value.float() for value in (*parts.values(), gray_data.share(lab), flag)])
                *values, gray_share, stop = processes.mean(told).tolist()
                losses = dict(zip(parts, values, strict=True))
                norm = learner.update(losses)
                in_a_row = in_a_row + 1 if learner.problem else 0
                if learner.problem and (on_bad_loss == "stop" or in_a_row == _MOST_SKIPPED):
                    again = f", the {in_a_row}th time in a row" if in_a_row > 1 else ""
                    raise TrainingError(f"{learner.problem} at step {step}{again}; {checkpoints.last(out)}")
                if learner.problem:
                    log.say(f"{learner.problem} at step {step}, which is not followed")

                seconds = time.perf_counter() - start
                entry = {
                    "step": step,
                    "loss": losses.pop("loss"),
                    **losses,
                    "gradient_norm": norm,
                    "learning_rate": learner.learning_rate,
                    "pictures_per_second": len(rgb) * processes.size / seconds,
                    "wait_share": waited / seconds,
                    **({"chroma_ratio": watch.ratio} if looks else {}),
                }
                for words in (watch.words(step) if looks else None, gray_data.words(gray_share, len(rgb))):
                    if words:
                        log.say(words)
                log.add(entry)
                last, leave = step == plan.steps, stop > 0
                # Of steps that are skipped only what must be kept: good checkpoints stay.
                if processes.first and (last or leave or (step % checkpoint_every == 0 and not in_a_row)):
                    networks, facts = learner.state()
                    checkpoints.save(out, step, networks, {**facts, "skipped": sorted(skipped)}, keep)
                if processes.first and (last or leave or step % (sheet_every or checkpoint_every) == 0):
                    sample_sheet(out / f"samples-{step:06d}.png", learner.average, rgb[:8], palette, plan.temperature)
                if leave and not last:
                    processes.wait()  # torchrun ends the others when one leaves: not before the checkpoint is there
                    number = interrupted.signal or signal.SIGTERM  # or another process was told to stop
                    raise Stopped(
                        f"stopped by {signal.Signals(number).name} after step {step} of {plan.steps}; resume goes on "
                        f"from {checkpoints.files(out)[-1]}",
                        number,
                    )
            metrics = log.means()
        path = out / "weights.safetensors"
        if processes.first:
            card = {
                "preset": preset if isinstance(preset, str) else "own",
                "steps": str(learner.step),
                "pictures": str(len(items)),
                "seed": str(seed),
            }
            try:
                weights.save(
                    path, learner.average, name=plan.model, options=options,
                    palette=palette if model.kind == "classifier" else None, temperature=plan.temperature,
                    saturation=plan.saturation, size=plan.size, card=card,
                )  # fmt: skip
            except (OSError, SafetensorError) as error:
                raise TrainingError(f"{path} cannot be written ({error}); {checkpoints.last(out)}") from None
        processes.wait()
    return TrainResult(path, metrics, learner.step, len(skipped))


def _network(
    plan: Preset,
    options: dict[str, object],
    palette: Palette,
    encoder: str | os.PathLike[str] | None,
    accumulate: int,
    seed: int,
) -> nn.Module:
    """The generator as it begins, on the CPU. ValueError where crops or encoder do not fit it."""
    torch.manual_seed(seed)
    model = models.build(plan.model, **options)
    if isinstance(model, models.ECCV16):
        model.set_palette(palette)
    recipe.check_crops(model, plan, accumulate)
    if encoder is None:
        return model
    if not hasattr(model, "load_imagenet"):
        raise ValueError(
            f"encoder: {type(model).__name__} has no encoder to start from ImageNet weights, got {encoder}"
        )
    if str(encoder) == "resnet18":
        check(isinstance(model, models.ResNetUNet), "encoder", "be a file: resnet18 is that of resnet-unet", encoder)
        encoder = download.fetch("resnet18")
    model.load_imagenet(weights.state_dict(encoder))
    return model


def _start_from_data(model: nn.Module, plan: Preset, crops: Crops, device: torch.device, seed: int) -> None:
    """Set the weights from the first batch of the run."""
    first = plan.stages[0]
    with closing(batches(crops, [(0, first.batch_size, first.view)], 0)) as feed:
        rgb = next(feed).rgb.to(device)
    lightness = ops.rgb_to_lab(rgb, layout="hwc")[:, :1]
    balance_gradients(data_dependent(model, lightness, seed=seed), lightness, seed=seed)


def _bf16_is_fast(device: torch.device) -> bool:
    """Does the processor multiply in bfloat16, rather than emulate it?"""
    return device.type == "cuda" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _numbers(plan: Preset, step: int, processes: parallel.Processes) -> Iterator[tuple[int, int, View]]:
    """(first crop, batch size, view) of every step from `step` on: the processes' batches lie one after another."""
    first = 0
    for number in range(plan.steps):
        stage = plan.stage(number)
        if number >= step:
            yield first + processes.rank * stage.batch_size, stage.batch_size, stage.view
        first += processes.size * stage.batch_size


def _prior_of(items: list[Item], palette: Palette, given: Tensor | None, out: Path) -> Tensor:
    """The prior that class weights are made from, kept in the run's folder: the given one, or the smoothed prior of at
    most 4,000 of the pictures."""
    file = out / "prior.json"
    if not file.exists():
        p = given
        if p is None:
            crops, view = Crops(items, seed=0), View(64, 0.9, 1.0)
            labs = (ops.rgb_to_lab(crops[i, view][0][None], layout="hwc")[:, 1:] for i in range(min(len(items), 4000)))
            p = smooth_prior(measure_prior(labs, palette), palette)
        write_bytes(file, json.dumps(p.tolist()).encode())
    return torch.tensor(json.loads(file.read_text()), dtype=torch.float64)
