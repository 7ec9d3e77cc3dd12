"""TIFFs as scanners, Photoshop and laboratories write them: read as what they say they are, or refused truly."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from odd_pictures import deep, page, ramp, tiff, write
from PIL import Image, TiffImagePlugin

from fastcolor.formats import reading, writing
from fastcolor.formats.endings import PictureError
from fastcolor.formats.picture import DamagedError

GRAY = ramp()
DEEP = deep(GRAY)


def read(path: Path, content: bytes) -> np.ndarray:
    return reading.read(write(path, content)).frames[0].pixels


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("planes", [False, True])
def test_sixteen_bit_color_in_planes_or_not(order: str, planes: bool, tmp_path: Path) -> None:
    rgb = np.dstack([DEEP, DEEP // 2, DEEP // 3])
    pixels = read(tmp_path / "a.tif", tiff(page(rgb, 2, order=order, planes=planes), order=order))
    assert pixels.dtype == np.uint16 and np.array_equal(pixels, rgb)
    gray = read(tmp_path / "b.tif", tiff(page(np.dstack([DEEP] * 3), 2, order=order, planes=planes), order=order))
    assert np.array_equal(gray, DEEP)


def ycbcr(rgb: np.ndarray) -> np.ndarray:
    """(H, W, 3) of BT.601, full scale."""
    red, green, blue = np.moveaxis(rgb.astype(float), -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return np.dstack([luma, 128 + (blue - luma) / 1.772, 128 + (red - luma) / 1.402])


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("across", [1, 2])
def test_luma_and_chroma_without_compression(across: int, narrow: bool, tmp_path: Path) -> None:
    rgb = np.dstack([GRAY, GRAY // 2 + 60, 255 - GRAY])
    luma, *chroma = np.moveaxis(ycbcr(rgb), -1, 0)
    black, white, reach = (16, 235, 112) if narrow else (0, 255, 127)
    luma = (black + luma * (white - black) / 255).round()
    height, width = GRAY.shape
    means = [each.reshape(height // across, across, width // across, across).mean((1, 3)) for each in chroma]
    means = [(128 + (each - 128) * reach / 127).round().clip(0, 255) for each in means]
    blocks = luma.reshape(height // across, across, width // across, across).transpose(0, 2, 1, 3)
    units = np.concatenate([blocks.reshape(*blocks.shape[:2], -1), np.dstack(means)], axis=2).astype(np.uint8)
    levels = [black, 1, white, 1, 128, 1, 128 + reach, 1, 128, 1, 128 + reach, 1]
    content = page(rgb, 6, t530=[across, across], t532=levels, strips=[units.tobytes()])
    pixels = read(tmp_path / "a.tif", tiff(content)).astype(int)
    assert np.abs(pixels - rgb).mean() < (2 if across == 1 else 6)


def test_luma_and_chroma_that_are_turned_lie_behind_a_thumbnail_or_are_cut_off(tmp_path: Path) -> None:
    rgb = np.dstack([GRAY, GRAY // 2 + 60, 255 - GRAY])
    stored = ycbcr(rgb).round().clip(0, 255).astype(np.uint8)
    for orientation in range(1, 9):
        wanted = read(tmp_path / "a.tif", tiff(page(rgb, 2, t274=orientation)))
        pixels = read(tmp_path / "b.tif", tiff(page(stored, 6, t530=[1, 1], t274=orientation)))
        assert pixels.shape == wanted.shape and np.abs(pixels.astype(int) - wanted).max() <= 2

    jpeg = io.BytesIO()
    Image.fromarray(rgb).save(jpeg, "JPEG", quality=95, subsampling=0)
    whole = page(stored, 6, t259=7, t530=[1, 1], strips=[jpeg.getvalue()])
    pixels = read(tmp_path / "c.tif", tiff(page(rgb[::4, ::4], 2, t254=1, nested=[whole])))
    assert np.abs(pixels.astype(int) - rgb).mean() < 2
    bare = page(stored, 6, t530=[1, 1])
    pixels = read(tmp_path / "d.tif", tiff(page(rgb[::4, ::4], 2, t254=1, nested=[bare])))
    assert np.abs(pixels.astype(int) - rgb).max() <= 2

    content = tiff(bare)
    offset = content.index(struct.pack("<HHII", 273, 4, 1, 8)) + 8
    cut = content[:offset] + struct.pack("<I", len(content)) + content[offset + 4 :] + stored.tobytes()[:-5000]
    for lenient in (False, True):
        with pytest.raises(DamagedError, match="is truncated"):
            reading.read(write(tmp_path / "e.tif", cut), allow_truncated=lenient).frames[0]
    packed = zlib.compress(stored.tobytes())
    for kind, strip in ((1, stored.tobytes()[:-5000]), (8, packed[:-5000] + bytes(5000)), (8, packed)):
        content = tiff(page(stored, 6, t259=kind, t530=[1, 1], strips=[strip]))
        if strip is packed:
            assert np.abs(read(tmp_path / "f.tif", content).astype(int) - rgb).max() <= 2
        else:
            with pytest.raises(DamagedError):
                read(tmp_path / "f.tif", content)


def test_a_book_of_luma_and_chroma_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shades = [np.full((*GRAY.shape, 3), (40 * number, 128, 128), np.uint8) for number in range(1, 6)]
    pages = [
        page(one, 6, order=">", t530=[1, 1], t278=40, strips=[one[at : at + 40].tobytes() for at in range(0, 120, 40)])
        for one in shades
    ]
    book = write(tmp_path / "book.tif", tiff(*pages, order=">"))
    counted: list[int] = []
    monkeypatch.setattr(imagecodecs, "tiff_decode", _counting(imagecodecs.tiff_decode, counted))
    found = reading.read(book).frames
    assert [int(one.pixels.mean().round()) for one in found] == [40, 80, 120, 160, 200]
    assert len(counted) == 5 and max(counted) < book.stat().st_size / 4


def test_of_two_widths_of_luma_and_chroma_the_one_that_was_checked_counts(tmp_path: Path) -> None:
    stored = np.dstack([GRAY, np.full_like(GRAY, 128), np.full_like(GRAY, 128)])
    content = bytearray(tiff(page(stored, 6, t530=[1, 1], t255=GRAY.shape[1])))
    first = struct.unpack_from("<I", content, 4)[0] + 2
    assert [struct.unpack_from("<H", content, first + at)[0] for at in (0, 12)] == [255, 256]
    struct.pack_into("<H", content, first, 256)
    struct.pack_into("<I", content, first + 20, 10 * GRAY.shape[1])
    assert np.array_equal(read(tmp_path / "a.tif", bytes(content)), GRAY)


def _counting(decode: Callable[..., np.ndarray], sizes: list[int]) -> Callable[..., np.ndarray]:
    """The decoder, that notes how many bytes it is given."""

    def decoded(data: bytes, **more: object) -> np.ndarray:
        sizes.append(len(data))
        return decode(data, **more)

    return decoded


def test_a_transfer_function_is_followed(tmp_path: Path) -> None:
    codes = np.linspace(0, 1, 256)

    def light(curve: np.ndarray) -> list[int]:
        return (curve * 65535).round().astype(int).tolist()

    linear = read(tmp_path / "a.tif", tiff(page(GRAY, 1, t301=light(codes))))
    wanted = 255 * np.where(codes <= 0.0031308, 12.92 * codes, 1.055 * codes.clip(1e-9) ** (1 / 2.4) - 0.055)
    assert np.abs(linear - wanted[GRAY]).max() < 1
    assert np.array_equal(read(tmp_path / "b.tif", tiff(page(GRAY, 1, t301=light(codes**2.2)))), GRAY)
    srgb = np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)
    assert np.array_equal(read(tmp_path / "b.tif", tiff(page(GRAY, 1, t301=light(srgb)))), GRAY)
    steeper = read(tmp_path / "b.tif", tiff(page(GRAY, 1, t301=light(codes**2.3))))
    wanted = 255 * np.where(codes**2.3 <= 0.0031308, 12.92 * codes**2.3, 1.055 * codes ** (2.3 / 2.4) - 0.055)
    assert np.abs(steeper - wanted[GRAY]).max() < 1 and not np.array_equal(steeper, GRAY)
    for odd in ("no curve", light(codes)[:100], [0] * 256):
        assert np.array_equal(read(tmp_path / "d.tif", tiff(page(GRAY, 1, t301=odd, t318=[1, 0, 0, 0]))), GRAY)
    color = np.dstack([GRAY, GRAY // 2, GRAY // 3])
    for odd in (
        page(GRAY, 1, t301=light(np.sin(codes * 1.57))),
        page(color, 2, t301=light(codes**2.2) + light(codes) * 2),
    ):
        unlike = reading.read(write(tmp_path / "c.tif", tiff(odd))).frames[0]
        assert unlike.notes == ("its transfer function is not followed; its pixels are taken as sRGB's",)


@pytest.mark.parametrize("order", ["<", ">"])
def test_white_is_zero_with_sixteen_bits(order: str, tmp_path: Path) -> None:
    assert np.array_equal(read(tmp_path / "a.tif", tiff(page(65535 - DEEP, 0, order=order), order=order)), DEEP)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("photometric", [0, 1, 2])
def test_alpha_beside_gray_and_color(dtype: type, photometric: int, tmp_path: Path) -> None:
    color = DEEP if dtype == np.uint16 else GRAY
    most = np.iinfo(dtype).max
    stored = most - color if photometric == 0 else color
    clear = np.full_like(color, most)
    clear[:, :50] = 0
    samples = np.dstack([stored] * (3 if photometric == 2 else 1) + [clear])
    picture = reading.read(write(tmp_path / "a.tif", tiff(page(samples, photometric, t338=2)))).frames[0]
    assert picture.pixels.dtype == dtype and np.array_equal(picture.pixels, color)
    assert picture.alpha is not None and np.array_equal(picture.alpha, np.where(clear > 0, 255, 0))


def test_associated_alpha_is_divided_out(tmp_path: Path) -> None:
    half = np.full_like(DEEP, 32768)
    content = tiff(page(np.dstack([DEEP // 2, half]), 1, t338=1))
    pixels = read(tmp_path / "a.tif", content)
    assert np.abs(pixels.astype(int) - DEEP).max() <= 4


def test_thirty_two_bits_keep_their_scale(tmp_path: Path) -> None:
    wide = DEEP.astype(np.uint32) * 65537
    assert np.array_equal(read(tmp_path / "a.tif", tiff(page(wide, 1))), DEEP)


def test_a_palette_of_sixteen_bit_colors_and_cmyk_of_sixteen_bits(tmp_path: Path) -> None:
    colors = np.concatenate([np.arange(256)] * 3).astype(int) * 257
    assert np.array_equal(read(tmp_path / "p.tif", tiff(page(GRAY, 3, t320=colors.tolist()))), GRAY)
    ink = np.dstack([np.zeros_like(DEEP)] * 3 + [65535 - DEEP])
    assert np.array_equal(read(tmp_path / "c.tif", tiff(page(ink, 5))), DEEP)


@pytest.mark.parametrize(
    ("samples", "photometric", "tags", "words"),
    [
        (GRAY.astype(np.int8), 1, {"t339": 2}, "signed pixels are not supported"),
        (GRAY.astype(np.float32), 1, {"t339": 3}, "floating-point pixels are not supported"),
        (DEEP, 32803, {}, "is a camera's raw picture"),
        (np.dstack([DEEP] * 3), 8, {}, "CIE Lab pixels are not supported"),
        (np.dstack([DEEP] * 3), 6, {}, "YCbCr pixels of 3 channels of 16 bits are not supported"),
        (np.dstack([GRAY] * 4), 5, {"t332": 2}, "its inks are not cyan, magenta, yellow and black"),
    ],
    ids=["int8", "float32", "raw", "lab", "ycbcr", "inks"],
)
def test_what_is_refused_is_refused_truly(
    samples: np.ndarray, photometric: int, tags: dict[str, int], words: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.tif", tiff(page(samples, photometric, **tags)))
    with pytest.raises(PictureError, match=words):
        reading.read(path)


def test_a_thumbnail_before_the_picture_is_not_the_picture(tmp_path: Path) -> None:
    small = page(GRAY[::4, ::4].copy(), 1, t254=1)
    for content in (tiff(small, page(GRAY, 1)), tiff(page(GRAY, 1), small), tiff({**small, "nested": [page(GRAY, 1)]})):
        file = reading.read(write(tmp_path / "a.tif", content))
        assert len(file.frames) == 1 and np.array_equal(file.frames[0].pixels, GRAY)
    alone = reading.read(write(tmp_path / "a.tif", tiff(small)))
    assert np.array_equal(alone.frames[0].pixels, GRAY[::4, ::4])  # better than nothing


def test_a_picture_with_smaller_copies_of_itself_is_one(tmp_path: Path) -> None:
    half = page(GRAY[::2, ::2].copy(), 1, t254=1)
    file = reading.read(write(tmp_path / "a.tif", tiff({**page(GRAY, 1), "nested": [half]})))
    assert len(file.frames) == 1 and np.array_equal(file.frames[0].pixels, GRAY)


def test_a_mask_page_is_the_pictures_transparency(tmp_path: Path) -> None:
    shown = np.zeros((120, 160), np.uint8)
    shown[:, 80:] = 1
    mask = {**page(shown, 4, t254=4), 258: 1, "strips": [np.packbits(shown, axis=1).tobytes()]}
    file = reading.read(write(tmp_path / "a.tif", tiff(page(GRAY, 1), mask)))
    assert len(file.frames) == 1 and np.array_equal(file.frames[0].pixels, GRAY)
    assert file.frames[0].alpha is not None and np.array_equal(file.frames[0].alpha, shown * 255)


def test_no_resolution_stays_no_resolution(tmp_path: Path) -> None:
    def through(content: bytes) -> TiffImagePlugin.ImageFileDirectory_v2:
        info = reading.read(write(tmp_path / "a.tif", content)).frames[0].info
        image = Image.fromarray(GRAY).convert("RGB")
        image.info.update(info)
        writing.write(tmp_path / "b.tif", [image])
        with Image.open(tmp_path / "b.tif") as again:
            return again.tag_v2

    for bare in (tiff(page(GRAY, 1)), tiff(page(DEEP, 1))):
        assert 282 not in through(bare)
    plain = io.BytesIO()
    Image.fromarray(GRAY).save(plain, "TIFF", dpi=(300, 300))
    assert through(plain.getvalue())[282] == 300


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_deflate", "packbits", "group4", "jpeg"])
def test_ordinary_tiffs_are_read_as_before(compression: str, tmp_path: Path) -> None:
    image = Image.fromarray(GRAY)
    image = image.convert("1") if compression == "group4" else image
    image.save(tmp_path / "a.tif", compression=compression)
    with Image.open(tmp_path / "a.tif") as again:
        expected = np.asarray(again.convert("L"))
    assert np.array_equal(reading.read(tmp_path / "a.tif").frames[0].pixels, expected)


def test_what_is_left_of_a_truncated_deep_tiff(tmp_path: Path) -> None:
    rows = [DEEP[i : i + 40].astype("<u2").tobytes() for i in (0, 40, 80)]
    content = tiff({**page(DEEP, 1), 278: 40, "strips": rows})
    last = content.index(struct.pack("<3I", 8, 8 + len(rows[0]), 8 + 2 * len(rows[0]))) + 8  # the third strip's offset
    path = write(tmp_path / "a.tif", content[:last] + struct.pack("<I", len(content)) + content[last + 4 :])
    with pytest.raises(PictureError, match=r"is (damaged|truncated)"):
        reading.read(path)
    picture = reading.read(path, allow_truncated=True).frames[0]
    assert np.array_equal(picture.pixels[:80], DEEP[:80]) and picture.present == (slice(0, 80), slice(0, 160))


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_words_of_a_big_tiff_are_those_of_any(suffix: str, tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", GRAY, bigtiff=True, description="harbour", resolution=(300, 300), metadata=None
    )
    picture = reading.read(tmp_path / "a.tif").frames[0]
    assert np.array_equal(picture.pixels, GRAY)
    image = Image.fromarray(GRAY).convert("RGB")
    image.info.update(picture.info)
    writing.write(tmp_path / f"b.{suffix}", [image])
    with Image.open(tmp_path / f"b.{suffix}") as again:
        assert again.getexif()[270] == "harbour" and round(again.info.get("dpi", (300, 300))[0]) == 300
        assert b"II+" not in again.info.get("exif", b"")[:12]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("masked", [False, True])
def test_every_orientation_is_turned_once(orientation: int, dtype: type, masked: bool, tmp_path: Path) -> None:
    pixels = DEEP if dtype == np.uint16 else GRAY
    shown = np.zeros((120, 160), np.uint8)
    shown[:30, 80:] = 1
    mask = {**page(shown, 4, t254=4, t274=orientation), 258: 1, "strips": [np.packbits(shown, axis=1).tobytes()]}
    content = tiff(page(pixels, 1, t274=orientation), *([mask] if masked else []))
    picture = reading.read(write(tmp_path / "a.tif", content)).frames[0]

    def turned(stored: np.ndarray) -> np.ndarray:
        half, flipped = np.rot90(stored, 2), {2: np.fliplr(stored), 4: np.flipud(stored), 5: stored.T}
        return {1: stored, 3: half, 6: np.rot90(stored, -1), 7: half.T, 8: np.rot90(stored), **flipped}[orientation]

    assert np.array_equal(picture.pixels, turned(pixels))
    if masked:
        assert picture.alpha is not None and np.array_equal(picture.alpha, turned(shown) * 255)
