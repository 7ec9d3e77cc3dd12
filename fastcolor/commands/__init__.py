"""Each command's options, from which its help is made, and the function that runs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

NAMES = ("colorize", "video", "batch", "train", "palette", "prior", "evaluate", "export", "bench", "info")


def command(name: str) -> tuple[Any, Callable[[Any], int]]:
    """A command's type of options, and its function, which returns the exit code."""
    from . import color, learn, machine

    match name:
        case "colorize":
            return color.ColorizeOptions, color.run_colorize
        case "video":
            return color.VideoOptions, color.run_video
        case "batch":
            return color.BatchOptions, color.run_batch
        case "train":
            return learn.TrainOptions, learn.run_train
        case "palette":
            return learn.PaletteOptions, learn.run_palette
        case "prior":
            return learn.PriorOptions, learn.run_prior
        case "evaluate":
            return learn.EvaluateOptions, learn.run_evaluate
        case "export":
            return machine.ExportOptions, machine.run_export
        case "bench":
            return machine.BenchOptions, machine.run_bench
        case "info":
            return machine.InfoOptions, machine.run_info
    raise ValueError(f"command: must be one of {', '.join(NAMES)}, got {name!r}")


def table() -> dict[str, tuple[Any, Callable[[Any], int]]]:
    """All commands."""
    return {name: command(name) for name in NAMES}
