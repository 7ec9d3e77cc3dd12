"""Runs over many pictures: which file becomes which, what is left alone, and what is said."""

from __future__ import annotations

import io
import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageOps
from skimage import data

from fastcolor import Colorizer
from fastcolor.bar import bar
from fastcolor.formats import picture, reading, writing
from fastcolor.formats.spaces import srgb_profile
from fastcolor.options.pictures import ColorizeOptions
from fastcolor.pictures.colored import in_color, lacks_color
from fastcolor.pictures.files import colorize_files
from fastcolor.pictures.outcome import Outcome


def gray(width: int = 64, height: int = 48, shift: int = 0) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    return Image.fromarray((60 + 120 * y / height + 20 * np.sin((x + shift) / 5)).astype(np.uint8))


def in_colors() -> Image.Image:
    """Red and blue areas of all lightnesses."""
    ramp = np.tile(np.linspace(20, 250, 64), (48, 1))
    halves = np.where(np.arange(48)[:, None] < 24, 1.0, 0.5)
    return Image.fromarray(np.stack([ramp * halves, ramp * 0.6, ramp * (1.5 - halves)], axis=2).astype(np.uint8))


def save(path: Path, image: Image.Image | None = None, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or gray()).save(path, **options)
    return path


def colored(*inputs: Path, to: Path | str, **options: Any) -> Outcome:
    return colorize_files(ColorizeOptions(inputs, str(to), device="cpu", **options))


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_two_pictures_for_one_output_are_refused_before_any_work(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.tif", "b.png"):
        save(tmp_path / "in" / name)
    with pytest.raises(ValueError, match=r"a\.png: is the output for both .*a\.jpg and .*a\.tif"):
        colored(tmp_path / "in", to=tmp_path / "out", format="png")
    first, second = save(tmp_path / "p" / "y.png"), save(tmp_path / "q" / "y.png")
    for inputs in ((first, second), (first.parent, second.parent), (first.parent, second)):
        with pytest.raises(ValueError, match=r"y\.png: is the output for both"):
            colored(*inputs, to=tmp_path / "out", overwrite=True)
    assert not (tmp_path / "out").exists()
    assert len(colored(first, first.parent, to=tmp_path / "out").done) == 1  # twice the same picture is one


def test_no_output_is_an_input(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png")
    save(tmp_path / "in" / "in" / "a.png")
    before = {path: (tmp_path / path).read_bytes() for path in tree(tmp_path)}
    for inputs, to in [
        ([tmp_path / "in" / "a.png", tmp_path / "in" / "in" / "a.png"], tmp_path / "in" / "in"),
        ([tmp_path / "in" / "in", tmp_path / "in" / "a.png"], tmp_path / "in"),
    ]:
        with pytest.raises(ValueError, match=r"is an input as well as the output for|is the output for both"):
            colored(*inputs, to=to, overwrite=True)
    with pytest.raises(ValueError, match="must be another folder than the input"):
        colored(tmp_path / "in", to=tmp_path / "in")
    assert {path: (tmp_path / path).read_bytes() for path in tree(tmp_path)} == before


def test_an_output_folder_inside_the_input_is_not_walked(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    assert len(colored(tmp_path, to=tmp_path / "out").done) == 1
    again = colored(tmp_path, to=tmp_path / "out", overwrite=True)
    assert len(again.done) == 1 and tree(tmp_path) == ["a.png", "out/.fastcolor-output", "out/a.png"]
    assert len(colored(*sorted(tmp_path.iterdir()), to=tmp_path / "out", overwrite=True).done) == 1
    assert tree(tmp_path) == ["a.png", "out/.fastcolor-output", "out/a.png"]


def test_every_page_of_an_album_is_coloured(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pages = [gray(shift=9 * i) for i in range(4)]
    album = save(tmp_path / "album.tif", pages[0], save_all=True, append_images=pages[1:])
    colored(album, to=tmp_path / "out.tif")
    with Image.open(tmp_path / "out.tif") as image:
        assert image.n_frames == 4
        for i in range(4):
            image.seek(i)
            rgb = np.asarray(image).astype(int)
            assert image.mode == "RGB" and np.ptp(rgb, axis=2).max() > 5
            luma = np.asarray(image.convert("L"))  # a mean of the channels would follow the colours too
            assert np.corrcoef(luma.ravel(), np.asarray(pages[i]).ravel())[0, 1] > 0.99
    assert not caplog.records
    for suffix in ("jpg", "png", "gif"):
        caplog.clear()
        colored(album, to=tmp_path / f"out.{suffix}")
        assert getattr(Image.open(tmp_path / f"out.{suffix}"), "n_frames", 1) == 1
        assert [r.getMessage() for r in caplog.records] == [
            f"{album}: .{suffix} cannot hold 3 of 4 pages; left out"
        ]  # fmt: skip


def test_what_a_format_cannot_hold_is_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    frames = [gray(shift=9 * i) for i in range(3)]
    save(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:], duration=40)
    clear = gray().convert("RGBA")
    clear.putalpha(Image.fromarray(np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))))
    save(tmp_path / "t.png", clear)
    opaque = gray().convert("RGBA")
    save(tmp_path / "o.png", opaque)
    for source, target, said in [
        ("a.gif", "a.jpg", ".jpg cannot hold 2 of 3 frames"),
        ("a.gif", "a.tif", ".tif cannot hold the frames' durations"),
        ("a.gif", "a.webp", ""),
        ("t.png", "t.jpg", ".jpg cannot hold transparency (white shows through)"),
        ("t.png", "t.gif", ".gif cannot hold half transparency"),
        ("t.png", "t.tif", ""),
        ("o.png", "o.jpg", ""),
    ]:
        caplog.clear()
        colored(tmp_path / source, to=tmp_path / target)
        said_now = [r.getMessage() for r in caplog.records]
        assert said_now == ([f"{tmp_path / source}: {said}; left out"] if said else []), (source, target)
    assert Image.open(tmp_path / "a.tif").n_frames == Image.open(tmp_path / "a.webp").n_frames == 3


def test_names_of_outputs(tmp_path: Path) -> None:
    a, b = save(tmp_path / "a.jpg"), save(tmp_path / "b.jpg")
    assert colored(a, to=f"{tmp_path}/new/").done == [tmp_path / "new" / "a.jpg"]
    assert colored(a, to=tmp_path / "c.jpeg", format="jpg").done == [tmp_path / "c.jpeg"]
    assert colored(a, to=tmp_path / "d", format="png").done == [tmp_path / "d.png"]
    assert colored(a, b, to=f"{tmp_path}/two.jpg/").done == [tmp_path / "two.jpg" / n for n in ("a.jpg", "b.jpg")]
    assert len(colored(a, b, to=tmp_path / "v1.5").done) == 2
    for inputs, to, options, words in [
        ([a], "e.jpg", {"format": "png"}, r"format: must agree with the output's name .*e\.jpg, got png"),
        ([a], "f", {}, r"f: must end in a picture's ending such as \.png, or in / to name a folder"),
        ([a, b], "g.jpg", {}, r"output: must be a folder for several pictures, got .*g\.jpg; .*g\.jpg/ says"),
        ([tmp_path / "new"], "h.txt", {}, r"output: must be a folder for several pictures, got .*h\.txt"),
        ([a, b], "a.jpg", {}, "output: must be a folder for several pictures, got the file"),
    ]:
        with pytest.raises(ValueError, match=words):
            colored(*inputs, to=tmp_path / to, **options)
    assert not {"e.jpg", "e.png", "f", "g.jpg", "h.txt"} & set(os.listdir(tmp_path))


def test_hidden_files_are_left_and_others_are_mentioned(tmp_path: Path) -> None:
    root = tmp_path / "in"
    for name in ("a.jpg", ".hidden.jpg", ".thumbnails/b.jpg", "._a.jpg"):
        save(root / name)
    for name in ("notes.txt", "Thumbs.db", "scan", "sub/x.doc"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("")
    outcome = colored(root, to=tmp_path / "out")
    assert tree(tmp_path / "out") == ["a.jpg"]
    assert outcome.notes == ["left out, no picture by their names: 4 (Thumbs.db, notes.txt, scan, ...)"]


def tinted(red: float, green: float, blue: float) -> Image.Image:
    base = np.asarray(gray(), dtype=np.float64)
    file = io.BytesIO()
    rgb = np.stack([base * red, base * green, base * blue], axis=2).clip(0, 255).astype(np.uint8)
    Image.fromarray(rgb).save(file, "JPEG", quality=75)
    return Image.open(file)


def test_what_counts_as_colour() -> None:
    assert in_color(reading.of_image(in_colors()))
    for photograph in (data.astronaut(), data.chelsea(), data.coffee()):
        assert in_color(picture.of_array(photograph))
    for image in (gray(), gray().convert("RGB"), tinted(1, 0.85, 0.65), tinted(0.6, 0.8, 1.0), tinted(1, 1, 1)):
        assert not in_color(reading.of_image(image))
    assert not in_color(reading.of_image(Image.new("RGB", (40, 40), (200, 40, 40))))  # one colour: a tint
    spot = np.array(gray().convert("RGB"))
    spot[10:30, 10:30] = (200, 30, 30)
    assert in_color(reading.of_image(Image.fromarray(spot)))


def test_what_has_colours_to_give() -> None:
    assert lacks_color(picture.of_array(data.coffee())) == ""
    assert lacks_color(reading.of_image(Image.new("RGB", (40, 40), (200, 40, 40)))) == ""  # a wall
    for image in (gray(), gray().convert("RGB"), tinted(1, 1, 1)):
        assert lacks_color(reading.of_image(image)) == "gray"
    ramp = Image.fromarray(np.tile(np.arange(256, dtype=np.uint8), (8, 1)))
    for black, white in (("#704214", "#fff5e0"), ("#0a2f6b", "#dfe9f5"), ("#000000", "#ffe8b0")):  # sepia, cyanotype
        assert lacks_color(reading.of_image(ImageOps.colorize(ramp, black, white))) == "toned"


def test_pictures_in_colour_are_kept_or_counted(tmp_path: Path) -> None:
    root = tmp_path / "in"
    for name in ("a.png", "b.jpg"):
        save(root / name)
    original = save(root / "c.jpg", in_colors())
    save(root / "sepia.jpg", tinted(1, 0.85, 0.65))
    outcome = colored(root, to=tmp_path / "one")
    assert len(outcome.done) == 4 and outcome.recolored == 1
    assert outcome.notes == ["in colour before, now in new colours: 1 (--skip-colored keeps such pictures)"]
    outcome = colored(root, to=tmp_path / "two", skip_colored=True)
    assert [path.name for path in outcome.kept] == ["c.jpg"] and len(outcome.done) == 3 and not outcome.notes
    assert "coloured 3, kept (in colour) 1, skipped" in str(outcome)
    assert (tmp_path / "two" / "c.jpg").read_bytes() == original.read_bytes()
    colored(root, to=tmp_path / "three", skip_colored=True, format="png")
    kept = np.asarray(Image.open(tmp_path / "three" / "c.png"))
    assert np.array_equal(kept, np.asarray(Image.open(original)))


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    dated = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    colorizer = Colorizer(device="cpu")
    for suffix in ("jpg", "png", "tif", "webp"):
        results = []
        for i in range(2):
            srgb_profile.cache_clear()
            source = save(tmp_path / f"a{i}.{suffix}", gray().convert("RGB"), icc_profile=dated)
            file = reading.read(source)
            writing.write(tmp_path / f"{i}.{suffix}", colorizer.paint(file.frames), file.durations)
            results.append((tmp_path / f"{i}.{suffix}").read_bytes())
            if suffix == "jpg" and i == 0:
                time.sleep(1.1)  # a date in the file would be another one now
        assert results[0] == results[1]


def test_deep_pictures_are_counted_once(tmp_path: Path) -> None:
    deep = np.asarray(gray()).astype(np.uint16) * 257
    for i in range(2):
        save(tmp_path / "in" / f"{i}.png", Image.fromarray(deep))
    assert colored(tmp_path / "in", to=tmp_path / "out").notes == ["16 bits a channel read, 8 written: 2"]


def test_a_truncated_picture_is_refused_or_said_to_be_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = save(tmp_path / "w.jpg", gray(400, 300))
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"cut\.jpg: is truncated .*; --allow-truncated reads what is left of it"):
        colored(cut, to=tmp_path / "o.jpg")
    colored(cut, to=tmp_path / "o.jpg", allow_truncated=True)
    assert "cut.jpg: truncated, " in caplog.text and "the rest stays gray" in caplog.text


def test_progress_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    jobs: list[Any] = [object()] * 3
    assert list(bar(jobs, every=0.0)) == jobs
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" pictures, ")[0] for line in lines] == ["1 of 3", "2 of 3"] and lines[0].endswith("s left")
    assert list(bar(jobs)) == jobs and not capsys.readouterr().err


