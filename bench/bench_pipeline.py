"""Pictures and films from file to file, against the published demos' way: bench/results/<machine>-pipeline.json.

Run as `python -m bench.bench_pipeline [--device cuda]`. Both sides have the same weights, network size and output size,
are checked against each other first, and take turns, each in a process of its own, as people run them: in one, either
would work in the memory that the other left. Figures are medians, model loading left out on both sides. Stages
are timed one after the other, on the CPU in its own time, so that a codec's threads count: they add up to what a frame
or picture costs, not to the time that passes while they overlap.
"""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from PIL import Image

import fastcolor
from fastcolor import ops
from fastcolor.device import bf16_is_fast
from fastcolor.formats import picture, reading, writing
from fastcolor.models import weights
from fastcolor.models.layers import fold_batch_norm
from fastcolor.options.pictures import ColorizeOptions
from fastcolor.pictures.colored import in_color
from fastcolor.pictures.files import colorize_files
from fastcolor.web.process import Process

from . import timing
from .films import FILMS, Clock, film_stages, make_film, one_thread, photographs
from .published import Published
from .run import keep

PICTURE, PICTURES = (500, 400), 64  # width, height; how many
SIZES, BATCHES = ((256, 256), (400, 500), (1080, 1920), (2160, 3840)), (1, 4, 8, 16)
MOST_PIXELS = 1 << 24  # of a batch
MOST_DIFFERENCE = 6.0  # mean over a picture, in codes of 255: resizing and precision differ


@dataclass(frozen=True)
class PipelineOptions:
    """Time pictures and films end to end and by stage, beside the published way."""

    device: str = "cpu"
    """cpu or cuda."""
    engine: str = "auto"
    """What runs our network."""
    threads: int | None = None
    """CPU threads for everybody; None: as torch chooses."""
    rounds: int = 3
    """Of the ends-to-ends, in turns."""
    malloc: str = "tuned"
    """tuned: glibc keeps its memory between calls; default: as it comes."""
    out: Path | None = None
    """File for the figures. None: bench/results/<machine>-pipeline.json."""


def make_pictures(folder: Path) -> list[Path]:
    """Different cut-outs of the photographs, one size."""
    folder.mkdir()
    sources, (width, height), paths = photographs(), PICTURE, []
    for i in range(PICTURES):
        source = sources[i % len(sources)]
        side = min(source.width / width, source.height / height) * (0.6 + 0.4 * (i * 7 % 11) / 11)
        left, top = (source.width - side * width) * (i % 5) / 5, (source.height - side * height) * (i % 7) / 7
        cut = (left, top, left + side * width, top + side * height)
        paths.append(folder / f"{i:03}.jpg")
        source.resize(PICTURE, Image.Resampling.LANCZOS, box=cut).save(paths[-1], quality=90)
    return paths


class Ours:
    """fastcolor, from file to file."""

    def __init__(self, threads: int, device: str, engine: str) -> None:
        torch.set_num_threads(threads)
        self._given: dict[str, Any] = {"device": device, "engine": engine}
        self._colorizer = fastcolor.Colorizer(**self._given)

    def pictures(self, folder: Path, out: Path) -> float:
        """Pictures a second."""
        shutil.rmtree(out, ignore_errors=True)
        options = ColorizeOptions((folder,), f"{out}/")
        start = time.perf_counter()
        outcome = colorize_files(options, self._colorizer)
        seconds = time.perf_counter() - start
        assert len(outcome.done) == PICTURES, outcome
        return PICTURES / seconds

    def film(self, source: Path, target: Path, fast: bool, frames: int) -> float:
        """Frames a second, as the program reports them."""
        report = fastcolor.video(source, target, fast=fast, overwrite=True, progress=False, **self._given)
        assert report.frames == frames, report
        return report.fps


class Theirs(Published):
    """The published way, from file to file."""

    def __init__(self, threads: int, device: str) -> None:
        torch.set_num_threads(threads)
        super().__init__("default", device)

    def pictures(self, paths: list[Path], folder: Path, size: tuple[int, int]) -> float:
        """Pictures a second."""
        start = time.perf_counter()
        for path in paths:
            self.picture(path, folder / path.name, size)
        return len(paths) / (time.perf_counter() - start)

    def frames(self, source: Path, target: Path, size: tuple[int, int], most: int) -> float:
        """Frames a second."""
        start = time.perf_counter()
        count = self.film(source, target, size, most)
        assert count == most, count
        return count / (time.perf_counter() - start)

    def took(self) -> dict[str, float]:
        """Seconds by stage since this was last asked."""
        seconds, self.seconds = self.seconds, {}
        return seconds


