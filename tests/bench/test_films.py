"""The benchmark of films runs the pieces of the film job, one after the other."""

from __future__ import annotations

from pathlib import Path

from film_clips import random_net

from bench.films import film_stages, make_film
from fastcolor import Colorizer


def test_every_stage_of_a_film_costs_something(tmp_path: Path) -> None:
    make_film(tmp_path / "film.mp4", 96, 64, 12)
    stages = film_stages(Colorizer(random_net(tmp_path), device="cpu", engine="torch"), tmp_path / "film.mp4")
    names = ["decode", "input", "motion", "network and decode", "smoothing", "paint", "encode", "encode, as usual"]
    assert list(stages) == names and all(ms > 0 for ms in stages.values())
