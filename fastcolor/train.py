"""Training: one readable loop, its settings as data.

Every batch, crop and bit of noise is determined by the seed and the step's number, and a checkpoint holds all else, so
a run that was stopped or killed goes on as if nothing had happened.
"""

from __future__ import annotations

import copy
import json
import math
import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from . import checkpoint as checkpoints
from . import download, models, ops, parallel, weights
from .checkpoint import TrainingError
from .data import Crops, Item, Source, View, batches, find
from .engines import device_of
from .files import write_bytes
from .hints import random_hints
from .initialise import balance_gradients, data_dependent
from .losses import Objective, discriminator_loss, shrink
from .palette import Palette, smooth_prior
from .palette import prior as measure_prior
from .presets import PRESETS, Optimiser, Preset, Stage
from .progress import GrayWatch, Interrupted, Log, Stopped, decode, sample_sheet, tensorboard_writer
from .survey import load_prior

__all__ = ["PRESETS", "Preset", "TrainResult", "TrainingError", "train"]

_WATCH_EVERY = 50  # steps between looks at how colourful the network is
_GRAY = 5.0  # a picture none of whose |a| and |b| exceeds it is gray, as in Zhang et al.'s published code
_GRAY_AFTER = 256  # crops, or all pictures if they are fewer, by which a data set is judged


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
        prior: colour prior for the class weights, as `palette.load_prior` takes it; None measures the data's own.
        workers: processes that read pictures; 0 reads them in this one.
        accumulate: pieces that a batch goes through the networks in, to save memory. Gradients add up to the batch's;
            BatchNorm sees a piece at a time.
        compile: the generator through torch.compile.
        on_bad_picture: "skip" names an unreadable picture once and takes another; "stop" ends the run.
        checkpoint_every: steps between checkpoints, of which the newest `keep` stay. sheet_every: steps between sample
            sheets; None: with every checkpoint. tensorboard: write its files too (extra `tensorboard`).
        resume: go on from the last checkpoint in `out`, with the same settings. Other `steps` are taken where the
            preset's schedule would have made the steps so far the same, as a constant one does.

    Returns:
        Where the weights are, the means over the last hundred steps, the number of steps and of unreadable pictures.

    Raises:
        ValueError, FileNotFoundError: bad arguments or data. FileExistsError: `out` holds a run and `resume` is off.
        TrainingError: the loss is no longer finite, the disk is full, or a picture is bad and `on_bad_picture` says
            "stop". KeyboardInterrupt (`progress.Stopped`): Ctrl-C or SIGTERM, after a checkpoint was written.
        DownloadError: `encoder` cannot be downloaded.

    Example:
        >>> train("photos/", out="runs/mine", steps=2000)  # doctest: +SKIP
    """
    recipe = _recipe(preset, steps, batch_size, crop)
    for name, value, least in (("workers", workers, 0), ("accumulate", accumulate, 1), ("keep", keep, 1)):
        _check(value >= least, name, f"be at least {least}", value)
    for name, value in (("checkpoint_every", checkpoint_every), ("sheet_every", sheet_every)):
        _check(value is None or value >= 1, name, "be at least 1", value)
    _check(on_bad_picture in ("skip", "stop"), "on_bad_picture", "be 'skip' or 'stop'", repr(on_bad_picture))
    _check(precision in ("auto", "bf16", "fp16", "fp32"), "precision", "be auto, bf16, fp16 or fp32", repr(precision))
    out = Path(out)
    given = palette if isinstance(palette, Palette) or palette is None else Palette.load(palette)
    _check(given is None or recipe.classifies, "palette", f"be left out: {recipe.model} has no classes here", given)
    palette = given or (Palette.square() if recipe.palette == "square" else Palette.grid())
    _check(
        prior is None or recipe.needs_prior, "prior", f"be left out: no loss of {recipe.model} weighs colours", prior
    )
    given_prior = load_prior(prior, palette) if prior is not None else None
    board = tensorboard_writer() if tensorboard else None
    items = find(data)
    with parallel.join(device_of(device)) as (processes, target):
        if precision == "auto":
            precision = "bf16" if _bf16_is_fast(target) else "fp32"
        amp = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)

        torch.manual_seed(seed)
        options = {**recipe.options, **({"bins": len(given)} if given else {})}
        model = models.build(recipe.model, **options)
        if isinstance(model, models.ECCV16):
            model.set_palette(palette)
        _check_crops(model, recipe)
        if encoder is not None:
            _load_encoder(model, encoder)

        settings = {
            **asdict(recipe),
            "seed": seed,
            "pictures": len(items),
            "palette": palette.key,
            "precision": precision,
            "accumulate": accumulate,
            "processes": processes.size,
        }
        if processes.first:
            checkpoint = checkpoints.open_run(
                out, settings, resume, lambda before, done: _check_steps(recipe, before, done)
            )
            if recipe.needs_prior:
                _prior_of(items, palette, given_prior, out)
        processes.wait()
        if not processes.first:
            checkpoint = checkpoints.load(checkpoints.files(out)[-1]) if resume and checkpoints.files(out) else None
        colour_prior = _prior_of(items, palette, given_prior, out) if recipe.needs_prior else None
        objectives = {s: Objective(s.losses, palette, colour_prior, target, recipe.target) for s in recipe.stages}

        crops = Crops(items, seed)
        model = model.to(target, memory_format=torch.channels_last)
        if recipe.initialise == "kmeans" and checkpoint is None:
            first_size, first_view = recipe.stages[0].batch_size, recipe.stages[0].view
            with closing(batches(crops, [(0, first_size, first_view)], 0)) as first_batch:
                rgb = next(first_batch).rgb.to(target)
            lightness = ops.rgb_to_lab(rgb, layout="hwc")[:, :1]
            balance_gradients(data_dependent(model, lightness, seed=seed), lightness, seed=seed)
        processes.broadcast(model)
        model = processes.synchronise(model, target)
        average = copy.deepcopy(model).eval().requires_grad_(False) if recipe.ema else model
        forward = torch.compile(model) if compile else model
        scaler = torch.amp.GradScaler(target.type, enabled=amp == torch.float16)
        step, skipped = 0, set[str]()
        if checkpoint is not None:
            checkpoint.restore({"model": model, **({"average": average} if recipe.ema else {})})
            scaler.load_state_dict(checkpoint.facts["scaler"])
            step, skipped = checkpoint.step, set(checkpoint.facts.get("skipped", ()))
        phase_end = step  # a phase begins with the first step from here

        def colours(lab: Tensor, piece: int, objective: Objective) -> tuple[Tensor | None, Tensor | None]:
            """(logits, ab) that the generator makes of a piece of this step's batch."""
            torch.manual_seed(_noise_seed(seed, step, processes.rank, piece))
            extra: dict[str, Any] = {}
            stage = recipe.stage(step)
            if stage.trunk != "both":
                extra["trunk"] = stage.trunk
            if stage.hints:
                extra["hints"] = random_hints(lab[:, 1:], np.random.default_rng((seed, 3, step, processes.rank, piece)))
            if model.kind == "regressor" and objective.needs_logits:
                extra["both"] = True
            with torch.autocast(target.type, amp, enabled=amp is not None):
                output = forward(lab[:, :1], **extra)
            if isinstance(output, tuple):
                return output
            if model.kind == "classifier" and not objective.needs_colour:
                return output, None
            return decode(model, output, palette, recipe.temperature)

        feed = batches(crops, _plan(recipe, step, processes), workers, pin_memory=target.type == "cuda")
        watch = GrayWatch()
        seen = seen_gray = 0
        with (
            Log(out if processes.first else None, step, recipe.steps, board) as log,
            Interrupted() as interrupted,
            closing(feed),
        ):
            while step < recipe.steps:
                start = time.perf_counter()
                stage = recipe.stage(step)
                objective = objectives[stage]
                if step == phase_end:
                    phase, phase_end = recipe.phase(step)
                    optimiser = _optimiser(model, recipe, stage.optimiser)
                    parts: dict[str, nn.Module | torch.optim.Optimizer] = {"optimiser": optimiser}
                    if any(objectives[s].adversarial for s in recipe.stages if s.optimiser == stage.optimiser):
                        torch.manual_seed(seed + 1)
                        discriminator = models.build_discriminator(recipe.discriminator, **recipe.discriminator_options)
                        discriminator = processes.synchronise(discriminator.to(target), target)
                        judge = _optimiser(discriminator, recipe, replace(stage.optimiser, encoder_learning_rate=None))
                        parts |= {"discriminator": discriminator, "discriminator_optimiser": judge}
                    if checkpoint is not None and checkpoint.facts["phase"] == phase:
                        checkpoint.restore(parts)
                    checkpoint = None

                batch = next(feed)
                for problem in batch.problems:
                    if on_bad_picture == "stop":
                        raise TrainingError(f"step {step + 1}: {problem}; {checkpoints.last(out)}")
                    if problem not in skipped:
                        skipped.add(problem)
                        log.say(f"skipped {problem}")
                rgb = batch.rgb.to(target, non_blocking=True)
                waited = time.perf_counter() - start

                lab = ops.rgb_to_lab(rgb, layout="hwc")
                gray_share = (lab[:, 1:].abs().amax((1, 2, 3)) <= _GRAY).float().mean()
                pieces = lab.chunk(accumulate)
                sums: dict[str, Tensor] = {}
                rate = stage.optimiser.factor_at(step - phase, phase_end - phase)
                for each in parts.values():
                    for group in each.param_groups if isinstance(each, torch.optim.Optimizer) else ():
                        group["lr"] = group["base"] * rate
                _train_mode(model, recipe.freeze)

                # The discriminator learns first, as published. One piece is kept for the generator's turn; several are
                # painted again there, with the same noise.
                kept: tuple[Tensor | None, Tensor | None] | None = None
                if objective.adversarial:
                    discriminator.requires_grad_(True)
                    judge.zero_grad(set_to_none=True)
                    for number, piece in enumerate(pieces):
                        with torch.set_grad_enabled(len(pieces) == 1):
                            logits, made = colours(piece, number, objective)
                        kept = (logits, made) if len(pieces) == 1 else None
                        true = shrink(piece, made, recipe.target)
                        with torch.autocast(target.type, amp, enabled=amp is not None):
                            fake_scores = discriminator(true[:, :1], made.detach())
                            real_scores = discriminator(true[:, :1], true[:, 1:])
                        loss = discriminator_loss(real_scores.float(), fake_scores.float(), objective.gan_kind)
                        share = len(piece) / len(lab)
                        scaler.scale(loss * share).backward()
                        sums["discriminator"] = sums.get("discriminator", 0) + share * loss.detach()
                    processes.average_gradients(discriminator.parameters())
                    scaler.step(judge)
                    discriminator.requires_grad_(False)

                optimiser.zero_grad(set_to_none=True)
                for number, piece in enumerate(pieces):
                    logits, made = kept or colours(piece, number, objective)
                    if step % _WATCH_EVERY == 0 and number == 0:
                        with torch.no_grad():
                            ab = decode(model, logits, palette, recipe.temperature)[1] if made is None else made
                            chroma_ratio, gray = watch(ab, piece[:, 1:])
                    scores = features = None
                    if objective.adversarial:
                        true = shrink(piece, made, recipe.target)
                        with torch.autocast(target.type, amp, enabled=amp is not None):
                            scores, made_features = discriminator(true[:, :1], made, features=True)
                            if objective.matches_features:
                                with torch.no_grad():
                                    _, true_features = discriminator(true[:, :1], true[:, 1:], features=True)
                                features = made_features, true_features
                    loss, losses = objective(made, logits, piece[:, 1:], scores, features)
                    share = len(piece) / len(lab)
                    scaler.scale(loss * share if share < 1 else loss).backward()
                    for name, value in {"loss": loss, **losses}.items():
                        sums[name] = sums.get(name, 0) + share * value.detach()
                processes.average_gradients(model.parameters())
                flag = torch.tensor(float(interrupted.signal > 0), device=target)
                told = torch.stack([v.float() for v in (*sums.values(), gray_share, flag)])
                *values, gray_share, stop = processes.mean(told).tolist()
                values = dict(zip(sums, values, strict=True))
                if not all(map(math.isfinite, values.values())):
                    bad = next(name for name in ("loss", *values) if not math.isfinite(values[name]))
                    word = "loss" if bad == "loss" else f"loss of the {bad}"
                    raise TrainingError(f"the {word} became {values[bad]} at step {step + 1}; {checkpoints.last(out)}")
                scaler.unscale_(optimiser)
                norm = nn.utils.clip_grad_norm_(_trained(model), stage.optimiser.clip or math.inf)
                scaler.step(optimiser)
                scaler.update()
                step += 1
                if recipe.ema:
                    _update_average(average, model, min(recipe.ema, (1 + step) / (10 + step)))

                seconds = time.perf_counter() - start
                entry = {
                    "step": step,
                    "loss": values.pop("loss"),
                    **values,
                    "gradient_norm": float(norm),
                    "learning_rate": rate * stage.optimiser.learning_rate,
                    "pictures_per_second": len(rgb) * processes.size / seconds,
                    "wait_share": waited / seconds,
                }
                if (step - 1) % _WATCH_EVERY == 0:
                    entry["chroma_ratio"] = chroma_ratio
                    if gray:
                        log.say(
                            f"step {step}: the colours are going gray, at {100 * chroma_ratio:.0f} % of the pictures' "
                            "chroma; a rebalanced cross entropy or a discriminator keeps them up"
                        )
                enough = min(len(items), _GRAY_AFTER)
                first_enough, seen = seen < enough <= seen + len(rgb), seen + len(rgb)
                seen_gray += gray_share * len(rgb)
                if first_enough and seen_gray > seen / 2:
                    log.say(
                        f"{100 * seen_gray / seen:.0f} % of the pictures are gray (no |a| or |b| above {_GRAY:g}), and "
                        "a network learns gray from them; leave them out of the data"
                    )
                log.add(entry)
                last, leave = step == recipe.steps, stop > 0
                if processes.first and (last or leave or step % checkpoint_every == 0):
                    state = {"model": model, **({"average": average} if recipe.ema else {}), **parts}
                    facts = {"phase": phase, "scaler": scaler.state_dict(), "skipped": sorted(skipped)}
                    checkpoints.save(out, step, state, facts, keep)
                if processes.first and (last or leave or step % (sheet_every or checkpoint_every) == 0):
                    sample_sheet(out / f"samples-{step:06d}.png", average, rgb[:8], palette, recipe.temperature)
                if leave and not last:
                    processes.wait()  # torchrun ends the others when one leaves: not before the checkpoint is there
                    number = interrupted.signal or signal.SIGTERM  # or another process was told to stop
                    raise Stopped(
                        f"stopped by {signal.Signals(number).name} after step {step} of {recipe.steps}; resume goes on "
                        f"from {checkpoints.files(out)[-1]}",
                        number,
                    )
            metrics = log.means()
        path = out / "weights.safetensors"
        if processes.first:
            card = {
                "preset": preset if isinstance(preset, str) else "own",
                "steps": str(step),
                "pictures": str(len(items)),
                "seed": str(seed),
            }
            try:
                weights.save(
                    path, average, name=recipe.model, options=options,
                    palette=palette if model.kind == "classifier" else None, temperature=recipe.temperature,
                    size=recipe.size, card=card,
                )  # fmt: skip
            except (OSError, SafetensorError) as error:
                raise TrainingError(f"{path} cannot be written ({error}); {checkpoints.last(out)}") from None
        processes.wait()
    return TrainResult(path, metrics, step, len(skipped))


