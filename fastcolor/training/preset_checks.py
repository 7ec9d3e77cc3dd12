"""A preset as a run takes it: sizes in place of its own, and what they must be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, get_args

from .imports import imported
from .presets import PRESETS, START, Own, Preset, Recognise, Stage, Stay, Term

if TYPE_CHECKING:  # what a preset must be is known without torch
    from torch import nn


def check(holds: bool, name: str, rule: str, got: object) -> None:
    """ValueError saying which argument must do what, unless it `holds`."""
    if not holds:
        raise ValueError(f"{name}: must {rule}, got {got}")


def fit(
    preset: str | Preset, steps: int | None, batch_size: int | None, crop: int | None, *, starts: bool = False
) -> Preset:
    """The preset with these numbers in place of its own; stages and schedules keep their shares of the steps.

    Args:
        preset: one of your own, a name of `PRESETS`, or the import path of one, "package.module:name". starts: whether
            there are weights to start from.

    Raises:
        ValueError: an unknown preset, one that holds what a run's settings cannot, or one that needs weights to start
            from, and there are none.
    """
    name, preset = preset, _found(preset)
    if preset.model == START:
        check(starts, "start", f"be weights for the preset {name if isinstance(name, str) else 'given'}", None)
    stages = tuple(
        replace(s, batch_size=batch_size or s.batch_size, view=replace(s.view, crop=crop or s.view.crop))
        for s in preset.stages
    )
    return replace(preset, steps=steps or preset.steps, stages=stages)


def _found(name_or_preset: str | Preset) -> Preset:
    if isinstance(name_or_preset, str) and ":" not in name_or_preset:
        known = f"be one of {', '.join(PRESETS)}, or the import path of your own, package.module:name"
        check(name_or_preset in PRESETS, "preset", known, repr(name_or_preset))
        return PRESETS[name_or_preset]
    preset: Preset = imported(name_or_preset, "preset") if isinstance(name_or_preset, str) else name_or_preset
    check(isinstance(preset, Preset), "preset", "be a Preset", f"{type(preset).__name__} at {name_or_preset!r}")
    for stage in preset.stages:
        check_terms(stage.losses)
    _check_plain(asdict(preset), "preset")
    return preset


def check_terms(terms: Sequence[Term]) -> None:
    """ValueError unless all can be added up: terms of known kinds, and a name for each."""
    kinds = ", ".join(kind.__name__ for kind in get_args(Term))
    for term in terms:
        check(isinstance(term, Term), "losses", f"be terms of {kinds}", type(term).__name__)
        if isinstance(term, Own):
            imported(term.function, "losses")
    names = [term.name for term in terms]
    if len(set(names)) != len(names):
        raise ValueError(f"losses: every term must have a name of its own, got {', '.join(names)}")


def check_parts(model: nn.Module, preset: Preset, *, compiled: bool) -> None:
    """ValueError unless the network has what the preset wants to learn, to tell hints to and to trust."""
    only = preset.only or ""
    learns = any(name.startswith(only) for name, _ in model.named_parameters())
    check(learns, "preset", f"have parameters {only}*, which alone would learn", preset.model)
    tells = any(stage.hints == "told" for stage in preset.stages)
    check(not tells or hasattr(model, "features"), "preset", "be of the default network to be told", preset.model)
    check(not (tells and compiled), "compile", "be off where hints are told, whose steps are another way", compiled)
    trusts = preset.trust == 1 or hasattr(getattr(model, "hints", None), "trust")
    check(trusts, "preset", "leave trust at 1, as its network has no such hints", preset.trust)
    stays = [stage for stage in preset.stages if any(isinstance(term, Stay) for term in stage.losses)]
    told = all(stage.hints == "told" for stage in stays)
    check(told, "losses", "have Stay only in stages whose hints are told", preset.model)
    seen = all(stage.hints != "told" for stage in preset.stages if any(isinstance(t, Recognise) for t in stage.losses))
    check(seen, "losses", "have Recognise only in stages whose hints are not told", preset.model)


def _check_plain(value: object, place: str) -> None:
    """ValueError unless JSON can keep it: a resumed run is compared with the settings that it began with."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _check_plain(inner, f"{place}.{key}")
    elif isinstance(value, (list, tuple)):
        for number, inner in enumerate(value):
            _check_plain(inner, f"{place}[{number}]")
    else:
        plain = value is None or isinstance(value, (str, int, float, bool))
        check(plain, place, "be numbers, words or lists of them, as run.json keeps them", type(value).__name__)


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
