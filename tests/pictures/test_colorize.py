"""Pictures of every kind in, the same pictures in colour out."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from film_clips import random_net
from PIL import Image, ImageCms, TiffImagePlugin

import fastcolor
from fastcolor import Colorizer, ops
from fastcolor.formats import endings, picture, reading, writing


@pytest.fixture(scope="module")
def colorizer() -> Colorizer:
    return Colorizer(device="cpu")


def photograph(width: int = 96, height: int = 64) -> np.ndarray:
    """A gray gradient with some texture, uint8 (H, W)."""
    y, x = np.mgrid[:height, :width]
    return (60 + 120 * y / height + 20 * np.sin(x / 5)).astype(np.uint8)


def lightness(rgb: np.ndarray) -> np.ndarray:
    return ops.rgb_to_lab(torch.from_numpy(np.array(rgb)), layout="hwc")[0].numpy()


def test_every_way_to_hand_over_a_picture(colorizer: Colorizer, tmp_path: Path) -> None:
    gray = photograph()
    Image.fromarray(gray).save(tmp_path / "g.png")
    results = [
        np.asarray(colorizer(image))
        for image in (gray, Image.fromarray(gray), tmp_path / "g.png", str(tmp_path / "g.png"), gray[..., None])
    ]
    results += [np.asarray(image) for image in colorizer([gray, Image.fromarray(gray).convert("RGB")])]
    results.append(np.asarray(fastcolor.colorize(gray, device="cpu")))
    assert results[0].shape == (64, 96, 3)
    assert np.ptp(results[0].astype(int), axis=2).max() > 10  # there is colour
    for other in results[1:]:
        difference = np.abs(other.astype(int) - results[0])
        assert difference.mean() < 1 and difference.max() <= 12  # bfloat16 rounds differently in a batch


def test_lightness_is_the_pictures_own(colorizer: Colorizer) -> None:
    gray = photograph(203, 151)
    colored = np.asarray(colorizer(gray, saturation=0.3))
    expected = lightness(np.repeat(gray[..., None], 3, axis=2))
    assert np.abs(lightness(colored) - expected).max() < 0.8  # 8-bit rounding of each channel
    assert np.array_equal(np.asarray(colorizer(gray, saturation=0)), np.repeat(gray[..., None], 3, axis=2))


def test_saturation_and_temperature_do_what_they_say(colorizer: Colorizer) -> None:
    rocket = Path(__file__).parents[2] / "bench" / "demo" / "rocket.jpg"

    def ab(**options: float) -> torch.Tensor:
        return ops.rgb_to_lab(torch.from_numpy(np.array(colorizer(rocket, **options))), layout="hwc")[1:]

    def chroma(**options: float) -> float:
        return float(ab(**options).norm(dim=0).mean())

    assert chroma(saturation=0.5) < chroma() < chroma(saturation=1.5)
    assert chroma(temperature=2.0) < chroma(temperature=1.0) < chroma()
    # Towards 0 every place takes its likeliest colour.
    likeliest = ab(temperature=0)
    far = [float((ab(temperature=t) - likeliest).norm(dim=0).mean()) for t in (2.0, colorizer.temperature, 0.1)]
    assert far[0] > 1.5 * far[1] > 1.5 * 1.5 * far[2]


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1), (3, 5), (517, 33)])
def test_any_size_comes_back_at_its_size(colorizer: Colorizer, size: tuple[int, int]) -> None:
    height, width = size
    assert colorizer(np.full((height, width), 100, np.uint8)).size == (width, height)
    h, w = colorizer.input_size(height, width)
    assert h % 32 == w % 32 == 0 and max(h, w) <= 4 * colorizer.size


def test_a_picture_in_colour_keeps_its_lightness_and_loses_its_colour(colorizer: Colorizer) -> None:
    rgb = np.zeros((64, 64, 3), np.uint8)
    rgb[..., 0], rgb[..., 1] = 200, 60
    recolored = np.asarray(colorizer(rgb, saturation=0))
    assert np.ptp(recolored.astype(int), axis=2).max() == 0
    assert np.abs(lightness(recolored) - lightness(rgb)).max() < 0.5


def read(image: Image.Image, path: Path, **options: object) -> picture.Picture:
    image.save(path, **options)
    return reading.read(path).frames[0]


def test_modes(tmp_path: Path) -> None:
    gray = photograph()
    base = Image.fromarray(gray)
    assert np.array_equal(read(base, tmp_path / "l.png").pixels, gray)
    assert np.array_equal(read(base.convert("RGB"), tmp_path / "rgb.png").pixels, gray)
    assert np.array_equal(read(base.quantize(256), tmp_path / "p.png").pixels, gray)
    assert set(np.unique(read(base.convert("1"), tmp_path / "1.png").pixels)) == {0, 255}
    red = Image.new("RGB", (8, 8), (250, 20, 10))
    cmyk = read(red.convert("CMYK"), tmp_path / "c.jpg", quality=100).pixels
    assert cmyk.ndim == 3 and cmyk[4, 4, 0] > 200 > 80 > cmyk[4, 4, 1]
    with pytest.raises(endings.PictureError, match="floating-point pixels are not supported"):
        read(Image.fromarray(gray.astype(np.float32), "F"), tmp_path / "f.tif")


def test_sixteen_bits_are_read_whole(colorizer: Colorizer, tmp_path: Path) -> None:
    deep = (photograph().astype(np.uint16) << 8) | 77
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert np.array_equal(reading.read(tmp_path / "deep.png").frames[0].pixels, deep)
    result = np.asarray(colorizer(tmp_path / "deep.png", saturation=0))[..., 0]
    assert np.abs(result - deep / 257).max() <= 0.51


def test_alpha_is_kept(colorizer: Colorizer, tmp_path: Path) -> None:
    alpha = np.tile(np.arange(96, dtype=np.uint8), (64, 1))
    for mode in ("LA", "RGBA"):
        image = Image.fromarray(photograph()).convert(mode)
        image.putalpha(Image.fromarray(alpha))
        image.save(tmp_path / f"{mode}.png")
        result = colorizer(tmp_path / f"{mode}.png")
        assert result.mode == "RGBA" and np.array_equal(np.asarray(result)[..., 3], alpha)


def test_orientation_is_applied_and_metadata_kept(colorizer: Colorizer, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "grandmother"  # turned by 90 degrees; description
    Image.fromarray(photograph()).save(tmp_path / "t.jpg", exif=exif, dpi=(300, 300))
    result = colorizer(tmp_path / "t.jpg")
    assert result.size == (64, 96)
    writing.write(tmp_path / "out.jpg", [result], [0])
    with Image.open(tmp_path / "out.jpg") as saved:
        assert saved.getexif().get(0x0112, 1) == 1 and saved.getexif()[0x010E] == "grandmother"
        assert round(saved.info["dpi"][0]) == 300


def test_colour_profiles_are_converted_and_the_result_is_tagged_srgb(colorizer: Colorizer, tmp_path: Path) -> None:
    lab_profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.new("RGB", (32, 32), (10, 200, 30)).save(tmp_path / "s.png", icc_profile=lab_profile)
    assert reading.read(tmp_path / "s.png").frames[0].pixels[0, 0].tolist() == [10, 200, 30]
    Image.new("RGB", (32, 32), (10, 200, 30)).save(tmp_path / "junk.png", icc_profile=b"no profile")
    result = colorizer(tmp_path / "junk.png")
    profile = ImageCms.ImageCmsProfile(__import__("io").BytesIO(result.info["icc_profile"]))
    assert "sRGB" in ImageCms.getProfileDescription(profile)


def test_animations_keep_frames_and_durations(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.roll(photograph(), 9 * i, axis=1)) for i in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=[50, 100, 150], loop=0)
    file = reading.read(tmp_path / "a.gif")
    assert len(file.frames) == 3 and file.durations == [50, 100, 150]
    painted = Colorizer(device="cpu").paint(file.frames)
    writing.write(tmp_path / "b.gif", painted, file.durations, file.loop)
    again = reading.read(tmp_path / "b.gif")
    assert len(again.frames) == 3 and again.durations == [50, 100, 150]


def test_formats_that_cannot_hold_the_result(tmp_path: Path) -> None:
    image = Image.new("RGBA", (8, 8), (200, 100, 50, 0))
    writing.write(tmp_path / "a.jpg", [image], [0])
    assert Image.open(tmp_path / "a.jpg").getpixel((4, 4)) == (255, 255, 255)  # white shows through
    with pytest.raises(endings.PictureError, match=r"\.pgm cannot hold colour"):
        writing.write(tmp_path / "a.pgm", [image], [0])
    with pytest.raises(endings.PictureError, match="must end in one of"):
        writing.write(tmp_path / "a.doc", [image], [0])
    assert [p.name for p in tmp_path.iterdir()] == ["a.jpg"]


def test_files_that_are_no_pictures(tmp_path: Path) -> None:
    Image.fromarray(photograph(400, 300)).save(tmp_path / "whole.jpg")
    content = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[: len(content) // 2])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("hello")
    Image.fromarray(photograph()).save(tmp_path / "png.jpg", format="PNG")
    for name, words in [("cut.jpg", "is truncated"), ("empty.jpg", "is empty"), ("text.jpg", "is not a picture")]:
        with pytest.raises(endings.PictureError, match=words):
            reading.read(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="no such file"):
        reading.read(tmp_path / "missing.jpg")
    with pytest.raises(endings.PictureError, match="is a folder"):
        reading.read(tmp_path)
    assert reading.read(tmp_path / "cut.jpg", allow_truncated=True).frames[0].pixels.shape == (300, 400)
    assert reading.read(tmp_path / "png.jpg").format == "PNG"  # what counts is the content


def test_decompression_bombs_are_refused_with_the_limit(tmp_path: Path) -> None:
    Image.new("1", (30_000, 30_000)).save(tmp_path / "bomb.png")
    with pytest.raises(endings.PictureError, match="more pixels than the limit of 250,000,000"):
        reading.read(tmp_path / "bomb.png")


def test_weights_that_were_written_anew_are_read_anew(tmp_path: Path) -> None:
    for red in (40.0, -40.0):
        painted = fastcolor.colorize(
            photograph(), weights=random_net(tmp_path, paints=(red, 40.0)), device="cpu", engine="torch"
        )
        a = ops.rgb_to_lab(torch.from_numpy(np.array(painted)), layout="hwc")[1].mean()
        assert float(a) / red > 0.5


def test_bad_arguments(colorizer: Colorizer) -> None:
    with pytest.raises(ValueError, match="image: must be uint8 of shape"):
        colorizer(np.zeros((4, 4, 2), np.uint8))
    with pytest.raises(ValueError, match="at least one pixel"):
        colorizer(np.zeros((0, 4), np.uint8))
    with pytest.raises(TypeError, match="image: must be a path"):
        colorizer([3])
    with pytest.raises(TypeError, match="got NoneType"):
        colorizer(None)
    with pytest.raises(ValueError, match=r"saturation: must lie in 0\.\.10, got -1"):
        colorizer(photograph(), saturation=-1)
    with pytest.raises(ValueError, match="device: must be auto, cpu, cuda or cuda:N, got 'gpu'"):
        Colorizer(device="gpu")
    with pytest.raises(ValueError, match="engine: must be auto, torch, onnx, openvino or tensorrt, got 'caffe'"):
        Colorizer(engine="caffe")


def test_network_precisions_agree() -> None:
    from fastcolor.engines.torch import TorchEngine
    from fastcolor.models import weights

    loaded = weights.load("default")
    light = torch.rand(1, 1, 128, 128) * 100
    engine = TorchEngine(loaded.model, torch.device("cpu"), torch.bfloat16)
    with torch.no_grad():
        exact = ops.annealed_mean(loaded.model(light), temperature=loaded.temperature)
    assert float((ops.annealed_mean(engine(light), temperature=loaded.temperature) - exact).abs().mean()) < 1.5
    assert engine.name.startswith("torch cpu ")


def deep_photograph() -> np.ndarray:
    """(64, 96, 3) uint16 in colour."""
    base = photograph().astype(np.uint16)
    return np.stack([base * 257, base * 200 + 77, base * 150 + 3000], axis=2).astype(np.uint16)


def save_deep(path: Path, rgb: np.ndarray) -> None:
    """16-bit colour as PNG (big-endian) or TIFF (little-endian), neither of which Pillow writes."""
    height, width, channels = rgb.shape
    if path.suffix == ".tif":
        strip = rgb.astype("<u2").tobytes()
        tags = [
            (256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, 8 + len(strip)), (259, 3, 1, 1), (262, 3, 1, 2),
            (273, 4, 1, 8), (277, 3, 1, 3), (278, 4, 1, height), (279, 4, 1, len(strip)),
        ]  # fmt: skip
        where = 8 + len(strip) + 6
        table = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
        path.write_bytes(b"II*\0" + struct.pack("<I", where) + strip + struct.pack("<3H", 16, 16, 16) + table)
        return

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in rgb)
    head = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("name", ["a.png", "a.tif", "alpha.png"])
def test_sixteen_bit_colour_is_read_whole(colorizer: Colorizer, tmp_path: Path, name: str) -> None:
    rgb = deep_photograph()
    alpha = np.full((64, 96, 1), 40_000, np.uint16)
    save_deep(tmp_path / name, np.concatenate([rgb, alpha], axis=2) if "alpha" in name else rgb)
    picture = reading.read(tmp_path / name).frames[0]
    assert np.array_equal(picture.pixels, rgb) and picture.bits == 16
    assert (picture.alpha is not None) == ("alpha" in name)
    expected = ops.rgb_to_lab(torch.from_numpy(rgb.astype(np.float32) / 65535).permute(2, 0, 1)[None])[0, 0]
    painted = np.asarray(colorizer.paint([picture], saturation=0)[0].convert("RGB"))
    assert np.abs(lightness(painted) - expected.numpy()).max() < 0.25  # 8-bit rounding of the result alone


def test_deep_gray_of_twelve_bits_and_white_is_zero(tmp_path: Path) -> None:
    deep = photograph().astype(np.uint16) * 257
    words = TiffImagePlugin.ImageFileDirectory_v2()
    words[262] = 0
    Image.fromarray(65535 - deep).save(tmp_path / "w.tif", tiffinfo=words)
    assert np.array_equal(reading.read(tmp_path / "w.tif").frames[0].pixels, deep)
    twelve = np.zeros((2, 4), np.uint16)
    twelve[:, 1], twelve[:, 2], twelve[:, 3] = 2048, 4095, 16
    packed = bytes(
        b for row in twelve for a, c in row.reshape(-1, 2) for b in (a >> 4, (a & 15) << 4 | c >> 8, c & 255)
    )
    tags = [
        (256, 4, 1, 4), (257, 4, 1, 2), (258, 3, 1, 12), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8), (277, 3, 1, 1),
        (278, 4, 1, 2), (279, 4, 1, len(packed)),
    ]  # fmt: skip
    table = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    (tmp_path / "t.tif").write_bytes(b"II*\0" + struct.pack("<I", 8 + len(packed)) + packed + table)
    assert reading.read(tmp_path / "t.tif").frames[0].pixels[0].tolist() == [0, 32775, 65535, 256]


def test_no_colour_from_no_information(colorizer: Colorizer) -> None:
    def chroma(gray: np.ndarray) -> float:
        return float(np.ptp(np.asarray(colorizer(gray)).astype(int), axis=2).max())

    for level in (0, 60, 128, 200, 255):
        assert chroma(np.full((120, 160), level, np.uint8)) == 0
        assert chroma(np.full((1, 1), level, np.uint8)) == 0
    faint = (photograph().astype(int) % 2 + 128).astype(np.uint8)
    assert chroma(faint) < 0.5 * chroma(photograph())
    assert chroma(photograph()[:4, :4]) < 0.5 * chroma(photograph())
    assert chroma(photograph()) > 10


@pytest.mark.parametrize("orientation", [1, 6, 3, 8])
def test_what_a_truncated_file_lacks_stays_gray(colorizer: Colorizer, tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(photograph(400, 300)).save(tmp_path / "whole.jpg", exif=exif)
    content = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[: len(content) // 2])
    picture = reading.read(tmp_path / "cut.jpg", allow_truncated=True).frames[0]
    share = picture.gray[picture.present].size / picture.gray.size
    assert 0.3 < share < 0.8
    missing = np.ones(picture.gray.shape, bool)
    missing[picture.present] = False
    assert np.ptp(picture.gray[missing]) == 0
    spread = np.ptp(np.asarray(colorizer.paint([picture])[0]).astype(int), axis=2)
    assert spread[missing].max() == 0 and spread[~missing].max() > 10
    assert reading.read(tmp_path / "whole.jpg", allow_truncated=True).frames[0].present == (slice(None), slice(None))


def test_python_says_when_a_file_holds_more_and_names_no_switches(
    colorizer: Colorizer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frames = [Image.fromarray(np.roll(photograph(), 9 * i, axis=1)) for i in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert colorizer(tmp_path / "a.gif").size == (96, 64)
    assert [r.getMessage() for r in caplog.records] == [f"{tmp_path / 'a.gif'}: the first of its 3 frames is taken"]
    Image.fromarray(photograph(400, 300)).save(tmp_path / "w.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "w.jpg").read_bytes()[:2000])
    with pytest.raises(endings.PictureError, match="is truncated") as caught:
        fastcolor.colorize(tmp_path / "cut.jpg", device="cpu")
    assert "--" not in str(caught.value)


def test_one_rule_for_temperature_and_saturation(colorizer: Colorizer) -> None:
    for options, words in [
        ({"temperature": 100_000}, r"temperature: must be 0 or lie in 0\.001\.\.10, got 100000"),
        ({"temperature": 1e-4}, r"temperature: must be 0 or lie in 0\.001\.\.10, got 0\.0001"),
        ({"temperature": float("nan")}, "got nan"),
        ({"saturation": 50}, r"saturation: must lie in 0\.\.10, got 50"),
    ]:
        with pytest.raises(ValueError, match=words):
            colorizer(photograph(), **options)
    assert colorizer(photograph(), temperature=0).size == (96, 64)


def test_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    with pytest.raises(endings.PictureError, match=r"cannot be read \(file name too long\)"):
        reading.read(tmp_path / ("n" * 300 + ".jpg"))