def _check(holds: bool, name: str, rule: str, got: object) -> None:
    if not holds:
        raise ValueError(f"{name}: must {rule}, got {got}")


def _recipe(preset: str | Preset, steps: int | None, batch_size: int | None, crop: int | None) -> Preset:
    if not isinstance(preset, Preset):
        _check(preset in PRESETS, "preset", f"be one of {', '.join(PRESETS)}", repr(preset))
    for name, value in (("steps", steps), ("batch_size", batch_size), ("crop", crop)):
        _check(value is None or value >= 1, name, "be at least 1", value)
    recipe = preset if isinstance(preset, Preset) else PRESETS[preset]
    stages = tuple(
        replace(s, batch_size=batch_size or s.batch_size, view=replace(s.view, crop=crop or s.view.crop))
        for s in recipe.stages
    )
    return replace(recipe, steps=steps or recipe.steps, stages=stages)


def _check_crops(model: nn.Module, recipe: Preset) -> None:
    """Every stage's crop must fit the network and, at the network's output size, the discriminator."""
    for stage in recipe.stages:
        crop = stage.view.crop
        _check(crop % model.stride == 0, "crop", f"be a multiple of {model.stride} for {recipe.model}", crop)
        least = 96 if model.kind == "classifier" else 24
        _check(not recipe.adversarial or crop >= least, "crop", f"be at least {least} for the discriminator", crop)


