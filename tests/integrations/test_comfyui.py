"""ComfyUI's nodes as far as ComfyUI need not run: what they declare, and what they do."""

from __future__ import annotations

import importlib.util
import inspect
import os
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from film_clips import clip, frames_of
from PIL import Image

from fastcolor.pictures.colorize import Colorizer

FILE = Path(__file__).parents[2] / "integrations" / "comfyui" / "__init__.py"


@pytest.fixture(scope="module")
def nodes() -> ModuleType:
    """Loaded as ComfyUI does it, by path."""
    spec = importlib.util.spec_from_file_location("custom_nodes_fastcolor", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_the_nodes_declare(nodes: ModuleType) -> None:
    assert nodes.NODE_CLASS_MAPPINGS.keys() == nodes.NODE_DISPLAY_NAME_MAPPINGS.keys()
    for node in nodes.NODE_CLASS_MAPPINGS.values():
        work = inspect.signature(getattr(node(), node.FUNCTION)).parameters
        declared = node.INPUT_TYPES()["required"]
        assert set(work) == set(declared) and isinstance(node.RETURN_TYPES, tuple) and node.CATEGORY
        for kind, *more in declared.values():
            assert kind in ("STRING", "FLOAT", "BOOLEAN", "IMAGE") or isinstance(kind, list)
            assert all(isinstance(one, dict) for one in more)
    assert len(FILE.read_text().splitlines()) < 130


def test_a_film_and_a_picture_from_file_to_file(
    nodes: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    clip(tmp_path / "gray.mkv", frames=4, audio=("aac",))
    Image.linear_gradient("L").resize((96, 64)).save("gray.png")
    node = nodes.FastcolorFile()
    options = {"temporal": "fast", "overwrite": False, "weights": "default", "saturation": 1.0}
    assert node.run("gray.mkv", "out/colour.mkv", **options) == (os.path.join("out", "colour.mkv"),)
    assert len(frames_of(tmp_path / "out" / "colour.mkv")) == 4
    assert len(frames_of(tmp_path / "out" / "colour.mkv", 1)) == len(frames_of(tmp_path / "gray.mkv", 1)) > 0
    (made,) = node.run("gray.png", "colour.png", **options)
    assert np.ptp(np.array(Image.open(made)), axis=2).max() > 5
    with pytest.raises(FileExistsError, match="exists already"):
        node.run("gray.png", "colour.png", **options)
    with pytest.raises(FileNotFoundError, match=r"no\.png"):
        node.run("no.png", "other.png", **options)
    known = node.IS_CHANGED("gray.png", "colour.png", **options)
    assert node.IS_CHANGED("gray.png", "colour.png", **options) == known
    os.utime("gray.png", (time.time() + 9,) * 2)
    assert node.IS_CHANGED("gray.png", "colour.png", **options) != known
    # Parts that a stopped run has left are gone on with.
    (tmp_path / "late.mkv.part").mkdir()
    assert node.run("gray.mkv", "late.mkv", **options) and not (tmp_path / "late.mkv.part").exists()


def test_pictures_as_tensors(nodes: ModuleType) -> None:
    gray = torch.linspace(0, 1, 96).expand(2, 64, 96)[..., None].expand(-1, -1, -1, 3)
    (coloured,) = nodes.FastcolorImage().run(gray, "default", 1.0)
    assert (
        coloured.shape == gray.shape and coloured.dtype == torch.float32 and 0 <= coloured.min() < coloured.max() <= 1
    )
    own = Colorizer()((gray[0] * 255).round().to(torch.uint8).numpy())
    assert np.abs(np.array(own).astype(float) / 255 - coloured[0].numpy()).max() < 3 / 255
    (plain,) = nodes.FastcolorImage().run(gray, "default", 0.0)
    assert np.ptp(plain.numpy(), axis=3).max() < 2 / 255 < np.ptp(coloured.numpy(), axis=3).max()
