"""The folder of a run: its settings, prior, log, checkpoints, sheets and weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from ..atomic import write_bytes
from ..models.weights import save as save_weights
from . import checkpoints
from .checkpoints import Checkpoint, TrainingError
from .log import Log
from .processes import Processes

Parts = Mapping[str, nn.Module | torch.optim.Optimizer]


class RunFolder:
    """All that a run writes.

    Args:
        path: of the folder. group: the processes of the run, of which this is the first. keep: so many checkpoints
            stay.
    """

    def __init__(self, path: Path, group: Processes, keep: int) -> None:
        self.path, self._group, self._keep = path, group, keep

    def begin(
        self,
        settings: dict[str, Any],
        resume: bool,
        check_steps: Callable[[int, int], None],
        otherwise: tuple[dict[str, Any], str],
    ) -> Checkpoint | None:
        """Make the folder of a new run, or read the last checkpoint of an old one and cut its log back to it.

        Args:
            settings: what must not change when a run goes on, as JSON. check_steps: called with the `steps` of the run
                and those taken when `settings` have other `steps`; returns where it may go on with these, else raises.
            otherwise: other settings that the run may have had, and the rule that is broken where it had these.

        Returns:
            The checkpoint, or None where a run starts at its beginning.

        Raises:
            FileExistsError: the folder holds a run and `resume` is off. FileNotFoundError: there is none to go on with.
            ValueError: other settings, or a damaged checkpoint.
        """
        settings = json.loads(json.dumps(settings))
        checkpoint = None
        if resume:
            checkpoint = self._go_on(settings, check_steps, otherwise)
        else:
            self._start(settings)
        self._group.wait()
        return checkpoint

    def _start(self, settings: dict[str, Any]) -> None:
        if (self.path / "run.json").exists():
            raise FileExistsError(f"out: {self.path} already holds a run; resume it or name another folder")
        self.path.mkdir(parents=True, exist_ok=True)
        self._write_settings(settings)

    def _go_on(
        self, settings: dict[str, Any], check_steps: Callable[[int, int], None], otherwise: tuple[dict[str, Any], str]
    ) -> Checkpoint | None:
        file = self.path / "run.json"
        if not file.exists():
            raise FileNotFoundError(f"resume: {self.path} holds no run to go on with")
        before = json.loads(file.read_text())
        if changed := _changed(before, settings):
            others, rule = otherwise
            if not _changed(before, json.loads(json.dumps(others))):
                raise ValueError(rule)
            raise ValueError(
                f"resume: {', '.join(changed)} differ from the run in {self.path}; give the same settings and data"
            )
        for left in self.path.glob(".*.tmp"):
            left.unlink()
        checkpoint = checkpoints.latest(self.path)
        done = checkpoint.step if checkpoint else 0
        if before["steps"] != settings["steps"]:
            check_steps(before["steps"], done)
            self._write_settings(settings)
        if (log := self.path / "log.jsonl").exists():
            write_bytes(log, "".join(line + "\n" for line in log.read_text().splitlines()[:done]).encode())
        return checkpoint

    def _write_settings(self, settings: dict[str, Any]) -> None:
        write_bytes(self.path / "run.json", json.dumps(settings, indent=1).encode())

    def prior(self, measure: Callable[[], Tensor]) -> Tensor:
        """The prior that class weights are made from, (Q,) float64: the run's own, measured once."""
        file = self.path / "prior.json"
        if not file.exists():
            write_bytes(file, json.dumps(measure().tolist()).encode())
        self._group.wait()
        return torch.tensor(json.loads(file.read_text()), dtype=torch.float64)

    def log(self, done: int, steps: int, board: Any) -> Log:
        """The log of a run of so many steps, `done` of which are taken. board: as `Log` takes it."""
        return Log(self.path, done, steps, board)

    def save_checkpoint(self, step: int, parts: Parts, facts: dict[str, Any]) -> None:
        """TrainingError when it cannot be written; older checkpoints stay."""
        checkpoints.save(self.path, step, parts, facts, self._keep)

    def save_sheet(self, step: int, draw: Callable[[], bytes]) -> None:
        """Write the PNG that `draw` makes. TrainingError when it cannot be written."""
        self._write(f"samples-{step:06d}.png", lambda path: write_bytes(path, draw()))

    def save_weights(self, model: nn.Module, **facts: Any) -> None:
        """Write a file for `Colorizer(weights=...)`; facts as `weights.save` takes them. TrainingError as above."""
        self._write("weights.safetensors", lambda path: save_weights(path, model, **facts))

    def _write(self, name: str, write: Callable[[Path], object]) -> None:
        path = self.path / name
        try:
            write(path)
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or error
            raise TrainingError(
                f"{path} cannot be written ({reason}); {checkpoints.describe_last(self.path)}"
            ) from None


class SilentFolder(RunFolder):
    """The folder of a run in its other processes, which read what the first one wrote and write nothing."""

    def begin(
        self,
        settings: dict[str, Any],
        resume: bool,
        check_steps: Callable[[int, int], None],
        otherwise: tuple[dict[str, Any], str],
    ) -> Checkpoint | None:
        self._group.wait()
        return checkpoints.latest(self.path) if resume else None

    def prior(self, measure: Callable[[], Tensor]) -> Tensor:
        self._group.wait()
        return torch.tensor(json.loads((self.path / "prior.json").read_text()), dtype=torch.float64)

    def log(self, done: int, steps: int, board: Any) -> Log:
        return Log(None, done, steps)

    def save_checkpoint(self, step: int, parts: Parts, facts: dict[str, Any]) -> None:
        pass

    def _write(self, name: str, write: Callable[[Path], object]) -> None:
        pass


def _changed(before: Any, now: Any) -> list[str]:
    """The settings, but for the steps, that are others now."""
    before, now = _without_null(before), _without_null(now)
    return [key for key in now if key != "steps" and before.get(key) != now[key]]


def _without_null(settings: Any) -> Any:
    """JSON without what is null: a setting that a run's version did not know yet is null now."""
    if isinstance(settings, dict):
        return {key: _without_null(value) for key, value in settings.items() if value is not None}
    return [_without_null(value) for value in settings] if isinstance(settings, list) else settings
