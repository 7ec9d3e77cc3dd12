"""Calls of `video` that cannot work, where its outputs go, and what it shows meanwhile."""

from __future__ import annotations

import time
from pathlib import Path

import av
import numpy as np
import pytest
from film_clips import add_sound, clip, frames_of, sound

import fastcolor
from fastcolor.threads import Pipe, Stopped


def bad_files(folder: Path) -> dict[str, Path]:
    from PIL import Image

    good = clip(folder / "good.mp4").read_bytes()
    files = {
        name: folder / name for name in ("empty.mp4", "text.txt", "moov.mp4", "noise.mkv", "picture.png", "sound.m4a")
    }
    files["empty.mp4"].touch()
    files["text.txt"].write_text("no film\n" * 500)
    files["moov.mp4"].write_bytes(good[: len(good) // 2])
    files["noise.mkv"].write_bytes(np.random.default_rng(0).bytes(20000))
    Image.new("L", (64, 64)).save(files["picture.png"])
    with av.open(str(files["sound.m4a"]), "w") as output:
        sound(output, add_sound(output, ("aac",)), 0.2)
    return {**files, "missing.mp4": folder / "missing.mp4", "folder": folder}


def test_bad_input_is_named_in_one_sentence_and_leaves_nothing(net: str, tmp_path: Path):
    out = tmp_path / "out"
    for name, src in bad_files(tmp_path).items():
        with pytest.raises((ValueError, OSError)) as caught:
            fastcolor.video(src, out / "colour.mp4", weights=net)
        message = str(caught.value)
        assert str(src) in message and "\n" not in message and len(message) < 300, name
        assert not out.exists(), name


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"codec": "x"}, "codec: must be one of"),
        ({"codec": "ffv1"}, r"codec: must be one that \.mp4 holds, h264, hevc, av1, vp9, got 'ffv1'"),
        ({"crf": 99}, r"crf: must lie in 0\.\.51 for h264, got 99"),
        ({"crf": 3, "lossless": True}, "crf: must be left out where h264 is lossless, got 3"),
        ({"fast": True, "lossless": True}, "exclude"),
        ({"saturation": -1.0}, "saturation: must lie in"),
        ({"temperature": float("nan")}, "temperature: must be"),
        ({"temporal": "always"}, "temporal: must be"),
        ({"hardware": "yes"}, "hardware: must be one of auto, on, off"),
        ({"start": -1.0}, "start: must be"),
        ({"start": 2.0, "end": 1.0}, "end: must come after"),
        ({"weights": "no-such"}, "no-such"),
    ],
)
def test_a_wrong_option_is_named(net: str, tmp_path: Path, options: dict, words: str):
    src = clip(tmp_path / "gray.mp4", frames=2)
    with pytest.raises((ValueError, OSError), match=words):
        fastcolor.video(src, tmp_path / "new" / "colour.mp4", **{"weights": net, **options})
    assert not (tmp_path / "new").exists()


def test_outputs(net: str, tmp_path: Path):
    src = clip(tmp_path / "gray.mp4", frames=2)
    dst = tmp_path / "new" / "deep" / "we:ird %d.mp4"
    fastcolor.video(src, dst, weights=net)
    assert [path.name for path in dst.parent.iterdir()] == [dst.name]
    with pytest.raises(FileExistsError, match="exists already"):
        fastcolor.video(src, dst, weights=net)
    dst.write_text("old")
    fastcolor.video(src, dst, weights=net, overwrite=True)
    assert len(frames_of(dst)) == 2
    content = src.read_bytes()
    with pytest.raises(ValueError, match="same file"):
        fastcolor.video(src, src, weights=net, overwrite=True)
    assert src.read_bytes() == content
    with pytest.raises(ValueError, match=r"\.avi"):
        fastcolor.video(src, tmp_path / "colour.avi", weights=net)
    with pytest.raises(IsADirectoryError, match="folder"):
        fastcolor.video(src, tmp_path, weights=net, overwrite=True)
    with pytest.raises(OSError, match="cannot write"):
        fastcolor.video(src, src / "colour.mp4", weights=net)


def test_progress_shows_only_when_asked(net: str, tmp_path: Path, capfd: pytest.CaptureFixture):
    src = clip(tmp_path / "gray.mp4", frames=10)
    fastcolor.video(src, tmp_path / "a.mp4", weights=net)
    fastcolor.video(src, tmp_path / "b.mp4", weights=net, codec="av1")
    quiet = capfd.readouterr()
    assert (quiet.out, quiet.err) == ("", "")
    fastcolor.video(src, tmp_path / "c.mp4", weights=net, progress=True)
    assert "10/10" in capfd.readouterr().err


def test_a_pipe_wakes_both_ends_when_it_breaks():
    from threading import Thread

    pipe: Pipe[int] = Pipe(1)
    pipe.put(1)
    seen: list[str] = []

    def push() -> None:
        try:
            pipe.put(2)
        except Stopped:
            seen.append("woken")

    thread = Thread(target=push)
    thread.start()
    time.sleep(0.1)
    assert thread.is_alive(), "a full pipe must block"
    pipe.stop()
    thread.join(5)
    assert seen == ["woken"]
    with pytest.raises(Stopped):
        next(iter(pipe))
