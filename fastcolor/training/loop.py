"""The training loop, in the order in which a step happens."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Any

import numpy as np
import torch

from .. import ops
from .checkpoints import TrainingError, describe_last, files
from .crops import batches
from .learner import Step
from .log import Log
from .old_film import old_film
from .options import TrainOptions
from .prepare import Run
from .presets import Preset, View
from .processes import Processes
from .sheet import sample_sheet
from .watches import GrayData, GrayWatch, Interrupted, SilentWatch, Stopped, killed_readers

_WATCH_EVERY = 50  # steps between looks at how colourful the network is
_MOST_SKIPPED = 10  # steps in a row that change nothing


def take_steps(run: Run, options: TrainOptions, board: Any) -> dict[str, float]:
    """Take all steps that are left. Returns the means over the last hundred. board: as `Log` takes it."""
    preset, learner, folder, group, device = run.preset, run.learner, run.folder, run.group, run.learner.device
    watch, silent, gray_data, in_a_row = GrayWatch(), SilentWatch(), GrayData(len(run.crops.items)), 0
    feed = batches(run.crops, _requests(preset, learner.step, group), options.workers, pin_memory=device.type == "cuda")
    with (
        folder.log(learner.step, preset.steps, board) as log,
        Interrupted() as interrupted,
        killed_readers(folder.path),
        closing(feed),
    ):
        while learner.step < preset.steps:
            start, number = time.perf_counter(), learner.step + 1
            batch = next(feed)
            _note_problems(run, batch.problems, number, options.on_bad_picture, log)
            rgb = batch.rgb.to(device, non_blocking=True)
            waited = time.perf_counter() - start

            lab = ops.rgb_to_lab(rgb, layout="hwc")
            if share := preset.stage(learner.step).old:
                lab[:, :1] = old_film(
                    rgb, lab[:, :1], np.random.default_rng((options.seed, 4, learner.step, group.rank)), share
                )
            watched = (number - 1) % _WATCH_EVERY == 0
            step = learner.backward(lab, rgb, watch if watched else None)
            losses, gray_share, stop = _agree(group, step, gray_data.share(lab), interrupted.signal > 0)
            norm, problem = learner.update(step, losses)
            in_a_row = in_a_row + 1 if problem else 0
            if problem:
                _note_bad_loss(run, problem, number, in_a_row, options.on_bad_loss, log)

            seconds = time.perf_counter() - start
            for warning in (watch.warning(number) if watched else None, gray_data.warning(gray_share, len(rgb))):
                if warning:
                    log.warn(warning)
            log.add({
                "step": number,
                "loss": losses.pop("loss"),
                **losses,
                "gradient_norm": norm,
                "learning_rate": step.learning_rate,
                "pictures_per_second": len(rgb) * group.size / seconds,
                "wait_share": waited / seconds,
                **({"chroma_ratio": watch.ratio} if watched else {}),
            })  # fmt: skip

            last = number == preset.steps or stop
            # Of steps that are skipped only what must be kept: good checkpoints stay.
            if last or (number % options.checkpoint_every == 0 and not in_a_row):
                parts, facts = learner.state()
                folder.save_checkpoint(number, parts, {**facts, "skipped": sorted(run.skipped)})
                if warning := silent.warning(learner.average.eval(), lab[:8, :1], number):
                    log.warn(warning)
            if last or number % (options.sheet_every or options.checkpoint_every) == 0:
                draw = partial(sample_sheet, learner.average, rgb[:8], learner.palette, preset.temperature)
                folder.save_sheet(number, draw)
            if stop and number < preset.steps:
                group.wait()  # torchrun ends the others when one leaves: not before the checkpoint is there
                asked = interrupted.signal or signal.SIGTERM  # or another process was told to stop
                raise Stopped(
                    f"stopped by {signal.Signals(asked).name} after step {number} of {preset.steps}; resume goes on "
                    f"from {files(folder.path)[-1]}",
                    asked,
                )
        return log.means()


def _requests(preset: Preset, step: int, group: Processes) -> Iterator[tuple[int, int, View]]:
    """(first crop, batch size, view) of every step from `step` on: the processes' batches lie one after another."""
    first = 0
    for number in range(preset.steps):
        stage = preset.stage(number)
        if number >= step:
            yield first + group.rank * stage.batch_size, stage.batch_size, stage.view
        first += group.size * stage.batch_size


def _note_problems(run: Run, problems: list[str], number: int, on_bad_picture: str, log: Log) -> None:
    """Name pictures that were passed over, each once, or stop there."""
    for problem in problems:
        if on_bad_picture == "stop":
            raise TrainingError(f"step {number}: {problem}; {describe_last(run.folder.path)}")
        if problem not in run.skipped:
            run.skipped.add(problem)
            log.warn(f"skipped {problem}")


def _note_bad_loss(run: Run, problem: str, number: int, in_a_row: int, on_bad_loss: str, log: Log) -> None:
    """Name a step that was not followed, or stop there."""
    if on_bad_loss == "stop" or in_a_row == _MOST_SKIPPED:
        again = f", the {in_a_row}th time in a row" if in_a_row > 1 else ""
        raise TrainingError(f"{problem} at step {number}{again}; {describe_last(run.folder.path)}")
    log.warn(f"{problem} at step {number}, which is not followed")


def _agree(group: Processes, step: Step, gray_share: torch.Tensor, stop: bool) -> tuple[dict[str, float], float, bool]:
    """A step's losses and the share of gray pictures as means over the processes, and whether one of these is asked to
    stop: all from one message."""
    flag = torch.tensor(float(stop), device=gray_share.device)
    values = group.mean(torch.stack([value.float() for value in (*step.losses.values(), gray_share, flag)])).tolist()
    *losses, gray, stops = values
    return dict(zip(step.losses, losses, strict=True)), gray, stops > 0
