"""Runs over folders with odd and damaged files in them: each is told of, none ends a run, and the others are done."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from odd_pictures import exif_block, ramp, with_segment, write
from PIL import Image

import fastcolor
from fastcolor import Colorizer, data
from fastcolor.formats import endings, reading, writing
from fastcolor.options.pictures import ColorizeOptions
from fastcolor.pictures.files import colorize_files
from fastcolor.survey import survey

TURN = (274, 3, 1, struct.pack("<H", 6))


@pytest.fixture(scope="module")
def colorizer(net: str) -> Colorizer:
    return Colorizer(net, device="cpu", engine="torch")


def jpeg(gray: np.ndarray | None = None) -> bytes:
    file = io.BytesIO()
    Image.fromarray(ramp() if gray is None else gray).save(file, "JPEG", quality=95)
    return file.getvalue()


def odd_exif(folder: Path) -> list[str]:
    """JPEGs whose EXIF has types that it should not have, beside plain ones."""
    entries = {"m1": (282, 2, 4, b"300\0"), "m2": (296, 1, 1, b"\2"), "m3": (282, 10, 1, struct.pack("<ii", -1, 0)),
               "m4": (306, 5, 1, struct.pack("<II", 1, 1))}  # fmt: skip
    for name, entry in entries.items():
        write(folder / f"{name}.jpg", with_segment(jpeg(), 0xE1, exif_block(TURN, entry)))
    for name in "az":
        write(folder / f"{name}.jpg", jpeg())
    return sorted(path.name for path in folder.iterdir())


def test_odd_exif_ends_no_run(colorizer: Colorizer, tmp_path: Path) -> None:
    names = odd_exif(tmp_path / "in")
    outcome = colorize_files(ColorizeOptions((tmp_path / "in",), f"{tmp_path}/out/"), colorizer)
    assert sorted(os.listdir(tmp_path / "out")) == names and not outcome.failed
    for name in names:
        with Image.open(tmp_path / "out" / name) as image:
            assert image.size == ((120, 160) if name.startswith("m") else (160, 120))


def test_odd_exif_in_training_data(tmp_path: Path) -> None:
    names = odd_exif(tmp_path)
    sizes = {Path(name).name: rgb.shape for name, rgb in data.pictures(tmp_path)}
    assert sorted(sizes) == names and sizes["m1.jpg"] == (160, 120, 3) and sizes["a.jpg"] == (120, 160, 3)
    assert survey(tmp_path, size=32).pictures == len(names)


def test_whatever_a_file_raises_is_told_with_its_name(
    colorizer: Colorizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        write(tmp_path / "in" / f"{name}.jpg", jpeg())
    ordinary = reading._finished

    def broken(raster: object, *rest: object, **named: object) -> object:
        calls.append(raster)
        if len(calls) == 2:
            raise RecursionError
        return ordinary(raster, *rest, **named)  # type: ignore[arg-type]

    calls: list[object] = []
    monkeypatch.setattr(reading, "_finished", broken)
    outcome = colorize_files(ColorizeOptions((tmp_path / "in",), f"{tmp_path}/out/"), colorizer)
    assert sorted(os.listdir(tmp_path / "out")) == ["a.jpg", "c.jpg"]
    assert len(outcome.failed) == 1 and "b.jpg: is damaged (RecursionError)" in outcome.failed[0]


def test_metadata_that_no_encoder_takes_costs_no_picture(tmp_path: Path) -> None:
    image = Image.fromarray(ramp()).convert("RGB")
    image.info.update(exif=b"Exif\0\0II*\0\xff\xff\xff\xff", dpi=(float("nan"), 3), xmp=b"\xff" * 9)
    for suffix in sorted(endings.SUFFIXES - {".heic", ".heif"}):
        writing.write(tmp_path / f"a{suffix}", [image])
        assert reading.read(tmp_path / f"a{suffix}").frames[0].pixels.shape[:2] == (120, 160)


def test_every_common_ending_is_taken(colorizer: Colorizer, tmp_path: Path) -> None:
    image = Image.fromarray(ramp())
    for name, kind in (("a.jfif", "JPEG"), ("b.jpe", "JPEG"), ("c.mpo", "MPO"), ("d.pnm", "PPM"), ("e.tga", "TGA")):
        (tmp_path / "in").mkdir(exist_ok=True)
        more = {"save_all": True, "append_images": [image.rotate(2)]} if kind == "MPO" else {}
        image.save(tmp_path / "in" / name, kind, **more)
    outcome = colorize_files(ColorizeOptions((tmp_path / "in",), f"{tmp_path}/out/"), colorizer)
    assert len(outcome.done) == 5 and not outcome.failed and not outcome.no_pictures
    assert len(data.find(tmp_path / "in")) == 5
    for path in outcome.done:
        assert reading.read(path).frames[0].pixels.shape == (120, 160, 3)
    single = ColorizeOptions((tmp_path / "in" / "a.jfif",), f"{tmp_path}/one/")
    assert colorize_files(single, colorizer).done == [tmp_path / "one" / "a.jfif"]


def test_a_name_as_long_as_the_system_takes(colorizer: Colorizer, tmp_path: Path) -> None:
    name = "写" * 81 + ".jpg"
    write(tmp_path / "in" / name, jpeg())
    colorize_files(ColorizeOptions((tmp_path / "in",), f"{tmp_path}/out/"), colorizer)
    assert os.listdir(tmp_path / "out") == [name]


def book(path: Path, pages: int, side: int = 400) -> Path:
    rows = [Image.fromarray(np.roll(ramp(side, side), 7 * i, axis=0)) for i in range(pages)]
    rows[0].save(path, save_all=True, append_images=rows[1:], compression="tiff_deflate")
    return path


def test_a_book_is_painted_page_by_page(colorizer: Colorizer, tmp_path: Path) -> None:
    path = book(tmp_path / "a.tif", 5, 96)
    outcome = colorize_files(ColorizeOptions((path,), f"{tmp_path}/b.tif"), colorizer)
    assert outcome.done
    before, after = reading.read(path).frames, reading.read(tmp_path / "b.tif").frames
    assert len(before) == len(after) == 5
    for i in (0, 4, 2):  # in any order
        one = Colorizer.paint(colorizer, [before[i]])[0]
        assert np.array_equal(np.asarray(one), after[i].pixels)
    side_by_side = ColorizeOptions((path,), f"{tmp_path}/c.tif", compare=True)
    colorize_files(side_by_side, colorizer)
    assert [page.pixels.shape for page in reading.read(tmp_path / "c.tif").frames] == [(96, 192, 3)] * 5


def test_a_damaged_page_is_told_and_leaves_nothing(colorizer: Colorizer, tmp_path: Path) -> None:
    content = bytearray(book(tmp_path / "a.tif", 3, 96).read_bytes())
    with Image.open(tmp_path / "a.tif") as image:
        image.seek(2)
        at = image.tag_v2[273][0]
    content[at : at + 8] = b"\xff" * 8
    write(tmp_path / "in" / "a.tif", bytes(content))
    write(tmp_path / "in" / "b.jpg", jpeg())
    outcome = colorize_files(ColorizeOptions((tmp_path / "in",), f"{tmp_path}/out/"), colorizer)
    assert os.listdir(tmp_path / "out") == ["b.jpg"]
    assert (
        len(outcome.failed) == 1 and "a.tif: is damaged" in outcome.failed[0] and "--allow-trunc" in outcome.failed[0]
    )


def test_what_later_pages_lack_is_told(colorizer: Colorizer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of three pages the second has lost its last row of 300, and the third has a colour profile that is none."""
    with tifffile.TiffWriter(tmp_path / "a.tif") as book:
        for number in range(3):
            profile = b"no profile" if number == 2 else None
            book.write(np.roll(ramp(96, 300), 7 * number, axis=0), rowsperstrip=1, metadata=None, iccprofile=profile)
    content = (tmp_path / "a.tif").read_bytes()
    with Image.open(tmp_path / "a.tif") as image:
        image.seek(1)
        *_, before, last = image.tag_v2[273]
    there, nowhere = struct.pack("<2I", before, last), struct.pack("<2I", before, len(content))
    assert content.count(there) == 1
    write(tmp_path / "in" / "a.tif", content.replace(there, nowhere))
    for single in (True, False):
        source, target = (tmp_path / "in" / "a.tif", "b.tif") if single else (tmp_path / "in", "out/")
        caplog.clear()
        colorize_files(ColorizeOptions((source,), f"{tmp_path}/{target}", allow_truncated=True), colorizer)
        assert "a.tif, page 2: truncated, 99 % of it was read" in caplog.text
        assert "a.tif, page 3: its colour profile is damaged" in caplog.text and len(caplog.records) == 2


