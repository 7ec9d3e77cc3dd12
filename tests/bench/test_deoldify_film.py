"""DeOldify's way with films, as the benchmark has it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from film_clips import clip, frames_of, packets_of, plane
from torch import nn

from bench.deoldify_film import DeOldifyFilm


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the program ffmpeg")
def test_a_network_that_paints_nothing_gives_the_gray_film_back(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    src, out = clip(tmp_path / "film.mp4", frames=6, audio=("aac",), tint=(90, 160)), tmp_path / "out.mp4"
    assert DeOldifyFilm(nn.Identity(), 32).film(src, out, tmp_path / "files") == 6
    before, after = frames_of(src), frames_of(out)
    assert len(before) == len(after) == 6 and len(packets_of(out)) == 2
    luma, full = (np.stack([plane(frame, 0).astype(float) for frame in frames]) for frames in (before, after))
    assert np.abs((luma - 16) * 255 / 219 - full).mean() < 4  # JPEG's range stays
    chroma = np.stack([plane(frame, 1) for frame in after])
    assert abs(chroma.mean() - 128) < 2  # the network sees no tint
