"""Training: a preset, pictures and a folder in, weights out.

Every batch, crop and bit of noise is determined by the seed and the step's number, and a checkpoint holds all else, so
a run that was stopped or killed goes on as if nothing had happened.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..data import Source, find
from .preset_checks import check, fit, named
from .presets import Preset

if TYPE_CHECKING:
    from ..palette import Palette


@dataclass(frozen=True)
class TrainResult:
    """The end of a run: `weights` (a file for `Colorizer(weights=...)`), `metrics` of its last steps, `steps` taken,
    and how many pictures were `skipped` because they could not be read."""

    weights: Path
    metrics: dict[str, float]
    steps: int
    skipped: int = 0


def train(
    data: Source,
    preset: str | Preset | None = None,
    out: str | os.PathLike[str] = "runs/a",
    *,
    steps: int | None = None,
    batch_size: int | None = None,
    crop: int | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto",
    start: str | os.PathLike[str] | None = None,
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
    """Train a generator on your own colour pictures; under torchrun, in several processes.

    Args:
        data: Folders, zip or tar files, lists (.txt) or pictures; one or several.
        preset: All settings of the run: a name of `PRESETS`, or one of your own. None: "default", or "fine-tune" with
            `start`.
        out: Folder for `log.jsonl` (a line a step), `checkpoint-*.safetensors`, `samples-*.png` and
            `weights.safetensors`.
        steps: Steps in all. None: the preset's. Stages and schedules keep their shares.
        batch_size: Crops a step and process. None: the preset's.
        crop: Side of a crop in pixels. None: the preset's.
        seed: Of weights, crops and noise.
        device: auto, cpu, cuda or cuda:N.
        precision: Of the networks. auto: bf16 where the processor computes in it. fp16 scales the loss.
        start: Weights to go on from, a name ("default") or file: their network, palette and all they know.
        encoder: ImageNet weights to start the encoder from, a state dict; or resnet18 to download torchvision's for
            `resnet-unet`.
        palette: Of a classifier, from `fastcolor palette`. None: the 313-point grid.
        prior: Colour prior for the class weights, from `fastcolor prior` or a prior_probs.npy. None: measured on the
            data.
        workers: Processes that read pictures; 0 reads them in this one.
        accumulate: Pieces that a batch goes through the networks in, to save memory. Gradients add up to the batch's;
            BatchNorm sees a piece at a time.
        compile: Compile the generator.
        on_bad_picture: What to do about a picture that cannot be read: name it once and take another, or stop.
        on_bad_loss: What to do about a loss or gradient that is not finite: leave the generator as it was and go on, or
            stop; ten in a row stop the run in any case.
        checkpoint_every: Steps between checkpoints.
        keep: Checkpoints that stay.
        sheet_every: Steps between sample sheets. None: with every checkpoint.
        tensorboard: Write TensorBoard's files too (extra `tensorboard`).
        resume: Go on from the last checkpoint in the output folder, with the same settings. Other `steps` are taken
            where the preset's schedule would have made the steps so far the same, as a constant one does.

    Returns:
        Where the weights are, the means over the last hundred steps, the number of steps and of unreadable pictures.

    Raises:
        ValueError, FileNotFoundError: bad arguments or data. FileExistsError: `out` holds a run and `resume` is off.
        TrainingError: the disk is full, or a loss or a picture is bad and `on_bad_loss` or `on_bad_picture` says
            "stop". KeyboardInterrupt (`watches.Stopped`): Ctrl-C or SIGTERM, after a checkpoint was written.
        DownloadError: `encoder` cannot be downloaded.

    Example:
        >>> train("photos/", out="runs/mine", steps=2000)  # doctest: +SKIP
        >>> train("portraits/", out="runs/portraits", start="default")  # doctest: +SKIP
    """
    preset = named(preset, start)
    chosen = fit(preset, steps, batch_size, crop)
    for name, value in (("encoder", encoder), ("palette", palette)):
        check(start is None or value is None, name, "be left out with start, which brings its own", value)
    for name, value, least in (("workers", workers, 0), ("accumulate", accumulate, 1), ("keep", keep, 1)):
        check(value >= least, name, f"be at least {least}", value)
    for name, value in (("checkpoint_every", checkpoint_every), ("sheet_every", sheet_every)):
        check(value is None or value >= 1, name, "be at least 1", value)
    for name, value in (("on_bad_picture", on_bad_picture), ("on_bad_loss", on_bad_loss)):
        check(value in ("skip", "stop"), name, "be 'skip' or 'stop'", repr(value))
    check(precision in ("auto", "bf16", "fp16", "fp32"), "precision", "be auto, bf16, fp16 or fp32", repr(precision))
    items = find(data)

    # What needs torch is loaded here: help and the refusals above answer before that.
    from .log import tensorboard_writer
    from .loop import take_steps
    from .prepare import prepared

    board = tensorboard_writer() if tensorboard else None
    with prepared(
        chosen, items, Path(out), seed=seed, device=device, precision=precision, start=start, encoder=encoder,
        palette=palette, prior=prior, accumulate=accumulate, compile=compile, keep=keep, resume=resume,
    ) as run:  # fmt: skip
        metrics = take_steps(
            run, workers=workers, on_bad_picture=on_bad_picture, on_bad_loss=on_bad_loss,
            checkpoint_every=checkpoint_every, sheet_every=sheet_every, board=board,
        )  # fmt: skip
        card = {} if start is None else {"start": os.fspath(start)}
        card |= {"preset": preset if isinstance(preset, str) else "own", "steps": str(run.learner.step)}
        run.folder.save_weights(
            run.learner.average, name=run.preset.model, options=run.options, palette=run.palette,
            temperature=run.preset.temperature, saturation=run.preset.saturation, size=run.preset.size,
            card={**card, "pictures": str(len(items)), "seed": str(seed)},
        )  # fmt: skip
        run.group.wait()
        return TrainResult(run.folder.path / "weights.safetensors", metrics, run.learner.step, len(run.skipped))
