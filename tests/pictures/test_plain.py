"""A few pictures are painted without torch, and as with it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from fastcolor.device import int8_is_fast
from fastcolor.engines import session
from fastcolor.formats.picture import Picture
from fastcolor.formats.reading import read
from fastcolor.pictures import files
from fastcolor.pictures.colorize import Colorizer
from fastcolor.pictures.plain import PlainPainter

pytestmark = pytest.mark.skipif(not int8_is_fast(), reason="this CPU has no VNNI, so the INT8 network is not used")

PHOTOGRAPH = Path(__file__).parents[2] / "bench" / "demo" / "chelsea.jpg"
COLORIZE = """
import sys
from fastcolor.__main__ import main
try:
    main()
finally:
    print("loaded:", *sorted({"torch", "openvino"} & sys.modules.keys()), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def colorizer(home: Path) -> Colorizer:
    """Which notes under `home` that the network in INT8 does."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FASTCOLOR_HOME", str(home))
        return Colorizer(device="cpu", engine="onnx")


def colorize(home: Path, *arguments: str | Path) -> tuple[int, str]:
    """(code, what it says) of `fastcolor colorize`."""
    command = [sys.executable, "-c", COLORIZE, "colorize", *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, env={**os.environ, "FASTCOLOR_HOME": str(home)}
    )
    return done.returncode, done.stdout + done.stderr


def in_colour(width: int, height: int) -> Image.Image:
    gray = Image.open(PHOTOGRAPH).convert("L").resize((width, height))
    return Image.merge("RGB", (gray, gray.transpose(Image.Transpose.FLIP_LEFT_RIGHT), gray))


def pictures() -> list[Picture]:
    """Of every kind of pixels, of odd sizes; a part of one is missing, another is flat, and of one nothing is left."""
    rgb = np.asarray(in_colour(201, 133))
    gray = np.ascontiguousarray(rgb[..., 1])
    deep = (gray.astype(np.uint16) << 8) + 37
    deep_rgb = (rgb.astype(np.uint16) << 8) + 5
    return [
        Picture(gray),
        Picture(rgb),
        Picture(deep),
        Picture(deep_rgb),
        Picture(gray[:7, :9], alpha=gray[:7, :9]),
        Picture(np.full((40, 60), 90, np.uint8)),
        Picture(gray, present=(slice(0, 80), slice(None))),
        Picture(gray, present=(slice(0, 0), slice(None))),
    ]


def test_both_paint_the_same(colorizer: Colorizer, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTCOLOR_HOME", str(home))
    for size, temperature, saturation in ((None, None, 1.0), (128, 0.0, 1.7)):
        noted = session.begin("default", "cpu", "onnx")
        assert noted is not None
        single = PlainPainter(noted, size)
        for picture in pictures():
            (alone,) = single.paint([picture], temperature=temperature, saturation=saturation)
            (other,) = colorizer.at(size).paint([picture], temperature=temperature, saturation=saturation)
            assert alone.mode == other.mode and np.array_equal(np.asarray(alone), np.asarray(other))
            seen = picture.gray[picture.present]
            assert np.ptp(np.asarray(alone)[..., :3], axis=2).any() == (seen.size > 0 and np.ptp(seen) > 0)


def test_a_picture_takes_no_torch(colorizer: Colorizer, home: Path, tmp_path: Path) -> None:
    in_colour(320, 213).save(tmp_path / "a.png")
    asked = ("-o", tmp_path / "b.png", "--device", "cpu", "--engine", "onnx", "--log", tmp_path / "log")
    code, said = colorize(home, tmp_path / "a.png", *asked)
    assert code == 0 and said.splitlines()[-1] == "loaded:" and "in colour before" in said
    assert '"status": "coloured"' in (tmp_path / "log").read_text()
    (frame,) = read(tmp_path / "a.png").frames
    (expected,) = colorizer.paint([frame])
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b.png")), np.asarray(expected))

    (tmp_path / "broken.jpg").write_bytes(PHOTOGRAPH.read_bytes()[:4000])
    code, said = colorize(home, tmp_path / "broken.jpg", *asked, "--overwrite")
    assert code == 2 and "broken.jpg" in said and said.splitlines()[-1] == "loaded:"
    assert "--allow-truncated" in said and '"status": "failed"' in (tmp_path / "log").read_text()


def test_a_few_pictures_take_no_torch(colorizer: Colorizer, home: Path, tmp_path: Path) -> None:
    """A folder, too: what is there stays, what is broken is told, the others are painted as with torch."""
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name, side in (("a.png", 213), ("b.png", 320), ("c.png", 160)):
        in_colour(side, side).convert("L").save(folder / name)
    (folder / "broken.jpg").write_bytes(PHOTOGRAPH.read_bytes()[:4000])
    out.mkdir()
    (out / "c.png").write_bytes(b"there before")
    code, said = colorize(home, folder, "-o", out, "--device", "cpu", "--engine", "onnx")
    assert code == 1 and said.splitlines()[-1] == "loaded:" and "broken.jpg" in said and "skipped (exist) 1" in said
    assert (out / "c.png").read_bytes() == b"there before" and not (out / "broken.jpg").exists()
    for name in ("a.png", "b.png"):
        (expected,) = colorizer.paint(list(read(folder / name).frames))
        assert np.array_equal(np.asarray(Image.open(out / name)), np.asarray(expected))

    for i in range(files.FEW):
        in_colour(40, 40).save(folder / f"{i}.png")
    code, said = colorize(home, folder, "-o", out, "--device", "cpu", "--engine", "onnx")
    assert "torch" in said.splitlines()[-1]  # many are painted faster at once


@pytest.mark.parametrize("change", ["threads", "weights", "file", "engine"])
def test_a_note_that_no_longer_holds_begins_nothing(
    colorizer: Colorizer, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setenv("FASTCOLOR_HOME", str(home))
    engine = "onnx"
    if change == "threads":
        monkeypatch.setenv("OMP_NUM_THREADS", "7")
    elif change == "weights":
        (tmp_path / "default.safetensors").write_bytes(b"others")
        monkeypatch.setitem(session.NAMED, "default", tmp_path / "default.safetensors")
    elif change == "file":
        monkeypatch.setattr(
            session.cache, "read", lambda path: path.read_bytes()[:-1] if path.suffix == ".onnx" else path.read_bytes()
        )
    else:
        engine = "auto"
    assert session.begin("default", "cpu", engine) is None


def test_the_very_first_picture_takes_no_torch_either(colorizer: Colorizer, tmp_path: Path) -> None:
    """What no run has compared with torch yet answers for itself, and is noted."""
    in_colour(320, 213).convert("L").save(tmp_path / "a.png")
    asked = ("--device", "cpu", "--engine", "onnx")
    code, said = colorize(tmp_path / "first", tmp_path / "a.png", "-o", tmp_path / "b.png", *asked)
    assert code == 0 and said.splitlines()[-1] == "loaded:"
    (frame,) = read(tmp_path / "a.png").frames
    (expected,) = colorizer.paint([frame])
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b.png")), np.asarray(expected))
    (note,) = json.loads((tmp_path / "first" / "engines.json").read_text())["early"].values()
    assert note[-1] is False  # for a film another engine may be faster


@pytest.mark.parametrize("change", ["none", "weights", "answer", "two files", "no note"])
def test_a_first_picture_is_not_painted_by_what_answers_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    assets = tmp_path / "assets"
    shutil.copytree(session.NAMED["default"].parent, assets)
    monkeypatch.setenv("FASTCOLOR_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(session.NAMED, "default", assets / "default.safetensors")
    (file,) = assets.glob("*-int8.onnx")
    if change == "weights":
        (assets / "default.safetensors").write_bytes(b"others")
    elif change == "answer":
        model = onnx.load(file)
        properties = {each.key: each.value for each in model.metadata_props}
        colours = np.array(json.loads(properties["answer"]))
        onnx.helper.set_model_props(model, {**properties, "answer": json.dumps((-colours).tolist())})
        onnx.save(model, file)
    elif change == "two files":
        shutil.copy(file, assets / "other-int8.onnx")
    elif change == "no note":  # an earlier run found that it does not do
        session.remember("cpu", "onnx", None, 1, True, chosen=False)
    noted = session.begin("default", "cpu", "onnx", few=True)
    if change in ("two files", "no note"):
        assert noted is None
    else:
        assert noted is not None and noted.good() == (change == "none")
    assert session.begin("default", "cpu", "onnx") is None  # for a film, too, it would have to be the fastest


def test_what_was_measured_slower_is_for_one_picture_alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTCOLOR_HOME", str(home))
    file = next(session.NAMED["default"].parent.glob("*-int8.onnx"))
    session.remember("auto", "auto", file, 1, True, chosen=False)
    assert session.begin("default", "auto", "auto") is None
    noted = session.begin("default", "auto", "auto", few=True)
    assert noted is not None and noted.content == file.read_bytes()
    session.remember("auto", "auto", None, 1, True, chosen=False)
    assert session.begin("default", "auto", "auto", few=True) is None
