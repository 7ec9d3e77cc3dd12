"""Each command's options, from which its help is made, and the function that runs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

NAMES = (
    "colorize", "video", "batch", "shots", "serve", "study", "train", "palette", "prior", "evaluate", "export",
    "web-export", "bench", "info",
)  # fmt: skip


def command(name: str) -> tuple[Any, Callable[[Any], int]]:
    """A command's type of options, and its function, which returns the exit code."""
    found: dict[str, tuple[Any, Callable[[Any], int]]] = {}
    if name in ("colorize", "video", "batch"):
        from . import color

        found = {
            "colorize": (color.ColorizeOptions, color.run_colorize),
            "video": (color.VideoOptions, color.run_video),
            "batch": (color.BatchOptions, color.run_batch),
        }
    elif name == "shots":
        from . import shots

        found = {"shots": (shots.ShotsOptions, shots.run_shots)}
    elif name in ("train", "palette", "prior", "evaluate"):
        from . import learn

        found = {
            "train": (learn.TrainOptions, learn.run_train),
            "palette": (learn.PaletteOptions, learn.run_palette),
            "prior": (learn.PriorOptions, learn.run_prior),
            "evaluate": (learn.EvaluateOptions, learn.run_evaluate),
        }
    elif name in ("export", "bench", "info"):
        from . import machine

        found = {
            "export": (machine.ExportOptions, machine.run_export),
            "bench": (machine.BenchOptions, machine.run_bench),
            "info": (machine.InfoOptions, machine.run_info),
        }
    elif name in ("serve", "study", "web-export"):
        from . import page

        found = {
            "serve": (page.ServeOptions, page.run_serve),
            "study": (page.StudyOptions, page.run_study),
            "web-export": (page.PortableOptions, page.run_web_export),
        }
    return found[name]


def table() -> dict[str, tuple[Any, Callable[[Any], int]]]:
    """All commands."""
    return {name: command(name) for name in NAMES}