def _check_steps(recipe: Preset, before: int, done: int) -> None:
    """A run of `before` steps may get the recipe's where those that it took would have been the same."""
    least = f"be at least the {done} that the run has taken"
    _check(recipe.steps >= done, "steps", least, recipe.steps)

    def course(recipe: Preset, step: int) -> tuple[Stage, int, float]:
        stage, (first, end) = recipe.stage(step), recipe.phase(step)
        return stage, first, stage.optimiser.factor_at(step - first, end - first)

    old = replace(recipe, steps=before)
    for step in range(done):
        if course(old, step) != course(recipe, step):
            raise ValueError(
                f"resume: steps must stay {before}, got {recipe.steps}: stages or learning rates are laid out over all "
                f"steps, so that step {step + 1} would have been another; start a new run of {recipe.steps} steps in "
                "another folder"
            )


def _load_encoder(model: nn.Module, encoder: str | os.PathLike[str]) -> None:
    if not hasattr(model, "load_imagenet"):
        raise ValueError(
            f"encoder: {type(model).__name__} has no encoder to start from ImageNet weights, got {encoder}"
        )
    if str(encoder) == "resnet18":
        _check(isinstance(model, models.ResNetUNet), "encoder", "be a file: resnet18 is that of resnet-unet", encoder)
        encoder = download.fetch("resnet18")
    model.load_imagenet(weights.state_dict(encoder))


