"""Weights on disk: one `.safetensors` file holds the tensors (float16) and, as its metadata, all that is needed to
colour with them: the network's name and options, the palette, temperature, size and a model card. Nothing is unpickled.
"""

from __future__ import annotations

import difflib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from . import models
from .palette import Palette

_FORMAT = "fastcolor-1"
_ASSETS = Path(__file__).parent / "assets"
_NAMED = {"default": _ASSETS / "default.safetensors"}


@dataclass(frozen=True)
class Weights:
    """A generator ready to colour, and how it wants to be used.

    Attributes:
        model: in evaluation mode, float32. name, options: as `models.build` takes them. palette: of a classifier, else
        None. temperature: of the annealed mean. saturation: factor on ab that the weights want. size: short side in
        pixels that the network sees. card: facts about the training, by name.
    """

    model: nn.Module
    name: str
    options: dict[str, object]
    palette: Palette | None
    temperature: float
    size: int
    saturation: float = 1.0
    card: dict[str, str] = field(default_factory=dict)


def _umask() -> int:
    """The process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def names() -> list[str]:
    """The weights that are known by name."""
    return list(_NAMED)


def save(
    path: str | os.PathLike[str],
    model: nn.Module,
    *,
    name: str,
    options: dict[str, object],
    palette: Palette | None,
    temperature: float,
    size: int,
    saturation: float = 1.0,
    card: dict[str, str] | None = None,
) -> None:
    """Write a generator's weights, whole or not at all.

    Args:
        path: ends in `.safetensors`; an existing file is replaced. model: its state is written as float16. The rest:
            see `Weights`.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"path: must end in .safetensors, got {str(path)!r}")
    state = {
        key: (value.half() if value.is_floating_point() else value).contiguous().cpu()
        for key, value in model.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    description = {
        "format": _FORMAT,
        "model": name,
        "options": json.dumps(options),
        "palette": json.dumps(None if palette is None else palette.points.tolist()),
        "temperature": repr(float(temperature)),
        "saturation": repr(float(saturation)),
        "size": str(size),
        "card": json.dumps(card or {}),
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save_file(state, temporary, metadata=description)
        temporary.chmod(0o666 & ~_umask())  # the library makes files that only their owner can read
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load(name_or_path: str | os.PathLike[str]) -> Weights:
    """Read weights by name ("default") or from a file that `save` or `fastcolor.train` wrote.

    Returns:
        The weights, on the CPU.

    Raises:
        ValueError: an unknown name, or a file that holds no fastcolor weights. FileNotFoundError: no such file.

    Example:
        >>> load("default").model.kind
        'classifier'
    """
    path = _NAMED.get(str(name_or_path)) or Path(name_or_path)
    if not path.exists():
        if path.suffix or path.parent != Path("."):
            raise FileNotFoundError(f"weights: no such file: {path}")
        close = difflib.get_close_matches(str(name_or_path), _NAMED, 1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"weights: must be a file or one of {', '.join(_NAMED)}, got {str(name_or_path)!r}{hint}")
    if path.is_dir():
        raise ValueError(f"weights: must be a file, got the folder {path}")
    try:
        with safe_open(path, framework="pt") as file:
            description = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"weights: {path} is not a safetensors file or is damaged ({error})") from None
    if description.get("format") != _FORMAT:
        raise ValueError(
            f"weights: {path} is a safetensors file, but not one of fastcolor's (no {_FORMAT} in its metadata)"
        )
    try:
        options = json.loads(description["options"])
        model = models.build(description["model"], **options)
        state = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
        result = model.load_state_dict(state, strict=False)
        missing = [key for key in result.missing_keys if not key.endswith("num_batches_tracked")]
        if missing or result.unexpected_keys:
            raise ValueError(f"{len(missing)} tensors are missing and {len(result.unexpected_keys)} are unknown")
        points = json.loads(description["palette"])
        return Weights(
            model=model.eval(),
            name=description["model"],
            options=options,
            palette=None if points is None else Palette(torch.tensor(points)),
            temperature=float(description["temperature"]),
            saturation=float(description["saturation"]),
            size=int(description["size"]),
            card=json.loads(description["card"]),
        )
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"weights: {path} does not fit this version of fastcolor ({reason})") from None
