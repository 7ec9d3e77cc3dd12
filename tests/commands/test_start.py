"""Help, versions and refusals answer at once: without torch, whose import alone takes a second or more, or numpy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from fastcolor import commands
from fastcolor.training.presets import PRESETS

_PROGRAM = """
import sys
from fastcolor.__main__ import {main}
try:
    {main}()
finally:
    heavy = sorted({{"torch", "onnxruntime", "openvino", "ray", "cv2", "numpy", "PIL"}} & sys.modules.keys())
    print("loaded:", *heavy, file=sys.stderr)
"""


def answered(folder: Path, *arguments: str, program: str = "main") -> tuple[int, str, str]:
    """(code, stdout, stderr), for an answer that loaded nothing that takes long."""
    command = [sys.executable, "-c", _PROGRAM.format(main=program), *arguments]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, env=dict(os.environ))
    said, _, loaded = result.stderr.rpartition("loaded:")
    assert not loaded.strip(), (arguments, loaded)
    return result.returncode, result.stdout, said


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image.new("L", (64, 64), 100).save(tmp_path / "a.png")
    (tmp_path / "there.mp4").write_text("x")
    (tmp_path / "there.png").write_text("x")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "notes.txt").write_text("x")
    return tmp_path


def test_an_early_session_does_not_race_for_numpy(folder: Path) -> None:
    """Torch and ONNX Runtime are imported side by side, and both want numpy, whose first import bears one thread."""
    program = """
import sys
from fastcolor.engines import session
file = next(session.NAMED["default"].parent.glob("*-int8.onnx"))
session.remember("auto", "auto", file, 1, True, chosen=True)
session.begin("default", "auto", "auto")
print("numpy" in sys.modules, "torch" in sys.modules, len(session._early))
"""
    home = {**os.environ, "FASTCOLOR_HOME": str(folder / "home")}
    command = [sys.executable, "-c", program]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120, env=home).stdout
    assert said.split() == ["True", "False", "1"]


@pytest.mark.parametrize("name", ["", *commands.NAMES])
def test_help_and_version(folder: Path, name: str) -> None:
    code, output, errors = answered(folder, *name.split(), "--help")
    assert code == 0 and f"usage: fastcolor {name}".strip() in output and not errors
    if not name:
        assert answered(folder, "--version")[1].startswith("fastcolor ")
        assert "usage: fastcolor-video" in answered(folder, "--help", program="main_video")[1]


def test_help_lists_the_real_choices(folder: Path) -> None:
    for name in ("colorize", "video", "batch", "evaluate"):
        _, output, _ = answered(folder, name, "--help")
        assert "--engine {auto,torch,onnx,openvino,tensorrt}" in output
        assert "the weights' own" in output
        assert ("--weights WEIGHTS" in output and "siggraph17" in output) or name == "evaluate"
    _, output, _ = answered(folder, "train", "--help")
    assert all(name in output for name in PRESETS) and "--data PATH" in output
    assert "WEIGHTS DATA" in answered(folder, "evaluate", "--help")[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("colorize no.png -o b.png", "no.png: no such file"),
        ("colorize a.png -o there.png", "exists already"),
        ("colorize a.png -o b.png --weights defalt", "did you mean 'default'?"),
        ("colorize a.png -o b.png --saturation 11", "saturation: must lie in 0..10, got 11"),
        ("colorize a.png -o b.png --engine fast", "--engine: must be one of "),
        ("colorize texts -o out", "holds no pictures"),
        ("colorize a.png -o b.txt", "must end in one of"),
        ("video no.mp4 b.mp4", "no.mp4"),
        ("video a.png there.mp4", "exists already"),
        ("video a.png b.mp4 --start 5 --end 0:02", "end: must come after start, got 5 to 2"),
        ("video a.png b.mp4 --start soon", "--start: must be seconds or [HH:]MM:SS, got 'soon'"),
        ("batch no out", "no: no such folder"),
        ("batch texts out --workers 2", "workers: must be 1 or more, and needs --ray, got 2"),
        ("batch texts out", "holds no pictures or films"),
        ("train --data no", "data: no such file or folder"),
        ("train --data a.png --preset defalt", "preset: must be "),
        ("train --data a.png --keep 0", "keep: must be at least 1, got 0"),
        ("train --data a.png --seed -1", "seed: must be at least 0, got -1"),
        ("palette --out there.npy --bins 7", "bins: the grid has 313 bins"),
        ("palette --out p.npy --data no", "data: no such file or folder"),
        ("palette --out p.npy --data a.png --bins 7", "bins: must lie in 8..1024, got 7"),
        ("prior --out p.npy --data a.png --smooth nan", "smooth: must be 0 or more, and finite, got nan"),
        ("prior --out p.txt --data a.png", "out: must end in .safetensors, .npy"),
        ("evaluate default texts", "no picture"),
        ("evaluate default a.png --limit 0", "limit: must be at least 1, got 0"),
        ("bench --only foo", "--only: must be one of color, encode, loss, decode, got 'foo'"),
        ("colorise a.png", "colorize"),
    ],
)
def test_refusals(folder: Path, arguments: str, words: str) -> None:
    before = sorted(folder.rglob("*"))
    code, output, errors = answered(folder, *arguments.split())
    assert code == 2 and words in errors and len(errors.splitlines()) == 1 and not output, errors
    assert sorted(folder.rglob("*")) == before
