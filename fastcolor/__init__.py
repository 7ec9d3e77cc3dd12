"""fastcolor turns gray pictures and films into colour.

>>> import fastcolor
>>> fastcolor.colorize("gray.jpg").save("colour.jpg")  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import models as models
    from . import ops as ops
    from . import palette as palette
    from . import reference as reference
    from .colorize import Colorizer, colorize
    from .evaluate import evaluate
    from .export import export
    from .palette import Palette
    from .train import TrainResult, train
    from .video import video

__version__ = "0.1.0"
__all__ = ["Colorizer", "Palette", "TrainResult", "__version__", "colorize", "evaluate", "export", "train", "video"]

# Loaded at first use: importing fastcolor stays fast and needs torch, numpy and Pillow alone.
_MODULES = ("models", "ops", "palette", "reference")
_HOME = {
    "Palette": "palette",
    "Colorizer": "colorize",
    "colorize": "colorize",
    "evaluate": "evaluate",
    "export": "export",
    "TrainResult": "train",
    "train": "train",
    "video": "video",
}


def _public(name: str) -> property:
    """A name of the package that stays the function even when the submodule of the same name has been imported, which
    would otherwise put itself in the function's place."""

    def get(package: ModuleType) -> Any:
        return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)

    return property(get, lambda package, submodule: None)


class _Package(ModuleType):
    def __getattr__(self, name: str) -> ModuleType:
        if name in _MODULES:
            return importlib.import_module(f".{name}", __name__)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__(self) -> list[str]:
        return sorted({*vars(self), *_HOME, *_MODULES})


for _name in _HOME:
    setattr(_Package, _name, _public(_name))
sys.modules[__name__].__class__ = _Package
