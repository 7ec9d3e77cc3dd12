"""A folder with a film by each of the published networks, of weights that a recipe makes: killed and begun again."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from batch_trees import files, film, halfway, picture, row, until
from film_clips import frames_of, in_process, plane
from models.published import weights_recipe as recipe
from PIL import Image

from fastcolor.batch.batch import batch
from fastcolor.film import resume
from fastcolor.options.batch import BatchOptions

PUBLISHED = Path(recipe.__file__).parent
OTHERS = ("deoldify-artistic", "eccv16", "siggraph17", "ddcolor-large", "deoldify-wide")  # `make test-large`


@pytest.mark.parametrize("name", ["ddcolor-tiny", *OTHERS])
def test_killed_and_begun_again_it_is_as_undisturbed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name in OTHERS and os.environ.get("FASTCOLOR_LARGE") != "1":
        pytest.skip("FASTCOLOR_LARGE=1 runs all networks")
    weights, src, whole, out = tmp_path / "net.pth", tmp_path / "in", tmp_path / "whole", tmp_path / "out"
    torch.save({k: torch.from_numpy(v) for k, v in recipe.state(PUBLISHED / f"{name}.json").items()}, weights)
    film(src / "a.mkv", 24, size=(64, 48), options={"preset": "ultrafast"})
    for index in range(2):
        picture(src / f"{index}.png", index)
    # FFV1 loses nothing; what x264 makes of the same frames differs from run to run.
    usual = {"weights": str(weights), "codec": "ffv1", "device": "cpu", "engine": "torch", "size": 64}
    usual["adaptive"] = "off"
    code = (
        "import torch; torch.set_num_threads(1)\n"
        "from fastcolor.film import resume; resume.FRAMES = 8\n"
        "from pathlib import Path; from fastcolor.batch.batch import batch\n"
        "from fastcolor.options.batch import BatchOptions\n"
        f"batch(BatchOptions(Path({str(src)!r}), Path({str(out)!r}), **{usual!r}))"
    )
    process = in_process(code)
    until(lambda: halfway(out / "a.mkv"), process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (out / "a.mkv").exists()
    monkeypatch.setattr(resume, "FRAMES", 8)
    for target in (out, whole):
        summary = batch(BatchOptions(src, target, **usual))
        assert not summary.failed and row(str(summary), "coloured")[1] == 1
    assert files(out) == files(whole) == ["0.png", "1.png", "a.mkv"]
    for one, other in zip(frames_of(out / "a.mkv"), frames_of(whole / "a.mkv"), strict=True):
        assert one.pts == other.pts and all(np.array_equal(plane(one, i), plane(other, i)) for i in range(3))
    for index in range(2):
        one, other = (np.asarray(Image.open(folder / f"{index}.png"), int) for folder in (out, whole))
        assert np.ptp(one) > 20 and np.abs(one - other).max() <= 3  # other batches round otherwise
