"""fastcolor turns gray pictures and films into colour.

>>> import fastcolor
>>> fastcolor.colorize("gray.jpg").save("colour.jpg")  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from .constants import __version__

# Nothing leaves the machine: ONNX Runtime reads this when it is imported, here and in processes started from here.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from . import models as models
    from . import ops as ops
    from . import palette as palette
    from . import reference as reference
    from .engines.export import export
    from .evaluation.evaluate import evaluate, evaluate_each
    from .film.video import video
    from .options.hints import Hint
    from .palette import Palette
    from .pictures.colorize import Colorizer, colorize
    from .training.train import TrainResult, train

__all__ = [
    "Colorizer",
    "Hint",
    "Palette",
    "TrainResult",
    "__version__",
    "colorize",
    "evaluate",
    "evaluate_each",
    "export",
    "train",
    "video",
]

# Loaded at first use: importing fastcolor stays fast and needs torch, numpy and Pillow alone.
_MODULES = ("models", "ops", "palette", "reference")
_HOME = {
    "Palette": "palette",
    "Colorizer": "pictures.colorize",
    "colorize": "pictures.colorize",
    "Hint": "options.hints",
    "evaluate": "evaluation.evaluate",
    "evaluate_each": "evaluation.evaluate",
    "export": "engines.export",
    "TrainResult": "training.train",
    "train": "training.train",
    "video": "film.video",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name in _HOME:
        value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES, "__doc__", "__file__", "__name__", "__path__"})