def in_turns(works: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Median of what each returns, taken in turns."""
    rates: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            rates[name].append(work())
    return {name: statistics.median(values) for name, values in rates.items()}


def picture_row(colorizer: fastcolor.Colorizer, ours: Process, theirs: Process | None, rounds: int) -> dict[str, Any]:
    """A folder of JPEGs to a folder of JPEGs."""
    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name), Path(name) / "out"
        paths = make_pictures(folder / "in")
        some, size = paths[: PICTURES // 4], colorizer.input_size(PICTURE[1], PICTURE[0])
        ours.call("pictures", folder / "in", out)
        works: dict[str, Callable[[], float]] = {"fastcolor": lambda: ours.call("pictures", folder / "in", out)}
        row: dict[str, Any] = {"width": PICTURE[0], "height": PICTURE[1], "pictures": PICTURES}
        if theirs is not None:
            theirs.call("pictures", paths[:4], folder, size)
            row["mean_difference"] = difference(out / paths[0].name, folder / paths[0].name)
            theirs.call("took")
            works["published"] = lambda: theirs.call("pictures", some, folder, size)
        row["per_second"] = in_turns(works, rounds)
        with one_thread():
            row["stages_ms"] = {"fastcolor": picture_stages(colorizer, paths, folder)}
        if theirs is not None:
            taken, count = theirs.call("took"), rounds * len(some)
            row["stages_ms"]["published"] = {stage: seconds / count * 1e3 for stage, seconds in taken.items()}
            row["ratio"] = row["per_second"]["fastcolor"] / row["per_second"]["published"]
    return row


def difference(ours: Path, theirs: Path) -> float:
    """Mean over a picture's codes; an AssertionError where the two do not show the same."""
    a, b = (np.asarray(Image.open(path)).astype(int) for path in (ours, theirs))
    assert a.shape == b.shape, (a.shape, b.shape)
    mean = float(np.abs(a - b).mean())
    assert mean < MOST_DIFFERENCE, f"{ours.name}: the two ways differ by {mean:.2f} codes"
    return mean


@torch.inference_mode()
def picture_stages(colorizer: fastcolor.Colorizer, paths: list[Path], folder: Path) -> dict[str, float]:
    """What each step costs a picture, four at a time on one thread."""
    clock = Clock(colorizer.device)
    size = colorizer.input_size(PICTURE[1], PICTURE[0])
    for first in range(0, len(paths), 4):
        some = paths[first : first + 4]
        with clock("read"):
            files = [reading.read(path) for path in some]
        with clock("look"):
            for path, file in zip(some, files, strict=True):
                in_color(file.frames[0])
                writing.unsupported(file, path)
        with clock("input"):
            grays = [torch.from_numpy(file.frames[0].gray.copy())[None] for file in files]
            lightness = torch.cat([ops.luma_to_input(gray.to(colorizer.device), size) for gray in grays])
        with clock("network and decode"):
            ab = colorizer.predict_ab(lightness)
        with clock("paint"):
            sources = [torch.from_numpy(file.frames[0].pixels)[None].to(colorizer.device) for file in files]
            painted = [ops.paint_rgb(ab[i : i + 1], source)[0].cpu().numpy() for i, source in enumerate(sources)]
        with clock("write"):
            for path, rgb, file in zip(some, painted, files, strict=True):
                writing.write(folder / f"stage-{path.name}", [picture.compose(rgb, file.frames[0])], [100])
    return clock.ms(len(paths))


def film_row(
    colorizer: fastcolor.Colorizer, ours: Process, theirs: Process | None, film: tuple[int, int, int], rounds: int
) -> dict[str, Any]:
    """A film to a film, `fast` and as usual; the published way on its first frames."""
    width, height, frames = film
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, colour = folder / "gray.mp4", folder / "colour.mp4"
        make_film(source, width, height, frames)
        most, size = max(8, frames * 360 // (4 * height)), colorizer.input_size(height, width)
        works: dict[str, Callable[[], float]] = {
            "fastcolor --fast": lambda: ours.call("film", source, colour, True, frames),
            "fastcolor": lambda: ours.call("film", source, colour, False, frames),
        }
        if theirs is not None:
            works["published"] = lambda: theirs.call("frames", source, folder / "published.mp4", size, most)
            theirs.call("frames", source, folder / "published.mp4", size, 4)  # which also loads OpenCV
            theirs.call("took")
        rates = in_turns(works, rounds)
        row = {"width": width, "height": height, "frames": frames, "per_second": rates}
        with one_thread():
            stages = film_stages(colorizer, source)
        codec = stages["decode"] + stages["encode"]
        row["network_and_ops_ms"] = sum(stages.values()) - codec - stages["encode, as usual"]
        row["codec_ms"] = {"--fast": codec, "as usual": stages["decode"] + stages["encode, as usual"]}
        row["stages_ms"] = {"fastcolor --fast": stages}
        if theirs is not None:
            taken, count = theirs.call("took"), rounds * most
            row["stages_ms"]["published"] = {stage: seconds / count * 1e3 for stage, seconds in taken.items()}
            row["ratio"] = {name: rate / rates["published"] for name, rate in rates.items() if name != "published"}
    return row


def cost_rows(colorizer: fastcolor.Colorizer) -> list[dict[str, Any]]:
    """Colouring decoded gray pictures: against their size and the number at once, JPEG left out."""
    rows = []
    random = np.random.default_rng(0)
    for height, width in SIZES:
        gray = random.integers(0, 256, (height, width), np.uint8)
        for count in BATCHES:
            if count * height * width > MOST_PIXELS:
                continue
            many = [gray] * count
            times: list[float] = []
            stop = time.perf_counter() + 1.0
            colorizer(many)
            while len(times) < 3 or time.perf_counter() < stop:
                start = time.perf_counter()
                colorizer(many)
                times.append((time.perf_counter() - start) * 1e3)
            rows.append({"height": height, "width": width, "batch": count, "ms": statistics.median(times)})
    return rows


@torch.inference_mode()
def network(device: str) -> dict[str, float]:
    """One 256 x 256 picture; the floor is its multiply-adds at the rate of a large matrix product."""
    model = fold_batch_norm(weights.load("default").model.requires_grad_(False)).to(
        device, memory_format=torch.channels_last
    )
    lightness = torch.full((1, 1, 256, 256), 50.0, device=device)
    multiply_adds = count_multiply_adds(model, lightness)
    result = {"multiply_adds": multiply_adds}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        if dtype == torch.bfloat16 and not bf16_is_fast(torch.device(device)):
            continue
        model = model.to(dtype)
        side = 2048 if device == "cpu" else 8192
        a, b = (torch.randn(side, side, dtype=dtype, device=device) for _ in range(2))
        works = {"network": lambda model=model: model(lightness), "matrix": lambda a=a, b=b: a @ b}
        ms = timing.alternate(works, device=device, seconds=2.0)
        result[f"{name}_ms"] = ms["network"]
        result[f"{name}_floor_ms"] = multiply_adds * ms["matrix"] / side**3
    return result


def count_multiply_adds(model: torch.nn.Module, lightness: torch.Tensor) -> float:
    total = 0.0

    def count(module: torch.nn.Conv2d, _: object, output: torch.Tensor) -> None:
        nonlocal total
        total += output.numel() * module.weight[0].numel()

    hooks = [m.register_forward_hook(count) for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    model(lightness)
    for hook in hooks:
        hook.remove()
    return total


def missing(package: str) -> str | None:
    """Why a package cannot be used, or None."""
    try:
        __import__(package)
    except ImportError as error:
        return str(error)
    return None


def main(options: PipelineOptions) -> dict[str, Any]:
    if options.malloc == "tuned":
        timing.tune_malloc()
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    colorizer = fastcolor.Colorizer(device=options.device, engine=options.engine)
    absent = {name: why for name in ("skimage", "cv2", "av") if (why := missing(name))}
    for name, why in absent.items():
        left_out = "films are" if name == "av" else "films the published way are" if name == "cv2" else "that way is"
        print(f"{why}: {left_out} left out", flush=True)
    threads = torch.get_num_threads()
    ours = Process("bench.bench_pipeline:Ours", threads, options.device, options.engine)
    theirs = None
    if "skimage" not in absent:
        theirs = Process("bench.bench_pipeline:Theirs", threads, options.device)
    facts = {
        "threads": threads,
        "device": options.device,
        "engine": colorizer.engine,
        "command": f"python -m bench.bench_pipeline --device {options.device}",
        "absent": absent,
    }
    results: dict[str, Any] = {"machine": timing.machine() | facts}
    results["network_256"] = tell("network_256", network(options.device))
    results["pictures"] = tell("pictures", picture_row(colorizer, ours, theirs, options.rounds))
    results["cost"] = [tell("cost", row) for row in cost_rows(colorizer)]
    rates = {
        1e3 * row["batch"] / row["ms"]: row for row in results["cost"] if (row["height"], row["width"]) == SIZES[0]
    }
    latency = next(row["ms"] for row in rates.values() if row["batch"] == 1)
    results["best_256"] = tell("best_256", {"latency_ms": latency, "pictures_per_second": max(rates)})
    films = () if "av" in absent else FILMS
    with_cv2 = None if "cv2" in absent else theirs
    results["films"] = [tell("film", film_row(colorizer, ours, with_cv2, film, options.rounds)) for film in films]
    for side in (ours, theirs):
        if side is not None:
            side.stop()
    keep(results, "pipeline", options.out)
    return results


def tell(name: str, row: dict[str, Any]) -> dict[str, Any]:
    """Print a result as it comes."""
    print(f"{name}: {json.dumps(row, default=str)}", flush=True)
    return row


if __name__ == "__main__":
    main(tyro.cli(PipelineOptions, config=(tyro.conf.FlagCreatePairsOff,)))
