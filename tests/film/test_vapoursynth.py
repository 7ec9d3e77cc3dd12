"""What VapourSynth's filter does, without VapourSynth: frames by number, in order, out of order, from threads."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from film_clips import clip, frames_of, plane, random_net

import fastcolor
from fastcolor.film.probe import probe
from fastcolor.film.smoothing import Mode
from fastcolor.predictor import Predictor
from fastcolor.vapoursynth import colorize
from fastcolor.vapoursynth.painter import Stream, StreamPainter

FRAMES = 21  # two batches and a bit


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Films share threads out among several pictures at once, and sums over other parts are rounded otherwise."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> str:
    return random_net(tmp_path_factory.mktemp("net"))


@pytest.fixture(scope="module")
def predictor(net: str) -> Predictor:
    return Predictor(net, "cpu", "torch")


class Film:
    """A gray film, and a painter of it. `asked`: frames whose luma was read."""

    def __init__(self, path: Path, predictor: Predictor, temporal: Mode, *, adaptive: bool = False) -> None:
        film, frames = probe(path), frames_of(path)
        form = frames[0].format
        self.asked: list[int] = []
        self.ahead: list[range] = []
        stream = Stream(
            frames=len(frames),
            width=film.width,
            height=film.height,
            bits=form.components[0].bits,
            subsampling={"yuv420p": "420", "yuv422p10le": "422"}[form.name],  # type: ignore[arg-type]
            matrix=film.matrix,
            full_range=film.full_range,
            aspect=float(film.sample_aspect or 1),
        )

        def luma(n: int) -> np.ndarray:
            self.asked.append(n)
            return plane(frames[n], 0)

        asked = {"ahead": self.ahead.append, "temporal": temporal, "adaptive": adaptive}
        self.painter = StreamPainter(predictor, stream, luma, **asked)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pixel_format", "temporal", "codec"),
    [("yuv420p", "fast", "libx264"), ("yuv422p10le", "flow", "libx264"), ("yuv420p", "off", "libx264")],
)
def test_frames_in_order_are_the_films(
    pixel_format: str, temporal: Mode, codec: str, net: str, predictor: Predictor, tmp_path: Path
) -> None:
    src = clip(tmp_path / "gray.mkv", pixel_format, frames=FRAMES, codec=codec, tags=(1, 1, 1))
    options = {"device": "cpu", "engine": "torch", "adaptive": "off", "lossless": True}
    fastcolor.video(src, tmp_path / "colour.mkv", weights=net, temporal=temporal, **options)  # type: ignore[arg-type]
    film = Film(src, predictor, temporal)
    for n, frame in enumerate(frames_of(tmp_path / "colour.mkv")):
        cb, cr = film.painter(n)
        assert np.array_equal(cb, plane(frame, 1)) and np.array_equal(cr, plane(frame, 2)), n
    assert n == FRAMES - 1 and film.asked == list(range(FRAMES))  # each once
    assert film.ahead[0] == range(8, 16) and film.ahead[-1] == range(FRAMES, FRAMES)


@pytest.mark.parametrize("temporal", ["fast", "off"])
def test_where_the_network_runs_now_and_then(
    temporal: Mode, net: str, predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames in order are the film's, and a jump is answered with what lies around it."""
    src = clip(tmp_path / "gray.mkv", frames=45, tags=(1, 1, 1))
    options = {"device": "cpu", "engine": "torch", "adaptive": "on", "lossless": True, "temporal": temporal}
    fastcolor.video(src, tmp_path / "colour.mkv", weights=net, **options)  # type: ignore[arg-type]
    runs: list[int] = []
    run = predictor.predict_ab
    monkeypatch.setattr(predictor, "predict_ab", lambda seen, **how: runs.append(len(seen)) or run(seen, **how))
    film = Film(src, predictor, temporal, adaptive=True)
    for n, frame in enumerate(frames_of(tmp_path / "colour.mkv")):
        cb, cr = film.painter(n)
        assert np.array_equal(cb, plane(frame, 1)) and np.array_equal(cr, plane(frame, 2)), n
    assert n == 44 and film.asked == list(range(45)) and 0 < sum(runs) < 45
    film = Film(src, predictor, temporal, adaptive=True)
    assert film.painter(44)[0].shape == cb.shape and film.asked == list(range(40, 45))
    film.painter(3)
    assert set(film.asked[5:]) <= set(range(24))


def test_out_of_order_and_from_threads(predictor: Predictor, tmp_path: Path) -> None:
    src = clip(tmp_path / "gray.mkv", frames=100)
    film = Film(src, predictor, "fast")
    expected = [film.painter(n) for n in range(32)]
    film = Film(src, predictor, "fast")
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(film.painter, reversed(range(32))))[::-1]
    for one, other in zip(expected, found, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert sorted(film.asked) == list(range(32))
    film.asked.clear()
    film.painter(99)  # a jump is not led up to by all that lies between
    assert film.asked == list(range(96, 100))
    film.asked.clear()
    film.painter(24)  # is kept
    assert film.asked == []
    for n in range(40, 100):
        film.painter(n)
    assert len(film.painter._done) <= 64 + 8
    film.asked.clear()
    again = film.painter(3)  # long gone
    assert film.asked == list(range(8)) and np.array_equal(again[0], expected[3][0])


def test_a_frame_that_cannot_be_had_says_so_each_time_and_costs_itself_alone(
    predictor: Predictor, tmp_path: Path
) -> None:
    film = Film(clip(tmp_path / "gray.mkv", frames=20), predictor, "fast")
    luma_of = film.painter._luma_of

    def luma(n: int) -> np.ndarray:
        if n == 9:
            raise ValueError("frame 9 is damaged")
        return luma_of(n)

    film.painter._luma_of = luma
    first = film.painter(0)
    for n in (9, 9, 12):  # of its batch
        with pytest.raises(ValueError, match="frame 9 is damaged"):
            film.painter(n)
    assert film.painter(17)[0].shape == first[0].shape
    film.painter._luma_of = luma_of
    assert film.painter(9)[0].shape == first[0].shape


def test_without_the_package_it_is_said_what_to_install() -> None:
    try:
        import vapoursynth  # noqa: F401
    except ImportError:
        with pytest.raises(ImportError, match=r"pip install 'fastcolor\[vapoursynth\]' \(Python 3.12 or later\)"):
            colorize("clip")
    else:
        with pytest.raises(TypeError, match="clip: must be a VapourSynth clip, got str"):
            colorize("clip")
