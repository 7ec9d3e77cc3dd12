"""The benchmarks of films run the pieces of the film job, one after the other, and the job itself in several ways."""

from __future__ import annotations

from pathlib import Path

import pytest
from film_clips import random_net

from bench.bench_film_scaling import by_painters
from bench.films import film_stages, make_film
from fastcolor import Colorizer
from fastcolor.film import job


def test_every_stage_of_a_film_costs_something(tmp_path: Path) -> None:
    make_film(tmp_path / "film.mp4", 96, 64, 12)
    stages = film_stages(Colorizer(random_net(tmp_path), device="cpu", engine="torch"), tmp_path / "film.mp4")
    names = ["decode", "input", "motion", "network and decode", "smoothing", "paint", "encode", "encode, as usual"]
    assert list(stages) == names and all(ms > 0 for ms in stages.values())


def test_as_many_batches_as_are_asked_for_go_through_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    in_order = job.in_order
    monkeypatch.setattr(
        job, "in_order", lambda items, work, workers: asked.append(workers) or in_order(items, work, workers)
    )
    make_film(tmp_path / "film.mp4", 96, 64, 12)
    found = by_painters(tmp_path / "film.mp4", tmp_path / "out.mp4", "onnx", 1)
    assert asked == 2 * [1, 2, 4] and all(one["cpu_ms"] > 0 and one["fps"] > 0 for one in found.values())
