"""A tree done by the workers of a real Ray cluster on this machine, where one is killed in the middle of a film."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from batch_trees import done, files, film, halfway, holder, picture, row, start, until
from film_clips import frames_of

import fastcolor
from fastcolor.batch.batch import batch
from fastcolor.options.batch import BatchOptions


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(fastcolor.__file__).parents[1]))  # the workers' too
        patch.setenv("RAY_DISABLE_IMPORT_WARNING", "1")
        head = {"num_cpus": 2, "num_gpus": 0, "include_dashboard": False, "object_store_memory": 80 << 20}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        yield cluster.address
        cluster.shutdown()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A long film, a short one, pictures, a bad picture."""
    root = tmp_path / "in"
    film(root / "films" / "long.mp4", 600, size=(160, 120))
    film(root / "films" / "short.mkv")
    for index in range(12):
        picture(root / f"{index}.png", index)
    (root / "bad.jpg").write_text("no picture")
    return root


def test_a_killed_worker_s_film_is_done_by_another(address: str, tree: Path, tmp_path: Path, net: str) -> None:
    out = tmp_path / "out"
    target = out / "films" / "long.mp4"
    process = start(tree, out, net, "--ray", address)
    until(lambda: halfway(target), process)
    worker = until(lambda: holder(target), process)
    assert worker != process.pid
    os.kill(worker, signal.SIGKILL)
    other = until(lambda: holder(target) not in (None, worker) and holder(target), process)
    assert target.with_name(".long.mp4.lock").read_text().split()[1] == "2"  # the second at this item
    assert other != process.pid and halfway(target)  # and it goes on with what the first one left
    table, errors = process.communicate(timeout=200)
    assert process.returncode == 1, errors
    assert row(table, "coloured") == [12, 2] and row(table, "failed") == [1, 0]
    assert f"  failed: {tree}/bad.jpg: is not a picture in a known format" in table
    assert files(out) == sorted([*(f"{index}.png" for index in range(12)), "films/long.mp4", "films/short.mkv"])
    assert len(frames_of(target)) == 600 and len(frames_of(out / "films" / "short.mkv")) == 12
    (tree / "bad.jpg").unlink()
    again = batch(BatchOptions(tree, out, ray="127.0.0.1:9"))  # nothing is left to do, and no cluster needed for it
    assert row(str(again), "skipped (exist)") == [12, 2]


def test_what_a_killed_worker_had_finished_is_not_done_again(address: str, tmp_path: Path, net: str) -> None:
    src, out = tmp_path / "in", tmp_path / "out"
    for index in range(40):
        picture(src / f"{index:02}.png", index, scale=16)
    process = start(src, out, net, "--ray", address, "--workers", "1")
    until(lambda: (out / "02.png").exists(), process)  # the third of the first task's ten
    worker = until(lambda: next((pid for name in os.listdir(src) if (pid := holder(out / name))), None), process)
    os.kill(worker, signal.SIGKILL)
    first = {name: (out / name).stat() for name in files(out) if not name.startswith(".")}
    table, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    assert all((out / name).stat() == status for name, status in first.items())
    again = len(first) % 10  # of a task that was not finished, and is another worker's now
    assert row(table, "done meanwhile by another worker") == [again, 0] and again
    assert row(table, "coloured") == [40 - again, 0] and files(out) == files(src)


def test_an_interrupt_stops_the_cluster_s_workers_too(address: str, tree: Path, tmp_path: Path, net: str) -> None:
    out = tmp_path / "out"
    target = out / "films" / "long.mp4"
    process = start(tree, out, net, "--ray", address, "--workers", "1")
    until(lambda: halfway(target), process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 130 and "Traceback" not in errors, errors
    assert "the same command once more goes on from there" in errors and not target.exists()
    assert row(str(done(tree, out, net)), "coloured") == [12, 2]  # nobody holds a thing any more
    assert len(frames_of(target)) == 600


def test_what_no_worker_can_do_is_one_sentence(address: str, tree: Path, tmp_path: Path) -> None:
    def refused(words: str, **options: object) -> None:
        with pytest.raises(ValueError, match=words):
            batch(BatchOptions(tree, tmp_path / "out", **{"ray": address, **options}))

    refused("ray: no cluster at 127.0.0.1:9 ", ray="127.0.0.1:9")
    refused("device: the cluster has no GPU, got cuda", device="cuda")
    refused("workers: the cluster has room for 2, got 3", workers=3)
    refused("weights: no such file: .*none.safetensors", weights=str(tmp_path / "none.safetensors"), workers=1)
    assert not (tmp_path / "out").exists()
