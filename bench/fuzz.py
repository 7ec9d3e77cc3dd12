"""Thousands of damaged picture files, read and written again: each is done or refused in words, and none ends the run.

    python -m bench.fuzz --count 10000 --seed 0 --weights FILE

A file of every kind that is read is changed at random, by a generator that the seed and the file's number fix. A
process does some hundred files, so that one that ends it, or never comes back, is known by its number. A fault is an
error of any kind but ours, words that do not name the file, a hang, a file under a final name that cannot be read,
or any other file left behind. With weights every twentieth file goes through the command `fastcolor colorize` too.
"""

from __future__ import annotations

import argparse
import faulthandler
import functools
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from PIL import Image, ImageCms

from fastcolor.formats import reading, writing
from fastcolor.formats.endings import PictureError
from fastcolor.formats.picture import Picture, compose
from fastcolor.formats.pixels import eight_bit

from . import timing

SECONDS = 60.0  # for a file, on a machine that others use too
PIXELS = 1_000_000  # more are refused here, so that ten thousand files take minutes
PER_PROCESS = 500
_SIDE = 40


def _gray() -> np.ndarray:
    y, x = np.mgrid[:_SIDE, : _SIDE + 8]
    return (110 + 60 * np.sin(x / 5) + 50 * np.cos(y / 7)).astype(np.uint8)


def _pillow(kind: str, mode: str = "L", **options: Any) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(_gray())
    image = image.quantize(64) if mode == "P" else image.convert(mode)
    if options.pop("frames", False):
        options |= {"save_all": True, "append_images": [image.rotate(20), image.rotate(40)]}
    image.save(file, kind, **options)
    return file.getvalue()


def _tiff(samples: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, samples, **options)
    return file.getvalue()


def _nested_tiff() -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(_gray()[::2, ::2], subfiletype=1, subifds=1)
        writer.write(_gray(), subfiletype=0)
    return file.getvalue()


