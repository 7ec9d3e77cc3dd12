"""A preset as a run takes it: sizes in place of its own, and what they must be."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import nn

from .presets import PRESETS, Preset, Stage


def check(holds: bool, name: str, rule: str, got: object) -> None:
    """ValueError saying which argument must do what, unless it `holds`."""
    if not holds:
        raise ValueError(f"{name}: must {rule}, got {got}")


def fit(preset: str | Preset, steps: int | None, batch_size: int | None, crop: int | None) -> Preset:
    """The preset with these numbers in place of its own; stages and schedules keep their shares of the steps.

    Raises:
        ValueError: an unknown preset, or a number below 1.
    """
    if not isinstance(preset, Preset):
        check(preset in PRESETS, "preset", f"be one of {', '.join(PRESETS)}", repr(preset))
    for name, value in (("steps", steps), ("batch_size", batch_size), ("crop", crop)):
        check(value is None or value >= 1, name, "be at least 1", value)
    recipe = preset if isinstance(preset, Preset) else PRESETS[preset]
    stages = tuple(
        replace(s, batch_size=batch_size or s.batch_size, view=replace(s.view, crop=crop or s.view.crop))
        for s in recipe.stages
    )
    return replace(recipe, steps=steps or recipe.steps, stages=stages)


def check_crops(model: nn.Module, recipe: Preset, accumulate: int) -> None:
    """Every stage's crop must fit the network and, at the network's output size, the discriminator; and a single
    picture in a piece of the batch must leave BatchNorm more than one value a channel."""
    for stage in recipe.stages:
        crop = stage.view.crop
        check(crop % model.stride == 0, "crop", f"be a multiple of {model.stride} for {recipe.model}", crop)
        least = 96 if model.kind == "classifier" else 24
        check(not recipe.adversarial or crop >= least, "crop", f"be at least {least} for the discriminator", crop)
        smallest = min(map(len, torch.arange(stage.batch_size).chunk(accumulate)))
        if smallest == 1 and not _takes_one(model, crop):
            rule = f"be at least {2 * accumulate} for {recipe.model} at a crop of {crop}"
            check(False, "batch_size", rule, stage.batch_size)


def _takes_one(model: nn.Module, crop: int) -> bool:
    """Whether the network can be trained on one picture at a time."""
    with torch.no_grad(), torch.random.fork_rng(devices=()):
        try:
            copy.deepcopy(model).train()(torch.zeros(1, 1, crop, crop))
        except ValueError:  # BatchNorm's
            return False
    return True


def check_steps(recipe: Preset, before: int, done: int) -> None:
    """A run of `before` steps may get the recipe's where those that it took, `done`, would have been the same."""
    check(recipe.steps >= done, "steps", f"be at least the {done} that the run has taken", recipe.steps)

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
