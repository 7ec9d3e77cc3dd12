"""Reading published checkpoints: the tensors whatever lies beside them, and never any code."""

from __future__ import annotations

import functools
import os
import pickle
import tarfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastcolor.models import tensors

STATE = OrderedDict(
    {
        "layers.0.weight": torch.arange(12.0).reshape(3, 4),
        "layers.0.half": torch.arange(6).half(),
        "layers.0.num_batches_tracked": torch.tensor(7),
        "transposed": torch.arange(6.0).reshape(2, 3).t(),
    }
)


def same(found: dict[str, Tensor]) -> bool:
    return list(found) == list(STATE) and all(torch.equal(found[k], v) and found[k].dtype == v.dtype
                                              for k, v in STATE.items())  # fmt: skip


class Spy:
    """What a pickle with code in it looks like: reading it would make a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("zipped", [True, False], ids=["new format", "old format"])
@pytest.mark.parametrize("under", [None, "params", "model", "state_dict"])
def test_a_state_dict_wherever_it_lies(under: str | None, zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save(STATE if under is None else {under: STATE}, path, _use_new_zipfile_serialization=zipped)
    assert same(tensors.state_dict(path))


@pytest.mark.parametrize("zipped", [True, False], ids=["new format", "old format"])
def test_beside_an_optimiser_that_names_python_objects(zipped: bool, tmp_path: Path) -> None:
    """As fastai's learners save: slices, partial functions, modules' classes, and momenta."""
    layer = nn.Linear(2, 2)
    optimiser = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    beside = {
        "lr": slice(1e-5, 1e-3, None),
        "opt_func": functools.partial(torch.optim.Adam, betas=(0.9, 0.99)),
        "loss": functools.partial(F.l1_loss, reduction="mean"),
        "state": optimiser.state_dict(),
        "layer": layer,
        "set": {1, 2},
    }
    path = tmp_path / "ColorizeVideo_gen.pth"
    torch.save({"model": STATE, "opt": beside}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(pickle.UnpicklingError):  # torch's own restricted reader refuses it whole
        torch.load(path, weights_only=True)
    assert same(tensors.state_dict(path))


@pytest.mark.parametrize("zipped", [True, False], ids=["new format", "old format"])
def test_code_in_a_file_never_runs(zipped: bool, tmp_path: Path) -> None:
    path, trace = tmp_path / "a.pth", tmp_path / "ran"
    torch.save({"model": STATE, "opt": Spy(trace)}, path, _use_new_zipfile_serialization=zipped)
    assert same(tensors.state_dict(path)) and not trace.exists()
    torch.load(path, weights_only=False)  # it would have run
    assert trace.exists()


def test_parameters_are_tensors(tmp_path: Path) -> None:
    torch.save({k: nn.Parameter(v, requires_grad=False) for k, v in STATE.items()}, tmp_path / "a.pth")
    assert same(tensors.state_dict(tmp_path / "a.pth"))


def test_what_holds_no_weights_is_refused_in_one_sentence(tmp_path: Path) -> None:
    def refused(name: str, words: str) -> None:
        with pytest.raises(ValueError, match=words) as error:
            tensors.state_dict(tmp_path / name)
        assert "\n" not in str(error.value) and name in str(error.value)

    with pytest.raises(FileNotFoundError, match="no such file"):
        tensors.state_dict(tmp_path / "missing.pth")
    (tmp_path / "page.pth").write_text("<!DOCTYPE html><html></html>")
    refused("page.pth", "not a file of torch.save's")
    (tmp_path / "empty.pth").write_bytes(b"")
    refused("empty.pth", "not a file of torch.save's")
    torch.jit.script(nn.Linear(2, 2)).save(str(tmp_path / "program.pth"))
    refused("program.pth", "TorchScript program, which is code")
    with tarfile.open(tmp_path / "old.pth", "w") as archive:
        archive.add(tmp_path / "page.pth", "storages")
    refused("old.pth", "not a file of torch.save's")
    torch.save([1, 2], tmp_path / "list.pth")
    refused("list.pth", "not a plain state dict")
    torch.save({"model": {"epoch": 3}}, tmp_path / "numbers.pth")
    refused("numbers.pth", "not a plain state dict")
    torch.save(nn.Linear(2, 2), tmp_path / "module.pth")
    refused("module.pth", "not a plain state dict")


@pytest.mark.parametrize("zipped", [True, False], ids=["new format", "old format"])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_a_file_that_breaks_off_is_damaged(zipped: bool, share: float, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"model": STATE}, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ValueError, match="is damaged"):
        tensors.state_dict(path)