def _bf16_is_fast(device: torch.device) -> bool:
    """Does the processor multiply in bfloat16, rather than emulate it?"""
    return device.type == "cuda" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _optimiser(model: nn.Module, recipe: Preset, settings: Optimiser) -> torch.optim.Optimizer:
    """Adam over the encoder and the rest, each at its own rate; frozen blocks in neither."""
    if recipe.freeze and hasattr(model, "features"):
        model.features[: recipe.freeze].requires_grad_(False)
    own = settings.encoder_learning_rate
    encoder, rest = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (encoder if own is not None and name.startswith(recipe.encoder) else rest).append(parameter)
    groups = [{"params": encoder, "base": own}, {"params": rest, "base": settings.learning_rate}]
    kind = torch.optim.AdamW if settings.kind == "adamw" else torch.optim.Adam
    return kind(
        [g for g in groups if g["params"]],
        betas=settings.betas,
        eps=settings.epsilon,
        weight_decay=settings.weight_decay,
    )


def _trained(model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.requires_grad]


def _train_mode(model: nn.Module, freeze: int) -> None:
    model.train()
    if freeze:
        model.features[:freeze].eval()  # frozen blocks keep their statistics too


def _noise_seed(*numbers: int) -> int:
    """A seed for torch from what determines it."""
    return int(np.random.SeedSequence((2, *numbers)).generate_state(1, np.uint64)[0] >> 1)


def _plan(recipe: Preset, step: int, processes: parallel.Processes) -> Iterator[tuple[int, int, View]]:
    """(first crop, batch size, view) of every step from `step` on: the processes' batches lie one after another."""
    first = 0
    for number in range(recipe.steps):
        stage: Stage = recipe.stage(number)
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


@torch.no_grad()
def _update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    pairs = zip(average.state_dict().values(), model.state_dict().values(), strict=True)
    floats = [(a, b) for a, b in pairs if a.is_floating_point()]
    torch._foreach_lerp_([a for a, _ in floats], [b for _, b in floats], 1 - decay)
