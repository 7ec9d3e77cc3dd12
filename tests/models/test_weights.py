"""Weights on disk: whole round trips, and clear words for everything else."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from fastcolor import Colorizer, Hint, Palette, models
from fastcolor.engines.split import split_onnx
from fastcolor.models import weights
from fastcolor.training.watches import silent_layers


def write(path: Path, **changes: object) -> torch.nn.Module:
    model = changes.pop("model", None) or models.build("default", bins=12)
    arguments = {"name": "default", "options": {"bins": 12}, "palette": Palette(torch.randn(12, 2) * 30)}
    weights.save(path, model, **{**arguments, "temperature": 0.5, "size": 192, "card": {"steps": "7"}, **changes})
    return model


def test_round_trip(tmp_path: Path) -> None:
    model = write(tmp_path / "a.safetensors")
    loaded = weights.load(tmp_path / "a.safetensors")
    assert (loaded.name, loaded.options, loaded.temperature, loaded.size) == ("default", {"bins": 12}, 0.5, 192)
    assert loaded.card == {"steps": "7"} and len(loaded.palette) == 12 and not loaded.model.training
    for key, value in loaded.model.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            assert torch.allclose(value, model.state_dict()[key].half().float())
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


@torch.no_grad()
def test_files_of_hints_that_were_followed_otherwise_colour_as_ever_and_say_so(tmp_path: Path) -> None:
    write(tmp_path / "a.safetensors")
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        state = {key: file.get_tensor(key) for key in file.keys()}
        plain = {key: value for key, value in state.items() if not key.startswith("hints.")}
        former = {**plain, "hints.to_16.0.weight": torch.zeros(64, 6, 1, 1), "hints.none": torch.tensor(4.0)}
        for name, tensors in (("former", former), ("none", plain)):
            save_file(tensors, tmp_path / f"{name}.safetensors", metadata=file.metadata())
    lightness = torch.rand(1, 1, 64, 64) * 100
    old, new = (weights.load(tmp_path / f"{name}.safetensors").model(lightness) for name in ("former", "a"))
    assert torch.equal(old, new)
    gray = np.full((64, 64), 90, np.uint8)
    colorizer = Colorizer(tmp_path / "former.safetensors", device="cpu", engine="torch")
    assert colorizer(gray).size == (64, 64)
    untaught = "hints: must come with weights that follow them, got some that never learnt it"
    with pytest.raises(ValueError, match=untaught):
        colorizer(gray, hints=[Hint(0.5, 0.5, "#8c1f28")])
    given = weights.load(tmp_path / "former.safetensors")
    with pytest.raises(ValueError, match=untaught):
        split_onnx(given)
    write(tmp_path / "anew.safetensors", model=given.model)  # as training without hints writes them
    with pytest.raises(ValueError, match=untaught):
        weights.load(tmp_path / "anew.safetensors").model.check_taught()
    weights.load("default").model.check_taught()
    with pytest.raises(ValueError, match=r"none.safetensors does not fit .*missing \(hints"):
        weights.load(tmp_path / "none.safetensors")


@pytest.mark.parametrize("kind", [torch.int64, torch.complex64])
def test_tensors_of_no_floats_do_not_fit(kind: torch.dtype) -> None:
    model = models.build("default", bins=12)
    state = {**model.state_dict(), "head.bias": torch.zeros(12, dtype=kind)}
    with pytest.raises(
        ValueError, match=rf"state dict, got one with tensors 1 of no floats \(head.bias {str(kind)[6:]}"
    ):
        weights._fill(model, state)


def test_a_variance_beyond_float16_stays_what_it_is(tmp_path: Path) -> None:
    model = models.build("default", bins=12)
    facts = {"name": "default", "options": {"bins": 12}, "palette": Palette(torch.randn(12, 2) * 30)}
    norm = model.enter_32[1]
    norm.running_var[3] = 1e6
    weights.save(tmp_path / "a.safetensors", model, **facts, temperature=0.5, size=192)
    assert weights.load(tmp_path / "a.safetensors").model.enter_32[1].running_var[3] == 1e6
    norm.running_var[3] = torch.inf
    with pytest.raises(
        ValueError, match=r"model: must be finite, got infinite values or NaN in enter_32.1.running_var"
    ):
        weights.save(tmp_path / "b.safetensors", model, **facts, temperature=0.5, size=192)
    state = {key: value.half() for key, value in model.state_dict().items()}
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        metadata = file.metadata()
    save_file(state, tmp_path / "c.safetensors", metadata=metadata)  # as files of the first default network have it
    assert weights.load(tmp_path / "c.safetensors").model.enter_32[1].running_var[3] == torch.inf
    state["enter_32.1.running_var"][3] = torch.nan
    save_file(state, tmp_path / "d.safetensors", metadata=metadata)
    with pytest.raises(ValueError, match=r"d.safetensors does not fit .*must be finite.*enter_32.1.running_var"):
        weights.load(tmp_path / "d.safetensors")


def test_the_shipped_weights() -> None:
    path = Path(weights.__file__).parents[1] / "assets" / "default.safetensors"
    assert path.stat().st_size <= 16 * 2**20
    loaded = weights.load("default")
    assert loaded.model.kind == "classifier" and loaded.palette == Palette.grid() and loaded.size == 256
    assert int(loaded.card["steps"]) > 1000
    ramp = torch.linspace(5, 95, 128).expand(1, 1, 128, 128) + 4 * torch.randn(1, 1, 128, 128)
    assert silent_layers(loaded.model, ramp.clamp(0, 100)) == []  # every layer has a say


def test_names_and_files_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got 'defualt'; did you mean 'default'"):
        weights.load("defualt")
    with pytest.raises(FileNotFoundError, match=r"weights: no such file: .*missing\.safetensors"):
        weights.load(tmp_path / "missing.safetensors")
    with pytest.raises(ValueError, match="must be a file, got the folder"):
        weights.load(tmp_path)
    page = tmp_path / "page.safetensors"
    page.write_text("\n<!DOCTYPE html><html>404</html>")
    with pytest.raises(ValueError, match="is a web page, not weights; delete it and download the file again"):
        weights.load(page)
    (tmp_path / "empty.pth").touch()
    with pytest.raises(ValueError, match=r"empty\.pth is empty; get the file again"):
        weights.load(tmp_path / "empty.pth")
    (tmp_path / "text").write_text("no weights")
    with pytest.raises(ValueError, match="is not a safetensors file or is damaged"):
        weights.load(tmp_path / "text")
    write(tmp_path / "a.safetensors")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes((tmp_path / "a.safetensors").read_bytes()[:-1000])
    with pytest.raises(ValueError, match="is not a safetensors file or is damaged"):
        weights.load(cut)
    other = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(3)}, other)
    with pytest.raises(ValueError, match="not one of fastcolor's"):
        weights.load(other)
    with pytest.raises(ValueError, match=r"path: must end in \.safetensors"):
        write(tmp_path / "a.pth")


def test_a_network_that_changed_is_refused(tmp_path: Path) -> None:
    model = models.build("default", bins=12)
    state = {k: v.half() for k, v in list(model.state_dict().items())[3:] if not k.endswith("tracked")}
    description = {"format": "fastcolor-1", "model": "default", "options": '{"bins": 12}', "palette": "null"}
    description |= {"temperature": "1", "saturation": "1", "size": "64", "card": "{}"}
    save_file(state, tmp_path / "b.safetensors", metadata=description)
    with pytest.raises(ValueError, match="does not fit this version of fastcolor"):
        weights.load(tmp_path / "b.safetensors")
    save_file(state, tmp_path / "c.safetensors", metadata={**description, "options": json.dumps({"depth": 3})})
    with pytest.raises(ValueError, match="does not fit this version of fastcolor"):
        weights.load(tmp_path / "c.safetensors")


class _Malicious:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("ran",)


def test_state_dicts_are_read_without_running_what_is_in_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": torch.ones(2)}, "new.pth")
    torch.save({"weight": torch.ones(2)}, "old.pth", _use_new_zipfile_serialization=False)
    for name in ("new.pth", "old.pth"):
        assert weights.state_dict(name)["weight"].tolist() == [1, 1]
        with pytest.raises(ValueError, match=r"of another network .its first tensor is 'weight'., known are eccv16"):
            weights.load(name)
    torch.save({"model_out.weight": _Malicious()}, "bad.pth")
    torch.save([torch.ones(2)], "list.pth")
    for name in ("bad.pth", "list.pth"):
        with pytest.raises(ValueError, match=f"{name} is not a plain state dict"):
            weights.load(name)
    assert not Path("ran").exists()
    Path("cut.pth").write_bytes(Path("new.pth").read_bytes()[:-200])
    with pytest.raises(ValueError, match=r"cut\.pth is damaged"):
        weights.load("cut.pth")


@pytest.mark.parametrize("name", ["eccv16", "siggraph17"])
def test_published_networks_are_known_by_their_tensors(tmp_path: Path, name: str) -> None:
    """Random weights under the published names, from a file of any name: with and without the counts of batches."""
    model = models.build(name)
    state = {key: value.half() if value.is_floating_point() else value for key, value in model.state_dict().items()}
    torch.save(state, tmp_path / "net.bin")
    loaded = weights.load(tmp_path / "net.bin")
    assert (loaded.name, loaded.size, loaded.temperature) == (name, 256, 1.0) and not loaded.model.training
    assert loaded.palette == (Palette.grid() if name == "eccv16" else None)
    assert torch.equal(loaded.model.model5[0].weight, state["model5.0.weight"].float())
    ab = Colorizer(tmp_path / "net.bin", "cpu", "torch").predict_ab(torch.full((1, 1, 32, 40), 50.0))
    assert ab.shape == ((1, 2, 8, 10) if name == "eccv16" else (1, 2, 32, 40))

    few = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    torch.save({**few, "other.num_batches_tracked": torch.tensor(1)}, tmp_path / "net.bin")
    assert weights.load(tmp_path / "net.bin").name == name
    del few["model5.0.bias"]
    torch.save(few, tmp_path / "net.bin")
    with pytest.raises(ValueError, match=rf"net.bin does not fit the network {name} .*1 missing .model5\.0\.bias"):
        weights.load(tmp_path / "net.bin")


def test_another_palette_of_eccv16(tmp_path: Path) -> None:
    model, palette = models.build("eccv16", bins=9), Palette(torch.randn(9, 2) * 40)
    model.set_palette(palette)
    torch.save(model.state_dict(), tmp_path / "net.pth")
    loaded = weights.load(tmp_path / "net.pth")
    assert loaded.options == {"bins": 9} and torch.allclose(loaded.palette.points, palette.points, atol=1e-3)


def test_files_of_the_first_default_network_still_load(tmp_path: Path) -> None:
    """They call it "default", as its successor is called now."""
    torch.manual_seed(0)
    model = models.build("default-mobilenet", bins=16).eval()
    path = tmp_path / "old.safetensors"
    palette = Palette(torch.rand(16, 2) * 50)
    weights.save(path, model, name="default", options={"bins": 16}, palette=palette, temperature=0.7, size=256)
    loaded = weights.load(path)
    assert loaded.name == "default-mobilenet" and loaded.options == {"bins": 16}
    for key, value in loaded.model.state_dict().items():
        assert key.endswith("num_batches_tracked") or torch.equal(value, model.state_dict()[key].half().float()), key
    weights.save(path, models.build("default"), name="default", options={}, palette=None, temperature=1, size=256)
    assert weights.load(path).name == "default"