def test_many_at_once_come_out_as_one_by_one(tmp_path: Path) -> None:
    for i in range(11):
        save(tmp_path / "in" / f"{i:02}.png", gray(64 + 32 * (i % 2), 48, shift=3 * i))
    (tmp_path / "in" / "05.png").write_bytes(b"no picture")
    colorizer = Colorizer(device="cpu", engine="torch")
    outcome = colorize_files(ColorizeOptions((tmp_path / "in",), f"{tmp_path}/out/"), colorizer)
    assert [path.name for path in outcome.done] == [f"{i:02}.png" for i in range(11) if i != 5]
    assert len(outcome.failed) == 1 and "05.png" in outcome.failed[0]
    for path in outcome.done:
        alone = np.asarray(colorizer(tmp_path / "in" / path.name)).astype(int)
        assert np.abs(np.asarray(Image.open(path)) - alone).mean() < 1, path.name  # the network's own roundings
    third = ColorizeOptions((tmp_path / "in",), str(tmp_path / "third"), shard="2/3")
    assert len(colorize_files(third, colorizer).done) == 4


def test_what_nobody_expects_stops_the_run_and_its_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(20):
        save(tmp_path / "in" / f"{i:02}.png", gray(shift=i))
    before = set(threading.enumerate())

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("in the midst")

    monkeypatch.setattr(Colorizer, "paint", broken)
    threads = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError, match="in the midst"):
        colored(tmp_path / "in", to=tmp_path / "out")
    monkeypatch.setattr("fastcolor.pictures.passage.in_color", broken)
    with pytest.raises(ZeroDivisionError, match="in the midst"):
        colored(tmp_path / "in", to=tmp_path / "out")
    assert not {t for t in set(threading.enumerate()) - before if t.name.startswith("fastcolor")}
    assert torch.get_num_threads() == threads and not (tmp_path / "out").exists()
