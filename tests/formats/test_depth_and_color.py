"""What a file says of depth, transparency and colour space is what its picture is read as."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from odd_pictures import deep, exif_block, page, png, ramp, tiff, with_segment, write
from PIL import Image, ImageCms

from fastcolor.formats import reading, spaces, writing
from fastcolor.formats.endings import PictureError

GRAY = ramp()
DEEP = deep(GRAY)
LIGHT = np.arange(256) / 255
SRGB_OF_LIGHT = np.where(LIGHT <= 0.0031308, 12.92 * LIGHT, 1.055 * LIGHT ** (1 / 2.4) - 0.055)
LEVELS = np.arange(256, dtype=np.uint8)[None].repeat(4, axis=0)


def rgb_profile(gamma: float) -> bytes:
    points = [0.64, 0.33, 1, 0.30, 0.60, 1, 0.15, 0.06, 1]
    return bytes(imagecodecs.cms_profile("rgb", whitepoint=(0.3127, 0.3290, 1.0), primaries=points, gamma=gamma))


# JPEG 2000


@pytest.mark.parametrize("bits", [9, 10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["gray", "gray+alpha", "rgb", "rgba"])
def test_deep_jpeg_2000(bits: int, kind: str, tmp_path: Path) -> None:
    stored, opaque = DEEP >> (16 - bits), np.full_like(DEEP, 2**bits - 1)
    planes = [stored] * (3 if kind.startswith("rgb") else 1) + [opaque] * (kind in ("gray+alpha", "rgba"))
    samples = planes[0] if len(planes) == 1 else np.dstack(planes)
    options = {"level": 0, "reversible": True, "codecformat": "jp2", "bitspersample": bits}
    picture = reading.read(write(tmp_path / "a.jp2", imagecodecs.jpeg2k_encode(samples, **options))).frames[0]
    expected = (stored.astype(np.uint32) * 65535 // (2**bits - 1)).astype(np.uint16)
    assert picture.bits == 16 and np.array_equal(picture.pixels, expected) and picture.pixels.max() == 65535
    assert picture.alpha is None if len(planes) in (1, 3) else (picture.alpha == 255).all()


def test_lab_in_jpeg_2000_is_refused(tmp_path: Path) -> None:
    content = imagecodecs.jpeg2k_encode(np.dstack([LEVELS] * 3), level=0, reversible=True, codecformat="jp2")
    at = content.index(b"colr") + 7
    assert content[at : at + 4] == b"\0\0\0\x10"
    with pytest.raises(PictureError, match=r"a\.jp2: CIE Lab pixels are not supported"):
        reading.read(write(tmp_path / "a.jp2", content[:at] + b"\0\0\0\x0e" + content[at + 4 :]))


def test_a_profile_in_jpeg_2000_is_followed(tmp_path: Path) -> None:
    content = imagecodecs.jpeg2k_encode(np.dstack([LEVELS] * 3), level=0, reversible=True, codecformat="jp2")
    at = content.index(b"colr") - 4
    size = struct.unpack_from(">I", content, at)[0]
    box = b"\2\0\0" + rgb_profile(1.0)
    header = content.index(b"jp2h") - 4
    grown = struct.unpack_from(">I", content, header)[0] - size + len(box) + 8
    content = content[:header] + struct.pack(">I", grown) + content[header + 4 : at] + struct.pack(
        ">I4s", len(box) + 8, b"colr") + box + content[at + size :]  # fmt: skip
    picture = reading.read(write(tmp_path / "a.jp2", content)).frames[0]
    assert np.abs(picture.pixels[0] / 255 - SRGB_OF_LIGHT).max() < 1.2 / 255 and "icc_profile" in picture.info


# PNG


@pytest.mark.parametrize("color", [False, True])
def test_a_key_of_sixteen_bits_is_transparent(color: bool, tmp_path: Path) -> None:
    key = struct.pack(">H", 2000) * (3 if color else 1)
    samples = DEEP.copy()
    samples[10:20] = 2000
    samples[30:40] = 2001  # the same high byte
    stored = np.dstack([samples] * 3) if color else samples
    picture = reading.read(write(tmp_path / "a.png", png(stored, 16, 2 if color else 0, (b"tRNS", key)))).frames[0]
    assert picture.alpha is not None and np.array_equal(picture.alpha, np.where(samples == 2000, 0, 255))
    assert np.array_equal(picture.pixels, samples)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_key_of_few_bits_is_transparent(bits: int, tmp_path: Path) -> None:
    samples, white = GRAY >> (8 - bits), 2**bits - 1
    content = png(samples, bits, 0, (b"tRNS", struct.pack(">H", white)))
    picture = reading.read(write(tmp_path / "a.png", content)).frames[0]
    assert picture.alpha is not None and np.array_equal(picture.alpha, np.where(samples == white, 0, 255))
    assert np.array_equal(picture.pixels, samples * (255 // white))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_profile_of_a_palette_is_followed(suffix: str, tmp_path: Path) -> None:
    image = Image.fromarray(LEVELS).convert("P")
    image.putpalette(np.arange(256, dtype=np.uint8).repeat(3).tobytes())
    image.save(tmp_path / f"a{suffix}", icc_profile=rgb_profile(1.0))
    picture = reading.read(tmp_path / f"a{suffix}").frames[0]
    assert np.abs(picture.pixels[0] / 255 - SRGB_OF_LIGHT).max() < 1.2 / 255
    assert picture.info["icc_profile"] == spaces.srgb_profile()


@pytest.mark.parametrize("kind", ["gray+alpha png", "rgb png", "rgb tif", "gray tif"])
def test_sixteen_bits_with_a_profile_stay_sixteen(kind: str, tmp_path: Path) -> None:
    dark = np.arange(57, dtype=np.uint16)[None].repeat(3, axis=0)  # fewer steps than 8 bits have
    profile = imagecodecs.cms_profile("gray", gamma=1.0) if "gray" in kind else rgb_profile(1.0)
    if kind.endswith("tif"):
        samples = dark if "gray" in kind else np.dstack([dark] * 3)
        content = tiff(page(samples, 1 if "gray" in kind else 2, t34675=bytes(profile)))
    else:
        import zlib

        samples = np.dstack([dark, np.full_like(dark, 65535)] if "gray" in kind else [dark] * 3)
        chunk = (b"iCCP", b"a\0\0" + zlib.compress(bytes(profile)))
        content = png(samples, 16, 4 if "gray" in kind else 2, chunk)
    pixels = reading.read(write(tmp_path / f"a.{kind[-3:]}", content)).frames[0].pixels
    light = np.arange(57) / 65535
    expected = 12.92 * light * 65535
    assert pixels.dtype == np.uint16 and len(np.unique(pixels)) == 57
    assert np.abs(pixels[0].astype(float) - expected).max() < 6


def chunks(*names: str) -> list[tuple[bytes, bytes]]:
    import zlib

    every = {
        "cICP linear": (b"cICP", bytes([1, 8, 0, 1])),
        "iCCP sRGB": (b"iCCP", b"a\0\0" + zlib.compress(spaces.srgb_profile())),
        "sRGB": (b"sRGB", b"\0"),
        "gAMA 1": (b"gAMA", struct.pack(">I", 100_000)),
        "gAMA sRGB": (b"gAMA", struct.pack(">I", 45_455)),
    }
    return [every[name] for name in names]


@pytest.mark.parametrize(
    ("names", "linear"),
    [
        (["gAMA 1"], True), (["sRGB", "gAMA 1"], False), (["iCCP sRGB", "gAMA 1"], False), (["cICP linear"], True),
        (["cICP linear", "iCCP sRGB"], True), (["cICP linear", "sRGB"], True), (["gAMA sRGB"], False), ([], False),
    ],
    ids=lambda value: "+".join(value) or "none" if isinstance(value, list) else "",
)  # fmt: skip
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", [0, 2])
def test_png_follows_its_own_order_of_precedence(
    names: list[str], linear: bool, bits: int, kind: int, tmp_path: Path
) -> None:
    samples = LEVELS if bits == 8 else deep(LEVELS)
    stored = np.dstack([samples] * 3) if kind == 2 else samples
    picture = reading.read(write(tmp_path / "a.png", png(stored, bits, kind, *chunks(*names)))).frames[0]
    most = 2**bits - 1
    expected = SRGB_OF_LIGHT if linear else LIGHT
    assert np.abs(picture.pixels[0] / most - expected).max() < 0.6 / 255
    assert ("icc_profile" in picture.info) == (linear or "iCCP sRGB" in names)  # tagged where it was brought there


def pq(nits: np.ndarray) -> np.ndarray:
    """SMPTE ST 2084: code of light."""
    power = (nits / 10000) ** (1305 / 8192)
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** (2523 / 32)


def test_pq_of_ordinary_light_is_the_same_light(tmp_path: Path) -> None:
    code = np.round(pq(LIGHT * 203) * 65535).astype(np.uint16)[None].repeat(4, axis=0)
    picture = reading.read(write(tmp_path / "a.png", png(code, 16, 0, (b"cICP", bytes([9, 16, 0, 1]))))).frames[0]
    assert np.abs(picture.pixels[0] / 65535 - SRGB_OF_LIGHT).max() < 0.5 / 255
    assert any("high dynamic range" in note for note in picture.notes)


def test_highlights_beyond_white_roll_off_in_their_order(tmp_path: Path) -> None:
    nits = np.linspace(0, 1000, 256)
    for transfer, code in ((16, pq(nits)), (18, np.linspace(0, 1, 256))):
        stored = np.round(code * 65535).astype(np.uint16)[None].repeat(4, axis=0)
        content = png(stored, 16, 0, (b"cICP", bytes([9, transfer, 0, 1])))
        row = reading.read(write(tmp_path / "a.png", content)).frames[0].pixels[0].astype(int)
        assert (np.diff(row) >= 0).all() and len(np.unique(row)) > 250 and row[-1] == 65535


def test_wide_primaries_are_brought_to_srgb(tmp_path: Path) -> None:
    color = np.full((8, 8, 3), (120, 90, 60), np.uint8)
    content = png(color, 8, 2, (b"cICP", bytes([12, 13, 0, 1])))  # Display P3
    pixels = reading.read(write(tmp_path / "a.png", content)).frames[0].pixels[0, 0].astype(float)
    linear = np.where(
        color[0, 0] / 255 <= 0.04045, color[0, 0] / 255 / 12.92, ((color[0, 0] / 255 + 0.055) / 1.055) ** 2.4
    )
    matrix = np.array([[1.2249, -0.2247, 0], [-0.0420, 1.0419, 0], [-0.0197, -0.0786, 1.0979]])  # P3 to sRGB
    light = matrix @ linear
    assert np.abs(pixels / 255 - (1.055 * light ** (1 / 2.4) - 0.055)).max() < 1 / 255


# AVIF


@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("transfer", [13, 8])
def test_avif_by_its_nclx_and_depth(bits: int, transfer: int, tmp_path: Path) -> None:
    levels = deep(LEVELS.repeat(8, axis=0)) >> (16 - bits)
    samples = np.dstack([levels] * 3).astype(np.uint8 if bits == 8 else np.uint16)
    content = imagecodecs.avif_encode(
        samples, level=100, speed=9, bitspersample=bits, primaries=1, transfer=transfer, matrix=0
    )
    picture = reading.read(write(tmp_path / "a.avif", content)).frames[0]
    most = 65535 if bits > 8 else 255
    assert picture.pixels.dtype == (np.uint16 if bits > 8 else np.uint8)
    assert np.abs(picture.pixels[0] / most - (LIGHT if transfer == 13 else SRGB_OF_LIGHT)).max() < 1.2 / 255


@pytest.mark.parametrize("bits", [10, 12])
def test_heic_by_its_depth(bits: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pillow_heif

    monkeypatch.setattr(pillow_heif.options, "SAVE_HDR_TO_12_BIT", bits == 12)
    levels = np.linspace(0, 65535, 2**bits).astype(np.uint16)[None].repeat(64, axis=0)
    samples = np.dstack([levels] * 3)
    file = pillow_heif.from_bytes("RGB;16", (samples.shape[1], samples.shape[0]), samples.tobytes())
    file.save(tmp_path / "a.heic", quality=-1, chroma=444, matrix_coefficients=0)
    picture = reading.read(tmp_path / "a.heic").frames[0]
    assert picture.bits == 16 and len(np.unique(picture.pixels)) == 2**bits
    assert picture.pixels.ndim == 2 and (picture.pixels.min(), picture.pixels.max()) == (0, 65535)
    assert np.abs(picture.pixels - levels.astype(float)).max() <= 65535 / (2**bits - 1)


def test_what_depth_an_animation_is_read_at_is_said(tmp_path: Path) -> None:
    frames = np.stack([np.dstack([deep(LEVELS.repeat(16, axis=0)) >> 6] * 3)] * 2)
    content = imagecodecs.avif_encode(frames, level=100, speed=10, bitspersample=10, matrix=0)
    file = reading.read(write(tmp_path / "a.avif", content))
    assert len(file.frames) == 2 and file.frames[0].notes == ("its 10 bits are read as 8, as it is animated",)
    assert file.frames[0].bits == 8


def test_the_codec_tells_the_depth_that_a_file_does_not(tmp_path: Path) -> None:
    content = imagecodecs.avif_encode(np.dstack([DEEP >> 6] * 3), level=100, speed=10, bitspersample=10, matrix=0)
    picture = reading.read(write(tmp_path / "a.avif", content.replace(b"pixi", b"skip"))).frames[0]
    assert picture.bits == 16 and np.abs(picture.pixels - DEEP.astype(float)).max() <= 65535 / 1023


# JPEG


def jpeg(gray: np.ndarray = GRAY, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(gray).save(file, "JPEG", quality=95, **options)
    return file.getvalue()


def test_jpegs_of_twelve_bits_are_read(tmp_path: Path) -> None:
    for samples in (DEEP >> 4, np.dstack([DEEP >> 4] * 3)):
        content = imagecodecs.jpeg_encode(samples, level=98, bitspersample=12)
        turned = with_segment(content, 0xE1, exif_block((274, 3, 1, struct.pack("<H", 6))))
        picture = reading.read(write(tmp_path / "a.jpg", turned)).frames[0]
        expected = np.rot90(DEEP, -1).astype(float)
        assert picture.pixels.shape == (160, 120) and picture.bits == 16
        assert np.abs(picture.pixels - expected).mean() < 1 * 257


def test_a_gain_map_is_said_and_its_claim_goes(tmp_path: Path) -> None:
    xmp = (
        b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="r"><rdf:Description '
        b'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0" photoshop:City="Riga">'
        b'<Container:Directory><rdf:Seq><rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="GainMap"/>'
        b"</rdf:li></rdf:Seq></Container:Directory></rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    file = reading.read(write(tmp_path / "a.jpg", with_segment(jpeg(), 0xE1, xmp)))
    assert "the gain map (HDR)" in writing.unsupported(file, Path("b.jpg"))
    kept = file.frames[0].info["xmp"]
    assert b"hdrgm" not in kept and b"GainMap" not in kept and b'photoshop:City="Riga"' in kept


@pytest.mark.parametrize(
    "entry",
    [
        (282, 2, 4, b"300\0"), (296, 1, 1, b"\2"), (282, 10, 1, struct.pack("<ii", -1, 0)),
        (306, 5, 1, struct.pack("<II", 1, 1)), (271, 4, 2, struct.pack("<II", 7, 8)), (34665, 2, 4, b"abc\0"),
    ],
    ids=["text resolution", "byte unit", "-1/0", "rational date", "numbers for a maker", "text for a directory"],
)  # fmt: skip
def test_odd_exif_costs_no_picture(entry: tuple[int, int, int, bytes], tmp_path: Path) -> None:
    turn = (274, 3, 1, struct.pack("<H", 6))
    name = (315, 2, 6, b"Rossi\0")
    entries = sorted([turn, entry, name])
    picture = reading.read(write(tmp_path / "a.jpg", with_segment(jpeg(), 0xE1, exif_block(*entries)))).frames[0]
    assert picture.pixels.shape == (160, 120)  # upright
    image = Image.new("RGB", (160, 120))
    image.info.update(picture.info)
    for suffix in ("jpg", "png", "tif", "webp", "avif"):
        writing.write(tmp_path / f"out.{suffix}", [image])
        with Image.open(tmp_path / f"out.{suffix}") as again:
            exif = again.getexif()
            assert exif.get(315) == "Rossi" and exif.get(274, 1) == 1


# BMP, and what cameras say


REC709_XYZ = (0.4124, 0.2126, 0.0193, 0.3576, 0.7152, 0.1192, 0.1805, 0.0722, 0.9505)


def bmp(kind: int, *, gamma: float = 0, profile: bytes = b"", ends: Sequence[float] = REC709_XYZ) -> bytes:
    """Version 5, from below upwards. ends: of red, green and blue."""
    pixels = np.repeat(LEVELS[::-1, :, None], 3, axis=2).tobytes()
    height, width = LEVELS.shape
    head = struct.pack("<IiiHHIIiiII16x", 124, width, height, 1, 24, 0, len(pixels), 2835, 2835, 0, 0)
    head += struct.pack("<I9I3I", kind, *[int(value * (1 << 30)) for value in ends], *[int(gamma * 65536)] * 3)
    head += struct.pack("<4I", 4, 124 + len(pixels) if profile else 0, len(profile), 0)
    return b"BM" + struct.pack("<I4xI", 14 + 124 + len(pixels) + len(profile), 138) + head + pixels + profile


def test_a_bitmap_says_its_colours_too(tmp_path: Path) -> None:
    for content in (bmp(0, gamma=1), bmp(0x4D424544, profile=rgb_profile(1.0))):
        picture = reading.read(write(tmp_path / "a.bmp", content)).frames[0]
        assert np.abs(picture.pixels[0] / 255 - SRGB_OF_LIGHT).max() < 1.2 / 255 and "icc_profile" in picture.info
    chromaticities = bmp(0, gamma=2.2, ends=(0.64, 0.33, 0.03, 0.3, 0.6, 0.1, 0.15, 0.06, 0.79))
    for content in (bmp(0x73524742), bmp(0x57696E20), bmp(0), bmp(0, gamma=2.2), chromaticities):
        picture = reading.read(write(tmp_path / "a.bmp", content)).frames[0]
        assert np.array_equal(picture.pixels, LEVELS) and "icc_profile" not in picture.info
    wide = tuple(spaces._to_xyz(spaces._PRIMARIES[12]).T.ravel())  # of Display P3, with and without its gamma
    for gamma in (0, 2.2):
        picture = reading.read(write(tmp_path / "a.bmp", bmp(0, gamma=gamma, ends=wide))).frames[0]
        assert "icc_profile" in picture.info


def test_adobe_rgb_by_exif_alone_is_followed_and_no_longer_said(tmp_path: Path) -> None:
    flat = Image.new("RGB", (64, 64), (130, 160, 120))
    flat.save(tmp_path / "plain.jpg", quality=100)
    entries = struct.pack("<HHHII", 1, 34665, 4, 1, 26) + bytes(4)
    entries += struct.pack("<HHHIIHHII", 2, 40961, 3, 1, 65535, 40965, 4, 1, 56) + bytes(4)
    entries += struct.pack("<HHHI", 1, 1, 2, 4) + b"R03\0" + bytes(4)
    exif = b"Exif\0\0II*\0" + struct.pack("<I", 8) + entries
    content = with_segment((tmp_path / "plain.jpg").read_bytes(), 0xE1, exif)
    picture = reading.read(write(tmp_path / "a.jpg", content)).frames[0]
    # Apart: codes to the power of 563/256, to sRGB's primaries by both spaces' XYZ, sRGB's curve.
    assert np.abs(picture.pixels[32, 32].astype(int) - [116, 161, 119]).max() <= 3  # JPEG rounds
    told = Image.Exif()
    told.load(picture.info["exif"])
    assert told.get_ifd(34665)[40961] == 1 and told.get_ifd(40965)[1] == "R98"
    flat.save(tmp_path / "a.webp", lossless=True, exif=exif)
    flat.save(tmp_path / "a.png", exif=exif)
    at = len(tiff(page(np.asarray(flat), 2, t34665=0)))
    shot = struct.pack("<HHHIIHHII", 2, 40961, 3, 1, 65535, 40965, 4, 1, at + 30) + bytes(4)
    write(tmp_path / "a.tif", tiff(page(np.asarray(flat), 2, t34665=at)) + shot + entries[-18:])
    found = [reading.read(tmp_path / name).frames[0] for name in ("a.webp", "a.png", "a.tif")]
    with Image.open(tmp_path / "a.png") as opened:
        found.append(reading.of_image(opened))
    for picture in found:
        assert np.abs(picture.pixels[32, 32].astype(int) - [116, 161, 119]).max() <= 1
    deep_jpeg = imagecodecs.jpeg_encode(
        np.full((64, 64, 3), (2080, 2560, 1920), np.uint16), level=100, bitspersample=12
    )
    content = with_segment(deep_jpeg, 0xE1, exif)
    picture = reading.read(write(tmp_path / "deep.jpg", content)).frames[0]
    assert picture.bits == 16 and np.abs(picture.pixels[32, 32] / 257 - [116, 161, 119]).max() <= 1.5
    for name, value in ((b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 45455)), (b"cICP", b"\1\r\0\1")):
        content = (tmp_path / "a.png").read_bytes()  # what the file itself says counts before EXIF
        chunk = struct.pack(">I", len(value)) + name + value + struct.pack(">I", zlib.crc32(name + value))
        picture = reading.read(write(tmp_path / "b.png", content[:33] + chunk + content[33:])).frames[0]
        assert picture.pixels[32, 32].tolist() == [130, 160, 120]


# Words, and endings


@pytest.mark.parametrize("maximum", [255, 1023, 65535])
def test_deep_ppm_is_known_for_deep(maximum: int, tmp_path: Path) -> None:
    stored = np.dstack([DEEP.astype(np.uint32) * maximum // 65535] * 3).astype(">u2" if maximum > 255 else "u1")
    content = b"P6 # a comment\n160 120 %d\n" % maximum + stored.tobytes()
    picture = reading.read(write(tmp_path / "a.ppm", content)).frames[0]
    assert picture.bits == (16 if maximum > 255 else 8)
    assert np.abs(picture.pixels.astype(int) - GRAY).max() <= 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\x0a" + bytes(40), "is a JPEG XL picture"), (b"%PDF-1.7 ", "is a PDF document"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is an SVG drawing"), (b"v/1\x01" + bytes(9), "is an OpenEXR"),
        (b"SDPX" + bytes(9), "is a DPX"), (b"XPDS" + bytes(9), "is a DPX"),
        (b"\0\0\0\x18ftypmp42" + bytes(40), "is a film, not a picture; `fastcolor-video`"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "is damaged"), (b"hello", "is not a picture in a known format"),
    ],
)  # fmt: skip
def test_what_it_is_in_place_of_what_it_is_not(content: bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=words):
        reading.read(write(tmp_path / "a.jpg", content))


@pytest.mark.parametrize("suffix", ["jfif", "jpe", "mpo", "pnm", "tga", "apng"])
def test_every_ending_is_written_as_what_it_names(suffix: str, tmp_path: Path) -> None:
    image = Image.fromarray(GRAY).convert("RGB")
    writing.write(tmp_path / f"a.{suffix}", [image])
    file = reading.read(tmp_path / f"a.{suffix}")
    kind = {"pnm": "PPM", "tga": "TGA", "apng": "PNG"}.get(suffix, "JPEG")
    assert file.format == kind and np.abs(file.frames[0].pixels.astype(int) - GRAY).max() <= 20
    if kind != "JPEG":
        assert np.array_equal(file.frames[0].pixels, GRAY)


def test_a_profile_that_cannot_be_followed_is_said(tmp_path: Path) -> None:
    Image.fromarray(GRAY).convert("RGB").save(tmp_path / "a.jpg", icc_profile=b"no profile")
    assert "its colour profile is damaged" in reading.read(tmp_path / "a.jpg").frames[0].notes[0]
    cmyk = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    Image.fromarray(GRAY).convert("RGB").save(tmp_path / "b.jpg", icc_profile=cmyk)
    assert "colour profile" in reading.read(tmp_path / "b.jpg").frames[0].notes[0]
