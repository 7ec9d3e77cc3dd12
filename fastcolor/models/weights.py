"""Weights on disk: one `.safetensors` file holds the tensors (float16) and, as its metadata, all that is needed to
colour with them: the network's name and options, the palette, temperature, size and a model card.

Published state dicts (`.pth`, `.bin`) are read too, by name or as a file, and nothing else in them (`tensors`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from .. import models
from ..atomic import write_tensors
from ..palette import Palette
from . import download
from .generator import Generator, Network
from .layers import check_state
from .named import NAMED, PUBLISHED, locate
from .tensors import state_dict

_FORMAT = "fastcolor-1"
_FIRST_DEFAULT = "features.0.0.weight"  # a tensor that the first default network has, and its successor has not
_FORMER_HINTS = "hints.to_16.0.weight"  # a tensor of how hints were followed before, in files of those days
# A tensor by which each published network is known, and the length of its first side where sisters share the name.
_KNOWN_BY = {
    "eccv16": ("model_out.weight", None),
    "siggraph17": ("model_out.0.weight", None),
    "ddcolor": ("encoder.arch.norm3.weight", 1536),
    "ddcolor-tiny": ("encoder.arch.norm3.weight", 768),
    "deoldify": ("layers.1.weight", 512),
    "deoldify-wide": ("layers.1.weight", 2048),
}


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
        path: ends in `.safetensors`; an existing file is replaced. model: its state is written as float16, tensors with
            values beyond float16's range as float32. The rest: see `Generator`.

    Raises:
        ValueError: another ending, or a value that is not finite.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"path: must end in .safetensors, got {str(path)!r}")
    whole = {key: value for key, value in model.state_dict().items() if not key.endswith("num_batches_tracked")}
    _check_finite(whole, "model: must be finite")
    state = {key: (value.half() if _fits_half(value) else value).contiguous().cpu() for key, value in whole.items()}
    facts = Generator.of(
        model, name, options, palette, temperature=temperature, size=size, saturation=saturation, card=card
    ).facts()
    write_tensors(path, state, {"format": _FORMAT, **facts})


def load(name_or_path: str | os.PathLike[str]) -> Generator:
    """Read weights by name or from a file: one that `save` or `fastcolor.train` wrote, or a published state dict, whose
    network is known by the names of its tensors.

    Returns:
        The generator, on the CPU. The package's own network is made when it is first needed.

    Raises:
        ValueError: an unknown name, or a file that holds no such weights. FileNotFoundError: no such file.
        DownloadError: published weights that cannot be had.

    Example:
        >>> load("default").kind
        'classifier'
    """
    path = locate(name_or_path)
    if path in NAMED.values():
        return _own(path)  # known to fit, so nobody waits for its tensors
    with open(path, "rb") as file:
        start = file.read(64)
    if not start:
        raise ValueError(f"weights: {path} is empty; get the file again")
    if start.lstrip()[:9].lower().startswith(download.WEB_PAGE):
        raise ValueError(f"weights: {path} is a web page, not weights; delete it and download the file again")
    # A pickle or a zip of one, as torch.save writes them; a safetensors file starts with the length of its header.
    if start.startswith((b"PK\x03\x04", b"\x80")) and start[8:9] != b"{":
        return _published(path, str(name_or_path))
    generator = _own(path)
    assert isinstance(generator.model, nn.Module)  # made now: what does not fit is said before anything else
    return generator


def _published(path: Path, asked: str) -> Generator:
    """asked: the name or path that the file was asked for by."""
    state = state_dict(path)

    def is_of(tensor: str, length: int | None) -> bool:
        return tensor in state and length in (None, *state[tensor].shape[:1])

    name = next((name for name, tensor in _KNOWN_BY.items() if is_of(*tensor)), None)
    if name is None:
        raise ValueError(
            f"weights: {path} is a state dict of another network (its first tensor is {next(iter(state))!r}), "
            f"known are {', '.join(_KNOWN_BY)}"
        )
    options: dict[str, object] = {}
    try:
        palette = _published_palette(state["model_out.weight"]) if name == "eccv16" else None
        if palette is not None and len(palette) != len(Palette.grid()):
            options["bins"] = len(palette)
        model = _of_state(name, options, state)
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"weights: {path} does not fit the network {name} ({error})") from None
    size = PUBLISHED.get(asked, PUBLISHED[name] if name in PUBLISHED else PUBLISHED["deoldify-stable"])[1]
    network = Network(model.kind, model.stride, lambda: _of_state(name, options, state_dict(path))).having(model)
    return Generator(network, name, options, palette, temperature=1.0, size=size, card={"published as": path.name})


def _of_state(name: str, options: dict[str, object], state: dict[str, Tensor]) -> Any:
    """A published network made of the very tensors of its state: no numbers are drawn for it, and none lie in memory
    twice. ValueError, RuntimeError: they do not fit."""
    with torch.device("meta"):
        model = models.build(name, **options)
    published = getattr(model, "network", model)  # of a network that is shown RGB, what stands inside ours
    own = published.state_dict()
    if published is not model:  # whose own loaders take files with more in them than the network
        state = {key: value for key, value in state.items() if key in own}
    counts = {key: torch.zeros((), dtype=torch.long) for key in own if key.endswith("num_batches_tracked")}
    _fill(published, {**counts, **state}, assign=True)
    return model.eval()


def _published_palette(last: Tensor) -> Palette:
    """What eccv16 averages over lies in its last layer (2, Q, 1, 1), in units of 110; the grid but for rounding."""
    points = last.flatten(1).t().float() * 110
    grid = Palette.grid()
    return (
        grid if points.shape == grid.points.shape and torch.allclose(points, grid.points, atol=0.1) else Palette(points)
    )


def _fits_half(value: Tensor) -> bool:
    """A variance of BatchNorm may be beyond it, and infinite it would silence its layer without a word."""
    return value.is_floating_point() and bool((value.abs() <= torch.finfo(torch.float16).max).all())


def _check_finite(state: dict[str, Tensor], what: str) -> None:
    bad = [key for key, value in state.items() if value.is_floating_point() and not value.isfinite().all()]
    if bad:
        raise ValueError(f"{what}, got infinite values or NaN in {', '.join(bad[:3])}{', ...' if bad[3:] else ''}")


def _fill(model: nn.Module, state: dict[str, Tensor], *, assign: bool = False) -> None:
    check_state(model, state, "must be its state dict")
    # Files of the first default network have infinite variances where float16 could not hold them: silent channels.
    variances = {key for key in state if key.endswith("running_var") and not state[key].isnan().any()}
    _check_finite({key: value for key, value in state.items() if key not in variances}, "must be finite")
    whole = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    model.load_state_dict(whole, strict=False, assign=assign)


def _own(path: Path) -> Generator:
    try:
        with safe_open(path, framework="pt") as file:
            description, tensors = file.metadata() or {}, set(file.keys())
    except (SafetensorError, OSError) as error:
        raise ValueError(f"weights: {path} is not a safetensors file or is damaged ({error})") from None
    if description.get("format") != _FORMAT:
        raise ValueError(
            f"weights: {path} is a safetensors file, but not one of fastcolor's (no {_FORMAT} in its metadata)"
        )
    with _fitting(path):
        name, options = description["model"], json.loads(description["options"])
        if name == "default" and _FIRST_DEFAULT in tensors:
            name = "default-mobilenet"  # as files of the first default network call it
        kind, stride = models.traits(name, **options)
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        network = Network(kind, stride, lambda: _made(path, name, options), source=content)
        return Generator.from_facts(network, {**description, "model": name})


def _made(path: Path, name: str, options: dict[str, object]) -> nn.Module:
    """The network of a file, filled."""
    with _fitting(path):
        model, state = models.build(name, **options), load_file(path)
        if name == "default" and _FORMER_HINTS in state:  # which colours as ever, and follows none until it learns to
            state = {key: value for key, value in state.items() if not key.startswith("hints.")}
            state |= {key: value for key, value in model.state_dict().items() if key.startswith("hints.")}
        _fill(model, state)
        return model.eval()


@contextlib.contextmanager
def _fitting(path: Path) -> Iterator[None]:
    """What goes wrong inside means that the file is of another version or damaged."""
    try:
        yield
    except (KeyError, TypeError, ValueError, OverflowError, RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"weights: {path} does not fit this version of fastcolor ({reason})") from None