_MEMORY = r"""
import re, sys
from pathlib import Path
from fastcolor.formats import reading, writing
from fastcolor.formats.picture import compose
import numpy as np
file = reading.read(sys.argv[1])
pages = (compose(page.pixels[..., None].repeat(3, axis=2), page) for page in file.frames)
writing.write(sys.argv[2], pages, pages=True)
print(len(file.frames), re.search(r'VmHWM:\s+(\d+)', Path('/proc/self/status').read_text())[1])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
def test_memory_does_not_grow_with_the_pages(tmp_path: Path) -> None:
    """A page of 2 million pixels is 2 MB gray and 6 MB painted; thirty more of them must not show."""
    peaks = {}
    for count in (4, 34):
        path = book(tmp_path / f"{count}.tif", count, 1440)
        command = [sys.executable, "-c", _MEMORY, str(path), str(tmp_path / f"out{count}.tif")]
        environment = {**os.environ, "PYTHONPATH": str(Path(fastcolor.__file__).parents[1])}
        said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()
        assert int(said[0]) == count
        peaks[count] = int(said[1]) / 1024
    assert peaks[34] - peaks[4] < 20, peaks


def test_reading_leaves_pillows_limits_alone(tmp_path: Path) -> None:
    from PIL import ImageFile

    before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    path = book(tmp_path / "a.tif", 3, 96)
    frames = iter(reading.read(path, allow_truncated=True).frames)
    next(frames), next(frames)
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES) == before
