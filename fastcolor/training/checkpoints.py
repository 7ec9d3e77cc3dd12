"""Checkpoints: files that hold all that the next step of a run depends on.

A checkpoint is one `.safetensors` file: tensors of networks and optimisers, the rest as JSON in its metadata. Nothing
is unpickled. It is written under a temporary name and renamed, so whatever bears the final name is whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ..atomic import write_tensors

_FORMAT = "fastcolor-checkpoint-1"


class TrainingError(RuntimeError):
    """Training cannot go on; the message says at which step and why. The last checkpoint is whole."""


@dataclass(frozen=True)
class Checkpoint:
    """The content of a file: the number of steps taken, tensors by "name/key", and other facts."""

    path: Path
    step: int
    tensors: dict[str, Tensor]
    facts: dict[str, Any]

    def restore(self, parts: Mapping[str, nn.Module | torch.optim.Optimizer]) -> None:
        """Put the tensors back into networks and optimisers of the same names.

        Raises:
            ValueError: they do not fit.
        """
        for name, part in parts.items():
            ours = {k.removeprefix(f"{name}/"): v for k, v in self.tensors.items() if k.startswith(f"{name}/")}
            try:
                if isinstance(part, nn.Module):
                    part.load_state_dict(ours)
                else:
                    _restore_optimiser(part, ours)
            except (RuntimeError, KeyError, ValueError) as error:
                raise ValueError(f"resume: {self.path} does not fit this run ({str(error).splitlines()[0]})") from None


def _restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, _, kind = key.partition("/")
        state.setdefault(int(number), {})[kind] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    for parameter, values in optimiser.state.items():
        for kind, value in values.items():
            if value.shape == parameter.shape:  # in the parameter's memory format, as if it had never been on disk
                values[kind] = torch.empty_like(parameter).copy_(value)


def save(
    folder: Path, step: int, parts: Mapping[str, nn.Module | torch.optim.Optimizer], facts: dict[str, Any], keep: int
) -> Path:
    """Write `checkpoint-STEP.safetensors` and remove all but the newest `keep`.

    Raises:
        TrainingError: it cannot be written; older checkpoints stay.
    """
    tensors: dict[str, Tensor] = {}
    for name, part in parts.items():
        if isinstance(part, nn.Module):
            tensors |= {f"{name}/{key}": value for key, value in part.state_dict().items()}
        else:
            for number, values in part.state_dict()["state"].items():
                tensors |= {f"{name}/{number}/{kind}": value for kind, value in values.items()}
    # A copy where memory is not in order or shared: the format stores plain, separate arrays.
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    path = folder / f"checkpoint-{step:08d}.safetensors"
    try:
        write_tensors(path, tensors, {"format": _FORMAT, "step": str(step), "facts": json.dumps(facts)})
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"the checkpoint of step {step} cannot be written ({_reason(error)}); {describe_last(folder)}"
        ) from None
    for old in files(folder)[:-keep]:
        old.unlink(missing_ok=True)
    return path


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).splitlines()[0]


def files(folder: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    return sorted(folder.glob("checkpoint-*.safetensors"))


def latest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint of a run, read; None where there is none. ValueError: it is damaged."""
    found = files(folder)
    return load(found[-1]) if found else None


def describe_last(folder: Path) -> str:
    """Words for an error message: where the last whole checkpoint is."""
    found = files(folder)
    return f"the last whole checkpoint is {found[-1]}" if found else "there is no checkpoint yet"


def load(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        ValueError: it is damaged or something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}
        if facts.get("format") != _FORMAT:
            raise ValueError("it holds no checkpoint")
        return Checkpoint(path, int(facts["step"]), tensors, json.loads(facts["facts"]))
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"resume: {path} is damaged ({_reason(error)}); remove it to go on from the checkpoint before"
        ) from None
