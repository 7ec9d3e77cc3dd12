"""What stands beside the pixels: kept in each format, carried to another where that can hold it, named where not."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, TiffImagePlugin
from PIL.PngImagePlugin import PngInfo

from fastcolor import Colorizer
from fastcolor.formats import reading, writing
from fastcolor.formats.spaces import srgb_profile


@pytest.fixture(scope="module")
def colorizer() -> Colorizer:
    return Colorizer(device="cpu")


def gray() -> Image.Image:
    y, x = np.mgrid[:64, :96]
    return Image.fromarray((60 + 120 * y / 64 + 20 * np.sin(x / 5)).astype(np.uint8))


def through(colorizer: Colorizer, source: Path, target: Path) -> tuple[Image.Image, list[str]]:
    """Colour a file; the result opened again, and what was said to be lost."""
    file = reading.read(source)
    lost = writing.unsupported(file, target)
    writing.write(target, colorizer.paint(file.frames), file.durations, file.loop, pages=file.format == "TIFF")
    image = Image.open(target)
    image.load()
    return image, lost


def tagged(path: Path) -> Path:
    words = TiffImagePlugin.ImageFileDirectory_v2()
    words[269], words[270], words[315], words[33432] = "Album 3", "grandmother", "A. Rossi", "the family"
    words[700] = b"<x:xmpmeta/>"
    gray().save(path, tiffinfo=words, dpi=(300, 300))
    return path


def test_png_keeps_its_text(colorizer: Colorizer, tmp_path: Path) -> None:
    chunks = PngInfo()
    chunks.add_text("Title", "Harbour")
    chunks.add_itxt("Author", "Ångström Ωmega")
    chunks.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta/>")
    gray().save(tmp_path / "a.png", pnginfo=chunks, dpi=(300, 300))
    image, lost = through(colorizer, tmp_path / "a.png", tmp_path / "b.png")
    assert image.text == {"Title": "Harbour", "Author": "Ångström Ωmega", "XML:com.adobe.xmp": "<x:xmpmeta/>"}
    assert round(image.info["dpi"][0]) == 300 and image.info["xmp"] == b"<x:xmpmeta/>" and not lost


def test_tiff_keeps_its_words_and_not_its_layout(colorizer: Colorizer, tmp_path: Path) -> None:
    image, lost = through(colorizer, tagged(tmp_path / "a.tif"), tmp_path / "b.tif")
    kept = {tag: image.tag_v2[tag] for tag in (269, 270, 315, 33432, 700, 282)}
    assert kept == {
        269: "Album 3", 270: "grandmother", 315: "A. Rossi", 33432: "the family", 700: b"<x:xmpmeta/>", 282: 300.0
    }  # fmt: skip
    assert image.tag_v2[258] == (8, 8, 8) and image.mode == "RGB" and not lost


def test_jpeg_keeps_comment_and_iptc(colorizer: Colorizer, tmp_path: Path) -> None:
    resource = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x0c\x1c\x02\x78\0\x07caption"
    segment = b"\xff\xed" + struct.pack(">H", len(resource) + 2) + resource
    gray().save(tmp_path / "a.jpg", comment=b"from the attic", extra=segment, dpi=(600, 600))
    image, lost = through(colorizer, tmp_path / "a.jpg", tmp_path / "b.jpg")
    assert image.info["comment"] == b"from the attic" and ("APP13", resource) in image.applist and not lost
    assert image.info["dpi"] == (600, 600)


def test_words_cross_between_formats(colorizer: Colorizer, tmp_path: Path) -> None:
    image, lost = through(colorizer, tagged(tmp_path / "a.tif"), tmp_path / "b.jpg")
    exif = image.getexif()
    assert exif[270] == "grandmother" and exif[315] == "A. Rossi" and image.info["xmp"] == b"<x:xmpmeta/>" and not lost
    assert not set(exif) & {256, 258, 259, 273, 279}  # where a TIFF's strips lie is no word on the picture
    chunks = PngInfo()
    chunks.add_text("Author", "A. Rossi")
    chunks.add_text("Mood", "calm")
    gray().save(tmp_path / "c.png", pnginfo=chunks)
    image, lost = through(colorizer, tmp_path / "c.png", tmp_path / "d.jpg")
    assert image.getexif()[315] == "A. Rossi" and lost == ["text"]
    gray().save(tmp_path / "e.jpg", comment=b"from the attic")
    image, lost = through(colorizer, tmp_path / "e.jpg", tmp_path / "f.png")
    assert image.text["Comment"] == "from the attic" and not lost
    image, lost = through(colorizer, tmp_path / "e.jpg", tmp_path / "g.webp")
    assert image.getexif()[270] == "from the attic" and not lost
    assert through(colorizer, tagged(tmp_path / "a.tif"), tmp_path / "h.gif")[1] == ["EXIF", "XMP"]


def test_a_cameras_exif_reaches_every_format(colorizer: Colorizer, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[270] = "harbour"
    exif.get_ifd(0x8769)[0x9003], exif.get_ifd(0x8825)[1] = "2001:01:01 00:00:00", "N"  # when, and north
    gray().save(tmp_path / "a.jpg", exif=exif)
    source = tmp_path / "a.jpg"
    for suffix in ("jpg", "tif", "png", "webp", "avif"):
        image, lost = through(colorizer, source, tmp_path / f"b.{suffix}")
        again = image.getexif()
        assert again[270] == "harbour" and again.get_ifd(0x8769)[0x9003] == "2001:01:01 00:00:00", suffix
        assert again.get_ifd(0x8825)[1] == "N" and not lost, suffix
    image, lost = through(colorizer, tmp_path / "b.tif", tmp_path / "c.tif")
    assert image.getexif().get_ifd(0x8769)[0x9003] == "2001:01:01 00:00:00" and not lost
    page = colorizer.paint(reading.read(source).frames)[0]
    writing.write(tmp_path / "album.tif", [page, page], [0, 0], pages=True)
    with Image.open(tmp_path / "album.tif") as album:
        for i in range(2):
            album.seek(i)
            assert album.tag_v2[270] == "harbour" and (34665 in album.tag_v2) == (i == 0)
            assert np.array_equal(np.asarray(album), np.asarray(page))


def test_what_is_too_long_for_jpeg_is_named(colorizer: Colorizer, tmp_path: Path) -> None:
    words = TiffImagePlugin.ImageFileDirectory_v2()
    words[270] = "x" * 70_000
    gray().save(tmp_path / "a.tif", tiffinfo=words)
    image, lost = through(colorizer, tmp_path / "a.tif", tmp_path / "b.jpg")
    assert lost == ["EXIF"] and not image.getexif()


def test_damaged_exif_is_no_reason_to_refuse_a_picture(colorizer: Colorizer, tmp_path: Path) -> None:
    gray().save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(range(40)))
    assert through(colorizer, tmp_path / "a.jpg", tmp_path / "b.jpg")[0].size == (96, 64)


def test_orientation_leaves_xmp_too(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    gray().save(tmp_path / "a.jpg", exif=exif, xmp=b'<x tiff:Orientation="6" dc:title="t"/>')
    picture = reading.read(tmp_path / "a.jpg").frames[0]
    assert picture.pixels.shape == (96, 64)
    assert b"Orientation" not in picture.info["xmp"] and b"dc:title" in picture.info["xmp"]


def test_pages_keep_their_own_words(colorizer: Colorizer, tmp_path: Path) -> None:
    with TiffImagePlugin.AppendingTiffWriter(str(tmp_path / "a.tif"), True) as file:
        for i in range(3):
            gray().crop((0, 0, 96, 64 - 8 * i)).save(file, format="TIFF", description=f"page {i}")
            file.newFrame()
    image, lost = through(colorizer, tmp_path / "a.tif", tmp_path / "b.tif")
    assert image.n_frames == 3 and not lost
    for i in range(3):
        image.seek(i)
        assert image.tag_v2[270] == f"page {i}" and image.size == (96, 64 - 8 * i) and image.mode == "RGB"
        assert np.ptp(np.asarray(image).astype(int), axis=2).max() > 5


def profile_of_gamma(gamma: float) -> bytes:
    """A gray ICC profile (ICC.1:2022) of one curve."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    text = b"text" + bytes(4) + b"test\0\0\0\0"
    name = b"desc" + bytes(4) + struct.pack(">I", 5) + b"gray\0" + bytes(78 + 1)
    tags, at, body, table = (
        ((b"desc", name), (b"cprt", text), (b"wtpt", white), (b"kTRC", curve)),
        128 + 4 + 48,
        b"",
        b"",
    )
    for key, data in tags:
        data += bytes(-len(data) % 4)
        table += key + struct.pack(">II", at + len(body), len(data))
        body += data
    head = struct.pack(">I4sI4s4s4s", at + len(body), b"lcms", 0x02400000, b"mntr", b"GRAY", b"XYZ ")
    head += struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + struct.pack(">I", 4) + table + body


