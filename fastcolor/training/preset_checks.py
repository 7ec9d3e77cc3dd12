"""A preset as a run takes it: sizes in place of its own, and what they must be."""

from __future__ import annotations

from dataclasses import replace

from .presets import PRESETS, START, Preset, Stage


def check(holds: bool, name: str, rule: str, got: object) -> None:
    """ValueError saying which argument must do what, unless it `holds`."""
    if not holds:
        raise ValueError(f"{name}: must {rule}, got {got}")


def named(preset: str | Preset | None, start: object) -> str | Preset:
    """The preset that is meant where none is named, for weights to `start` from or for None.

    Raises:
        ValueError: a preset that needs weights to start from, and no such weights.
    """
    preset = preset or ("default" if start is None else "fine-tune")
    known = PRESETS.get(preset) if isinstance(preset, str) else preset
    needs = known is not None and known.model == START
    check(not needs or start is not None, "start", f"be weights for the preset {preset}", start)
    return preset


def fit(preset: str | Preset, steps: int | None, batch_size: int | None, crop: int | None) -> Preset:
    """The preset with these numbers in place of its own; stages and schedules keep their shares of the steps.

    Raises:
        ValueError: an unknown preset, or a number below 1.
    """
    if not isinstance(preset, Preset):
        check(preset in PRESETS, "preset", f"be one of {', '.join(PRESETS)}", repr(preset))
    for name, value in (("steps", steps), ("batch_size", batch_size), ("crop", crop)):
        check(value is None or value >= 1, name, "be at least 1", value)
    preset = preset if isinstance(preset, Preset) else PRESETS[preset]
    stages = tuple(
        replace(s, batch_size=batch_size or s.batch_size, view=replace(s.view, crop=crop or s.view.crop))
        for s in preset.stages
    )
    return replace(preset, steps=steps or preset.steps, stages=stages)


def check_steps(preset: Preset, before: int, done: int) -> None:
    """A run of `before` steps may get the preset's where those that it took, `done`, would have been the same."""
    check(preset.steps >= done, "steps", f"be at least the {done} that the run has taken", preset.steps)

    def course(preset: Preset, step: int) -> tuple[Stage, int, float]:
        stage, (first, end) = preset.stage(step), preset.phase(step)
        return stage, first, stage.optimiser.factor_at(step - first, end - first)

    old = replace(preset, steps=before)
    for step in range(done):
        if course(old, step) != course(preset, step):
            raise ValueError(
                f"resume: steps must stay {before}, got {preset.steps}: stages or learning rates are laid out over all "
                f"steps, so that step {step + 1} would have been another; start a new run of {preset.steps} steps in "
                "another folder"
            )
