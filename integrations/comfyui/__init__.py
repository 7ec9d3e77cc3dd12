"""Nodes of ComfyUI that colour files and pictures with fastcolor. Put this folder into ComfyUI's `custom_nodes`, and
install fastcolor into its Python: `pip install fastcolor`.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import torch

import fastcolor
from fastcolor.constants import is_film
from fastcolor.models import named
from fastcolor.options.pictures import ColorizeOptions
from fastcolor.pictures.files import colorize_files

_LOOK = {
    "weights": ("STRING", {"default": "default", "tooltip": f"{', '.join(named.names())}, a file, or A*0.4+B*0.6"}),
    "saturation": ("FLOAT", {"default": 1.0, "min": 0.0, "max": 10.0, "step": 0.05}),
}


def _folder(kind: str) -> Path:
    """ComfyUI's own folder for "input" or "output"; the current one without ComfyUI."""
    try:
        import folder_paths  # ComfyUI's
    except ImportError:
        return Path()
    return Path(getattr(folder_paths, f"get_{kind}_directory")())


def _progress() -> Any:
    """What takes (frames done, expected): ComfyUI's bar, which also is where a user's stop takes effect."""
    try:
        from comfy.model_management import throw_exception_if_processing_interrupted
        from comfy.utils import ProgressBar
    except ImportError:
        return False
    bar = ProgressBar(1)

    def told(done: int, expected: int | None) -> None:
        throw_exception_if_processing_interrupted()
        bar.update_absolute(done, expected or done + 1)

    return told


class FastcolorFile:
    """A gray picture or film in, a coloured one out, by their names: sound, time stamps and depth are kept."""

    CATEGORY, FUNCTION, OUTPUT_NODE = "fastcolor", "run", True
    RETURN_TYPES, RETURN_NAMES = ("STRING",), ("path",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        own = {
            "source": ("STRING", {"default": "gray.mp4", "tooltip": "relative to ComfyUI's input folder"}),
            "target": ("STRING", {"default": "colour.mp4", "tooltip": "relative to ComfyUI's output folder"}),
            "temporal": (["fast", "flow", "off"], {"tooltip": "smoothing of films"}),
            "overwrite": ("BOOLEAN", {"default": False}),
        }
        return {"required": {**own, **_LOOK}}

    @classmethod
    def IS_CHANGED(cls, source: str, target: str, **_: Any) -> str:
        paths = _folder("input") / source, _folder("output") / target
        return str([path.stat().st_mtime_ns if path.exists() else None for path in paths])

    def run(
        self, source: str, target: str, temporal: str, overwrite: bool, weights: str, saturation: float
    ) -> tuple[str]:
        src, dst = _folder("input") / source, _folder("output") / target
        if is_film(src):
            begun = dst.with_name(f"{dst.name}.part").exists()  # and stopped: it goes on from there
            options = {"weights": weights, "saturation": saturation, "temporal": temporal, "overwrite": overwrite}
            fastcolor.video(src, dst, **options, resume=begun and not overwrite, progress=_progress())
        else:
            options = {"weights": weights, "saturation": saturation, "overwrite": overwrite}
            outcome = colorize_files(ColorizeOptions((src,), str(dst), **options))
            if outcome.failed:  # of a folder's pictures; a single one's failure is raised
                raise RuntimeError(str(outcome))
        return (str(dst),)


@functools.lru_cache(maxsize=1)
def _colorizer(weights: str) -> fastcolor.Colorizer:
    return fastcolor.Colorizer(weights)


class FastcolorImage:
    """Pictures in, the same pictures in colour out."""

    CATEGORY, FUNCTION, RETURN_TYPES = "fastcolor", "run", ("IMAGE",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"image": ("IMAGE",), **_LOOK}}

    def run(self, image: torch.Tensor, weights: str, saturation: float) -> tuple[torch.Tensor]:
        """image: (N, H, W, 3) float in [0, 1], as ComfyUI has it."""
        rgb = (image.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
        coloured = _colorizer(weights)(list(rgb), saturation=saturation)
        return (torch.from_numpy(np.stack([np.array(one) for one in coloured])).float() / 255,)


NODE_CLASS_MAPPINGS = {"FastcolorFile": FastcolorFile, "FastcolorImage": FastcolorImage}
NODE_DISPLAY_NAME_MAPPINGS = {"FastcolorFile": "Colour a file (fastcolor)", "FastcolorImage": "Colour (fastcolor)"}
