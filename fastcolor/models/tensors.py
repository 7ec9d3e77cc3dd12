"""Reading the tensors of a file that torch.save wrote, and nothing else that it may hold.

Published checkpoints lie beside an optimiser's state, and their pickle names whatever that was made of: slices, partial
functions, classes of libraries that are not here. torch's own restricted reader refuses such a file whole. Here every
name but those of plain tensors stands for an object that does nothing, so that the tensors can be taken and no code
runs.
"""

from __future__ import annotations

import os
import pickle
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

# Under what names networks' states lie in published files: BasicSR's, fastai's, Lightning's.
_NESTED = ("params_ema", "params", "model", "state_dict")


class Nothing:
    """Stands for whatever a pickle names: it is made from anything, called with anything, and keeps nothing."""

    def __new__(cls, *_: object, **__: object) -> Nothing:
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __call__(self, *_: object, **__: object) -> Nothing:
        return self

    def __setstate__(self, _: object) -> None:
        pass

    def __setitem__(self, _: object, __: object) -> None:
        pass

    append = extend = add = __call__
    dump_patches = False  # torch asks modules' classes in its old format


def _parameter(data: Tensor, *_: object) -> Tensor:
    return data


class Unpickler(pickle.Unpickler):
    """Makes containers, numbers, text and tensors; every other name is `Nothing`."""

    _KNOWN: ClassVar[dict[tuple[str, str], Any]] = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch", "Size"): torch.Size,
        ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
        ("torch._utils", "_rebuild_parameter"): _parameter,
    }

    def find_class(self, module: str, name: str) -> Any:
        return self._KNOWN.get((module, name), Nothing)


class _Pickle:
    """The module that torch.load reads pickles with."""

    Unpickler = Unpickler

    @staticmethod
    def load(file: Any, **options: Any) -> Any:
        return Unpickler(file, **options).load()


def state_dict(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The state dict in a `.pth` or `.bin` file, whatever lies beside it.

    Args:
        path: a file in torch's format, new (a zip) or old (pickles one behind the other), which holds a state dict or,
            under "params", "model" or "state_dict", one among other things.

    Returns:
        Names and tensors, on the CPU.

    Raises:
        FileNotFoundError: no such file. ValueError: it is damaged, holds code (TorchScript), or no state dict.

    Example:
        >>> state_dict("ColorizeVideo_gen.pth")["layers.0.0.weight"].shape  # doctest: +SKIP
        torch.Size([64, 3, 7, 7])
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"weights: no such file: {path}")
    with open(path, "rb") as file:
        start = file.read(2)
    zipped = start == b"PK"
    # Tar archives, torch's oldest format, unpack to disk: refused by their first bytes, as is all else.
    if not zipped and start != b"\x80\x02":
        raise ValueError(f"weights: {path} is not a file of torch.save's")
    try:
        if zipped:
            with zipfile.ZipFile(path) as archive:
                if any(name.endswith("constants.pkl") or "/code/" in name for name in archive.namelist()):
                    raise ValueError(f"weights: {path} is a TorchScript program, which is code, not weights")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the source of modules beside the tensors is another: it is not read
            held = torch.load(path, map_location="cpu", weights_only=False, pickle_module=_Pickle)
    except (OSError, EOFError, RuntimeError, KeyError, AttributeError, TypeError, IndexError,
            pickle.UnpicklingError, zipfile.BadZipFile) as error:  # fmt: skip
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise ValueError(f"weights: {path} is damaged ({reason})") from None
    state = _state_in(held)
    if state is None:
        raise ValueError(f"weights: {path} is not a plain state dict (names and tensors), nor holds one")
    return state


def _state_in(held: object) -> dict[str, Tensor] | None:
    """The mapping of names to tensors that was saved: the first under one of the usual names, else the whole."""
    if not isinstance(held, Mapping):
        return None
    found = [held.get(name) for name in _NESTED if name in held] or [held]
    for one in found:
        if isinstance(one, Mapping) and one and all(isinstance(value, Tensor) for value in one.values()):
            return {str(key): value for key, value in one.items()}
    return None
