"""What stands beside a picture: what an encoder refuses is left out by itself and named, the rest is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageCms

from fastcolor.formats import reading, writing

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("name", ["a.tif", "a.jpg", "a.png", "a.webp"])
def test_metadata_that_is_refused_costs_nothing_else(tmp_path: Path, name: str) -> None:
    image = Image.new("RGB", (80, 60), "red")
    image.info |= {"icc_profile": ICC, "exif": b"no EXIF at all", "xmp": b"<x/>", "text": {"": 7}}
    writing.write(tmp_path / name, [image])
    with Image.open(tmp_path / name) as made:
        assert made.size == (80, 60) and made.info["icc_profile"] == ICC


def test_metadata_that_is_refused_is_named(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    file = reading.read(tmp_path / "a.png")
    file.frames[0].info["exif"] = b"no EXIF at all"
    assert writing.unsupported(file, tmp_path / "b.tif") == ["EXIF"]
