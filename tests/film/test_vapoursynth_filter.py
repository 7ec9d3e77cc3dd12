"""The filter in VapourSynth itself, which needs Python 3.12 or later: the same film, the same chroma."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from film_clips import clip, frames_of, plane, random_net

import fastcolor
from fastcolor.vapoursynth import colorize

vs = pytest.importorskip("vapoursynth", reason="VapourSynth, which needs Python 3.12 or later, is not installed")
FRAMES = 40
FORMATS = {"yuv420p": "YUV420P8", "yuv422p10le": "YUV422P10", "yuv444p": "YUV444P8"}


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> str:
    return random_net(tmp_path_factory.mktemp("net"))


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def opened(path: Path) -> Any:
    """A film's frames as a clip, its properties as a source filter sets them."""
    frames = frames_of(path)
    form = getattr(vs, FORMATS[frames[0].format.name])
    blank = vs.core.std.BlankClip(width=frames[0].width, height=frames[0].height, format=form, length=len(frames))

    def filled(n: int, f: Any) -> Any:
        frame = f.copy()
        for index in range(3):
            np.copyto(np.asarray(frame[index]), plane(frames[n], index))
        return frame

    return blank.std.ModifyFrame(clips=blank, selector=filled).std.SetFrameProps(_Matrix=1, _ColorRange=1)


@pytest.mark.parametrize("pixel_format", FORMATS)
def test_the_same_chroma_as_the_film(pixel_format: str, net: str, tmp_path: Path) -> None:
    src = clip(tmp_path / "gray.mkv", pixel_format, frames=FRAMES, tags=(1, 1, 1), color_range=1)
    options = {"device": "cpu", "engine": "torch", "weights": net}
    fastcolor.video(src, tmp_path / "colour.mkv", lossless=True, **options)  # type: ignore[arg-type]
    gray = opened(src)
    colored = colorize(gray, **options)
    assert (colored.format.id, colored.num_frames) == (gray.format.id, FRAMES)
    for n, wanted in enumerate(frames_of(tmp_path / "colour.mkv")):
        with colored.get_frame(n) as frame:
            assert all(np.array_equal(np.asarray(frame[index]), plane(wanted, index)) for index in range(3)), n


def test_many_threads_and_another_order(net: str, tmp_path: Path) -> None:
    gray = opened(clip(tmp_path / "gray.mkv", frames=FRAMES, tags=(1, 1, 1)))
    options = {"device": "cpu", "engine": "torch", "weights": net}
    first = colorize(gray, **options)
    expected = [np.array(first.get_frame(n)[1]) for n in range(FRAMES)]
    second = colorize(gray, **options)
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda n: np.array(second.get_frame(n)[1]), range(FRAMES)))
    assert all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True))
    third = colorize(gray, temporal="off", **options)
    with ThreadPoolExecutor(6) as pool:
        turned = list(pool.map(lambda n: np.array(third.get_frame(n)[1]), reversed(range(FRAMES))))
    assert all(np.array_equal(np.array(third.get_frame(FRAMES - 1 - n)[1]), one) for n, one in enumerate(turned))
    asked = [third.get_frame_async(n) for n in range(FRAMES)]
    assert all(np.array_equal(np.array(one.result()[1]), turned[FRAMES - 1 - n]) for n, one in enumerate(asked))
    threads = vs.core.num_threads
    try:
        vs.core.num_threads = 1
        fourth = colorize(gray, **options)
        assert np.array_equal(np.array(fourth.get_frame(FRAMES - 1)[1]).shape, expected[-1].shape)
    finally:
        vs.core.num_threads = threads


def test_samples_in_float_and_in_16_bits(net: str, tmp_path: Path) -> None:
    gray = opened(clip(tmp_path / "gray.mkv", "yuv444p", frames=3, tags=(1, 1, 1)))
    options = {"device": "cpu", "engine": "torch", "weights": net}
    eight, whole = colorize(gray, **options), colorize(gray.resize.Point(format=vs.YUV444P16), **options)
    floats = colorize(gray.resize.Point(format=vs.YUV444PS), **options)
    for n in range(3):
        a, b, c = (node.get_frame(n) for node in (eight, whole, floats))
        assert np.abs(np.array(a[1]).astype(float) - np.array(b[1]) / 256).max() <= 1
        assert np.abs((np.array(a[1]).astype(float) - 128) / 224 - np.array(c[1])).max() < 1.5 / 224


def test_what_is_refused(net: str) -> None:
    core = vs.core
    for node, words in [
        (core.std.BlankClip(format=vs.GRAY8, length=2), "clip: must be YUV of 8 to 16 bits .* got Gray8"),
        (core.std.BlankClip(format=vs.RGB24, length=2), "clip: must be YUV of 8 to 16 bits .* got RGB24"),
        (core.std.BlankClip(format=vs.YUV410P8, length=2), "clip: must be YUV of 8 to 16 bits .* got YUV410P8"),
        (core.std.BlankClip(varsize=True, format=vs.YUV420P8, length=2), "clip: must be of one format and size"),
    ]:
        with pytest.raises(ValueError, match=words):
            colorize(node, weights=net)
    with pytest.raises(ValueError, match=r"saturation: must lie in 0..10, got 11"):
        colorize(core.std.BlankClip(format=vs.YUV420P8, length=2), saturation=11.0)
    with pytest.raises(ValueError, match="temporal: must be one of off, fast, flow, got 'slow'"):
        colorize(core.std.BlankClip(format=vs.YUV420P8, length=2), temporal="slow")  # type: ignore[arg-type]
