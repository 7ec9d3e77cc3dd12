"""Gray films for benchmarks, and what each step of colouring one costs a frame."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import fastcolor
from fastcolor import ops
from fastcolor.film.carry import Carrier
from fastcolor.film.motion import Watcher
from fastcolor.film.smoothing import Smoother, followed

PHOTOGRAPHS = Path(__file__).parent / "demo"
FILMS = ((640, 360, 160), (854, 480, 160), (1280, 720, 96))  # width, height, frames


class Clock:
    """Seconds by stage: of this process's CPU time, or with a GPU of the wall clock, waiting for it."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self.seconds: dict[str, float] = {}

    def now(self) -> float:
        if self._cuda:
            torch.cuda.synchronize()
        return time.perf_counter() if self._cuda else time.process_time()

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = self.now()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + self.now() - start

    def ms(self, count: int) -> dict[str, float]:
        return {stage: seconds / count * 1e3 for stage, seconds in self.seconds.items()}


@contextmanager
def one_thread() -> Iterator[None]:
    """As both pipelines run: several batches at once, each on a thread or a few."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def photographs() -> list[Image.Image]:
    return [Image.open(path).convert("RGB") for path in sorted(PHOTOGRAPHS.glob("*.jpg"))]


def make_film(path: Path, width: int, height: int, frames: int) -> None:
    """A gray pan over the photographs with some grain, H.264."""
    import av

    random = np.random.default_rng(0)
    sources = [photo.convert("L") for photo in photographs()]
    grain = random.normal(16.5, 1.5, (height + 64, width + 64)).astype(np.float32)
    with av.open(str(path), "w") as film:
        stream = film.add_stream("libx264", rate=25, options={"crf": "18", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for i in range(frames):
            scene, step = divmod(i, 40)
            source = sources[scene % len(sources)]
            side = min(source.width / width, source.height / height) * 0.8
            left, top = 0.2 * side * width * step / 40, 0.1 * side * height * step / 40
            box = (left, top, left + side * width, top + side * height)
            luma = np.asarray(source.resize((width, height), Image.Resampling.BICUBIC, box=box), np.float32)
            y, x = random.integers(0, 64, 2)
            luma = (luma * (219 / 255) + grain[y : y + height, x : x + width]).clip(16, 235).astype(np.uint8)
            planes = np.concatenate([luma, np.full((height // 2, width), 128, np.uint8)])
            frame = av.VideoFrame.from_ndarray(planes, "yuv420p")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            film.mux(stream.encode(frame))
        film.mux(stream.encode(None))


@torch.inference_mode()
def film_stages(colorizer: fastcolor.Colorizer, source: Path) -> dict[str, float]:
    """What each step costs a frame, in the pieces that `fastcolor.film` works in."""
    from fastcolor.film.clock import Cut
    from fastcolor.film.encoding import choose_encoding
    from fastcolor.film.frames import plane_view
    from fastcolor.film.probe import probe
    from fastcolor.film.read import Reader
    from fastcolor.film.write import PartWriter

    film = probe(source)
    clock = Clock(colorizer.device)
    target = source.with_name("part.mp4")
    fast, usual = (
        choose_encoding(film, target, codec=None, crf=None, fast=fast, lossless=False) for fast in (True, False)
    )
    size = colorizer.input_size(*film.shown)
    reader = Reader(film, fast.layout, size=8, cut=Cut.of(film, None, None), warn=print, note=print)
    with clock("decode"):
        batches = list(reader)
    watcher, carrier, smoother = Watcher(part=240), Carrier(), Smoother("fast")
    with clock("input"):
        lightness = [
            ops.luma_to_input(
                some.luma[: len(some.frames)].to(colorizer.device), size, full_range=film.full_range, bits=8
            )
            for some in batches
        ]
    with clock("motion"):
        watched = zip(lightness, (followed(one, "fast", coarse=True) for one in lightness), strict=True)
        seen = list(watcher.watch(watched))
    colors: list[torch.Tensor] = []
    for one, of_it in seen:
        with clock("network and decode"):
            ab = torch.cat([colorizer.predict_ab(piece) for piece in one[of_it.runs].split(4)])
        with clock("smoothing"):
            for done, carried in carrier.push(of_it, ab):
                colors.append(smoother.push(done.lightness, carried, done))
    for some, ab in zip(batches, colors, strict=True):
        luma = some.luma[: len(some.frames)].to(colorizer.device)
        with clock("paint"):
            planes = ops.paint_chroma(ab, luma, subsampling="420", matrix=film.matrix, full_range=film.full_range)
            for index, plane in enumerate(planes, start=1):
                for frame, chroma in zip(some.frames, plane.cpu().numpy(), strict=True):
                    plane_view(frame, index, np.uint8)[:] = chroma
    for stage, encoding in (("encode", fast), ("encode, as usual", usual)):
        with clock(stage):
            writer = PartWriter(film, encoding, target)
            for some in batches:
                writer.write(some.frames)
            writer.finish()
    return clock.ms(sum(len(some.frames) for some in batches))