@pytest.mark.parametrize("bits", [8, 16])
def test_a_gray_profile_is_followed(bits: int, tmp_path: Path) -> None:
    most = 2**bits - 1
    ramp = np.linspace(0, most, 256).round().astype(f"uint{bits}")[None].repeat(4, axis=0)
    Image.fromarray(ramp).save(tmp_path / "a.tif", icc_profile=profile_of_gamma(1.0))
    pixels = reading.read(tmp_path / "a.tif").frames[0].pixels
    light = np.arange(256) / 255
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert pixels.dtype == f"uint{bits}" and np.abs(pixels[0] / most - srgb).max() < 1.2 / 255
    if bits == 8:
        clear = Image.merge("LA", [Image.fromarray(ramp), Image.new("L", (256, 4), 99)])
        clear.save(tmp_path / "a.png", icc_profile=profile_of_gamma(1.0))
        picture = reading.read(tmp_path / "a.png").frames[0]
        assert np.array_equal(picture.pixels, pixels) and picture.alpha is not None and (picture.alpha == 99).all()


def test_a_profile_is_written_when_there_was_one_and_always_the_same(colorizer: Colorizer, tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for suffix in ("jpg", "png", "tif", "webp"):
        options: dict[str, Any] = {"lossless": True} if suffix == "webp" else {}
        gray().convert("RGB").save(tmp_path / f"plain.{suffix}", **options)
        assert "icc_profile" not in through(colorizer, tmp_path / f"plain.{suffix}", tmp_path / f"a.{suffix}")[0].info
        gray().convert("RGB").save(tmp_path / f"managed.{suffix}", icc_profile=profile, **options)
        image, _ = through(colorizer, tmp_path / f"managed.{suffix}", tmp_path / f"b.{suffix}")
        assert image.info["icc_profile"] == srgb_profile()
    made = ImageCms.ImageCmsProfile(io.BytesIO(srgb_profile()))
    assert "sRGB" in ImageCms.getProfileDescription(made) and made.profile.creation_date.year == 2000
