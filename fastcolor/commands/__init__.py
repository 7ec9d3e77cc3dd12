"""What each command takes, as a dataclass whose docstrings are its help, and what it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def table() -> dict[str, tuple[Any, Callable[[Any], int]]]:
    """Every command's name, type of options, and function, which returns the exit code."""
    from ..evaluation.options import EvaluateOptions
    from ..options.batch import BatchOptions
    from ..options.film import VideoOptions
    from ..options.pictures import ColorizeOptions
    from ..training.options import TrainOptions
    from . import color as colour
    from . import learn, machine

    return {
        "colorize": (ColorizeOptions, colour.run_colorize),
        "video": (VideoOptions, colour.run_video),
        "batch": (BatchOptions, colour.run_batch),
        "train": (TrainOptions, learn.run_train),
        "palette": (learn.PaletteOptions, learn.run_palette),
        "prior": (learn.PriorOptions, learn.run_prior),
        "evaluate": (EvaluateOptions, learn.run_evaluate),
        "export": (machine.ExportOptions, machine.run_export),
        "bench": (machine.BenchOptions, machine.run_bench),
        "info": (machine.InfoOptions, machine.run_info),
    }
