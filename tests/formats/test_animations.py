"""Animations: how often they play, the still picture beside them, and how much of them is held at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from fastcolor.formats import reading, writing
from fastcolor.formats.endings import PictureError


def animation(path: Path, **options: object) -> Path:
    frames = [Image.new("RGB", (8, 8), (80 * i, 40, 40)) for i in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100, **options)
    return path


@pytest.mark.parametrize("ending", ["gif", "png", "webp"])
@pytest.mark.parametrize(("loop", "plays"), [({}, 1), ({"loop": 0}, 0), ({"loop": 2}, 3)])
def test_an_animation_plays_as_often_as_it_did(tmp_path: Path, loop: dict[str, int], plays: int, ending: str) -> None:
    file = reading.read(animation(tmp_path / "a.gif", **loop))  # which tells of repetitions, and of none by default
    assert file.loop == plays
    target = tmp_path / f"b.{ending}"
    writing.write(target, [Image.fromarray(frame.pixels) for frame in file.frames], file.durations, file.loop)
    assert reading.read(target).loop == plays


def test_the_still_picture_beside_an_animation_is_no_frame_of_it(tmp_path: Path) -> None:
    file = reading.read(animation(tmp_path / "a.png", default_image=True))
    assert [frame.pixels[0, 0].tolist() for frame in file.frames] == [[80, 40, 40], [160, 40, 40]]
    assert file.durations == [100, 100]
    assert writing.unsupported(file, tmp_path / "b.png") == ["the still picture beside the animation"]


def test_frames_that_would_fill_the_memory_are_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = animation(tmp_path / "a.gif")
    monkeypatch.setattr(reading, "MAX_ANIMATED", 3 * 64 - 1)
    with pytest.raises(PictureError, match="has 3 frames of 8x8 pixels, more than the limit of 191"):
        reading.read(path)
