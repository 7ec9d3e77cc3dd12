"""Training: a preset, pictures and a folder in, weights out.

Every batch, crop and bit of noise is determined by the seed and the step's number, and a checkpoint holds all else, so
a run that was stopped or killed goes on as if nothing had happened.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..data import find
from ..options.base import takes
from .options import TrainOptions
from .preset_checks import fit


@dataclass(frozen=True)
class TrainResult:
    """The end of a run: `weights` (a file for `Colorizer(weights=...)`), `metrics` of its last steps, `steps` taken,
    and how many pictures were `skipped` because they could not be read."""

    weights: Path
    metrics: dict[str, float]
    steps: int
    skipped: int = 0


@takes(TrainOptions)
def train(options: TrainOptions) -> TrainResult:
    """Train a generator on a user's own colour pictures. Under `torchrun`, every process takes a batch of its own.

    `out` gets `log.jsonl` (one line a step), `checkpoint-*.safetensors`, `samples-*.png` and `weights.safetensors`.

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
    options.check()
    chosen = options.preset or ("default" if options.start is None else "fine-tune")
    preset = fit(chosen, options.steps, options.batch_size, options.crop, starts=options.start is not None)
    items = find(options.data)

    # What needs torch is loaded here: help and the refusals above answer before that.
    from .log import tensorboard_writer
    from .loop import take_steps
    from .prepare import prepared

    board = tensorboard_writer() if options.tensorboard else None
    with prepared(preset, items, options) as run:
        metrics = take_steps(run, options, board)
        card = {} if options.start is None else {"start": os.fspath(options.start)}
        card |= {"preset": chosen if isinstance(chosen, str) else "own", "steps": str(run.learner.step)}
        run.folder.save_weights(
            run.result(), name=run.preset.model, options=run.model_options, palette=run.palette,
            temperature=run.preset.temperature, saturation=run.preset.saturation, size=run.preset.size,
            card={**card, "pictures": str(len(items)), "seed": str(options.seed)},
        )  # fmt: skip
        run.group.wait()
        return TrainResult(run.folder.path / "weights.safetensors", metrics, run.learner.step, len(run.skipped))