@functools.cache
def seeds() -> dict[str, bytes]:
    """A small sound file of every kind, by a name for it."""
    gray = _gray()
    deep = gray.astype(np.uint16) * 257
    rgb, deep_rgb = np.dstack([gray, gray // 2, 255 - gray]), np.dstack([deep, deep // 2, 65535 - deep])
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[274], exif[270], exif[306] = 6, "grandmother", "1931:05:01 10:00:00"
    exif.get_ifd(34665)[33434] = 0.01
    words = exif.tobytes()
    made: dict[str, Callable[[], bytes]] = {
        "gray.jpg": lambda: _pillow("JPEG", exif=words, dpi=(300, 300), comment=b"harbour"),
        "color.jpg": lambda: _pillow("JPEG", "RGB", icc_profile=srgb, progressive=True),
        "cmyk.jpg": lambda: _pillow("JPEG", "CMYK"),
        "deep.jpg": lambda: imagecodecs.jpeg_encode(deep >> 4, level=90, bitspersample=12),
        "two.mpo": lambda: _pillow("MPO", "RGB", frames=True),
        "gray.png": lambda: _pillow("PNG", exif=words),
        "palette.png": lambda: _pillow("PNG", "P", icc_profile=srgb, transparency=3),
        "clear.png": lambda: _pillow("PNG", "RGBA"),
        "bits.png": lambda: _pillow("PNG", "1"),
        "deep.png": lambda: imagecodecs.png_encode(deep_rgb),
        "deep-gray.png": lambda: imagecodecs.png_encode(np.dstack([deep, deep])),
        "frames.png": lambda: _pillow("PNG", "RGBA", frames=True, duration=50),
        "frames.gif": lambda: _pillow("GIF", "P", frames=True, duration=50),
        "lossy.webp": lambda: _pillow("WEBP", "RGB", exif=words, icc_profile=srgb),
        "lossless.webp": lambda: _pillow("WEBP", "RGBA", lossless=True),
        "frames.webp": lambda: _pillow("WEBP", "RGB", frames=True, duration=50),
        "gray.bmp": lambda: _pillow("BMP"),
        "color.bmp": lambda: _pillow("BMP", "RGB"),
        "gray.pgm": lambda: _pillow("PPM"),
        "color.ppm": lambda: _pillow("PPM", "RGB"),
        "deep.ppm": lambda: b"P6\n%d %d\n65535\n" % gray.shape[::-1] + deep_rgb.astype(">u2").tobytes(),
        "color.tga": lambda: _pillow("TGA", "RGBA", compression="tga_rle"),
        "color.jp2": lambda: _pillow("JPEG2000", "RGB"),
        "deep.jp2": lambda: imagecodecs.jpeg2k_encode(deep_rgb, level=0, reversible=True, codecformat="jp2"),
        "stream.j2k": lambda: imagecodecs.jpeg2k_encode(gray, level=0, reversible=True, codecformat="j2k"),
        "color.avif": lambda: _pillow("AVIF", "RGB", speed=10, exif=words),
        "deep.avif": lambda: imagecodecs.avif_encode(
            deep_rgb >> 6, level=80, speed=10, bitspersample=10, primaries=9, transfer=16, matrix=9
        ),
        "frames.avif": lambda: _pillow("AVIF", "RGB", frames=True, speed=10, duration=50),
        "gray.tif": lambda: _pillow("TIFF", exif=words, dpi=(300, 300), icc_profile=srgb),
        "lzw.tif": lambda: _pillow("TIFF", "RGB", compression="tiff_lzw"),
        "fax.tif": lambda: _pillow("TIFF", "1", compression="group4"),
        "jpeg.tif": lambda: _pillow("TIFF", "RGB", compression="jpeg"),
        "cmyk.tif": lambda: _pillow("TIFF", "CMYK", compression="packbits"),
        "pages.tif": lambda: _pillow("TIFF", frames=True, compression="tiff_deflate"),
        "deep.tif": lambda: _tiff(deep_rgb, photometric="rgb", compression="zlib", predictor=True),
        "planes.tif": lambda: _tiff(np.moveaxis(deep_rgb, -1, 0), photometric="rgb", planarconfig="separate"),
        "tiles.tif": lambda: _tiff(deep, tile=(16, 16), byteorder=">", photometric="miniswhite"),
        "big.tif": lambda: _tiff(rgb, bigtiff=True, photometric="rgb", compression="lzw"),
        "alpha.tif": lambda: _tiff(np.dstack([deep, deep]), photometric="minisblack", extrasamples=["assocalpha"]),
        "wide.tif": lambda: _tiff(deep.astype(np.uint32) << 16, photometric="minisblack"),
        "nested.tif": _nested_tiff,
    }
    return {name: bytes(make()) for name, make in made.items()}


def mutated(seed: int, number: int) -> tuple[str, bytes]:
    """The number-th damaged file of a seed: the name of what it was made from, and its bytes."""
    random = np.random.default_rng((seed, number))
    names = sorted(seeds())
    name = names[number % len(names)]
    data = bytearray(seeds()[name])
    for _ in range(int(random.integers(1, 4))):
        head = max(16, len(data) // (1 if random.random() < 0.5 else 8))  # half of the time where the headers are
        at = int(random.integers(0, min(head, len(data)) or 1))
        match int(random.integers(0, 8)):
            case 0:  # single bits
                for place in random.integers(0, min(head, len(data)) or 1, int(random.integers(1, 9))):
                    data[place] ^= 1 << int(random.integers(0, 8))
            case 1:
                data[at : at + 4] = random.bytes(min(4, len(data) - at))
            case 2:  # lengths and counts at their ends
                wide = (1, 2, 4, 8)[int(random.integers(0, 4))]
                data[at : at + wide] = (b"\0", b"\xff", b"\x7f")[int(random.integers(0, 3))] * wide
            case 3:
                del data[at : at + int(random.integers(1, 64))]
            case 4:
                data[at:at] = random.bytes(int(random.integers(1, 64)))
            case 5:  # a stretch of it once more
                there = int(random.integers(0, len(data) or 1))
                data[at:at] = data[there : there + int(random.integers(1, 256))]
            case 6:
                del data[max(1, int(random.integers(0, len(data) or 1))) :]
            case _:
                stretch = int(random.integers(1, 128))
                data[at : at + stretch] = bytes(len(data[at : at + stretch]))
        if not data:
            data += b"\0"
    return name, bytes(data)


def passed_through(path: Path, target: Path, *, allow_truncated: bool) -> None:
    """What colouring does with a file, but for the network: its gray takes the place of the colours."""

    def painted(picture: Picture) -> Image.Image:
        return compose(eight_bit(picture.gray)[..., None].repeat(3, axis=2), picture)

    file = reading.read(path, allow_truncated=allow_truncated)
    writing.unsupported(file, target)
    writing.write(target, map(painted, file.frames), file.durations, file.loop, pages=file.pages)


def fault_of(number: int, seed: int, folder: Path) -> tuple[str, str | None]:
    """What became of a file, "written" or "refused", and what was wrong with that, if anything."""
    name, data = mutated(seed, number)
    path, out = folder / f"{number}-{name}", folder / "out"
    suffix = ".ppm" if path.suffix == ".pgm" else path.suffix
    target = out / f"{number}{suffix}"
    path.write_bytes(data)
    out.mkdir(exist_ok=True)
    result, fault, began = "written", None, time.monotonic()
    faulthandler.dump_traceback_later(SECONDS, exit=True)
    try:
        passed_through(path, target, allow_truncated=number % 3 == 0)
        with Image.open(target) as image:
            image.load()
    except PictureError as error:
        result = "refused"
        words = str(error)
        if not (words.startswith((f"{path}: ", f"{target}: ")) and "\n" not in words):
            fault = f"words that do not name the file: {words!r}"
    except Exception as error:
        fault = f"{type(error).__name__}: {error}"
    finally:
        faulthandler.cancel_dump_traceback_later()
    if time.monotonic() - began > SECONDS / 2:
        fault = fault or f"took {time.monotonic() - began:.0f} s"
    left = sorted(os.listdir(out))
    if left != ([target.name] if result == "written" and fault is None else []):
        fault = fault or f"{result}, and yet there is {left}"
    for one in left:
        (out / one).unlink()
    path.unlink()
    return result, fault


def command_fault(numbers: list[int], seed: int, weights: str) -> str | None:
    """What is wrong when `fastcolor colorize` does a folder of damaged files; None when nothing is."""
    from fastcolor.commands.cli import main

    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder, "in"), Path(folder, "out")
        source.mkdir()
        for number in numbers:
            name, data = mutated(seed, number)
            (source / f"{number}-{name}").write_bytes(data)
        said = io.StringIO()
        options = ["--weights", weights, "--device", "cpu", "--engine", "torch"]
        code: object = 0
        try:
            with redirect_stdout(said), redirect_stderr(said):
                code = main(["colorize", str(source), "-o", f"{out}/", *options])
        except SystemExit as end:
            code = end.code
        except Exception as error:
            return f"the command raised {type(error).__name__}: {error}"
        text = said.getvalue()
        written = sorted(os.listdir(out)) if out.exists() else []
        failed = sum(line.strip().startswith("failed: ") for line in text.splitlines())
        if failed + len(written) != len(numbers):
            return f"{len(numbers)} files, but {len(written)} written and {failed} failed: {text[-500:]!r}"
        if bool(code) != bool(failed) or "Traceback" in text or any(one.startswith(".") for one in written):
            return f"exit code {code}, {failed} failed: {text[-500:]!r}"
    return None


def _share(first: int, count: int, seed: int, weights: str | None) -> dict[str, Any]:
    reading.MAX_PIXELS = PIXELS
    results: Counter[str] = Counter()
    faults: list[str] = []
    slowest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(first, first + count):
            began = time.monotonic()
            print(number, flush=True)
            result, fault = fault_of(number, seed, Path(folder))
            slowest = max(slowest, time.monotonic() - began)
            results[result] += 1
            if fault:
                faults.append(f"{number} ({mutated(seed, number)[0]}): {fault}")
    if weights:
        fault = command_fault(list(range(first, first + count, 20)), seed, weights)
        if fault:
            faults.append(f"{first} and every 20th: {fault}")
    return {"results": results, "faults": faults, "slowest": slowest}


def main() -> int:
    """Run it, and print what happened as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights", help="for the command; none: it is left out")
    parser.add_argument("--share", action="store_true", help="be the process that does these files")
    options = parser.parse_args()
    if options.share:
        print(json.dumps(_share(options.first, options.count, options.seed, options.weights)))
        return 0
    results: Counter[str] = Counter()
    faults: list[str] = []
    began, slowest = time.monotonic(), 0.0
    end = options.first + options.count
    for first in range(options.first, end, PER_PROCESS):
        count = min(PER_PROCESS, end - first)
        command = [sys.executable, "-m", "bench.fuzz", "--share", "--first", str(first), "--count", str(count)]
        command += ["--seed", str(options.seed)] + (["--weights", options.weights] if options.weights else [])
        ended = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
        lines = ended.stdout.splitlines()
        if ended.returncode == 0:
            share = json.loads(lines[-1])
            results += Counter(share["results"])
            faults += share["faults"]
            slowest = max(slowest, share["slowest"])
        else:  # it hung or died
            faults.append(f"{lines[-1] if lines else first}: ended with {ended.returncode}: {ended.stderr[-2000:]}")
        print(f"{first + count}: {dict(results)}, {len(faults)} faults", file=sys.stderr, flush=True)
    print(json.dumps({
        "seed": options.seed, "files": options.count, "kinds": len(seeds()), **results, "faults": faults,
        "seconds": round(time.monotonic() - began), "slowest": round(slowest, 1),
        "machine": timing.machine()["cpu"],
        "pillow": Image.__version__, "imagecodecs": imagecodecs.__version__, "tifffile": tifffile.__version__,
    }, indent=1))  # fmt: skip
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
