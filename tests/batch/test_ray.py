"""A tree done by the workers of a real Ray cluster on this machine, where one is killed in the middle of a film."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from batch_trees import done, files, film, halfway, holder, picture, row, start, until
from film_clips import frames_of

import fastcolor
from fastcolor.batch import ray as on_ray
from fastcolor.batch.batch import batch
from fastcolor.models.named import members
from fastcolor.options.batch import BatchOptions


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(fastcolor.__file__).parents[1]))  # the workers' too
        patch.setenv("RAY_DISABLE_IMPORT_WARNING", "1")
        head = {"num_cpus": 2, "num_gpus": 0, "include_dashboard": False, "object_store_memory": 80 << 20}
        with pytest.MonkeyPatch.context() as elsewhere:  # as a cluster's other machines are
            elsewhere.chdir(tmp_path_factory.mktemp("elsewhere"))
            cluster = _begun(Cluster, head)
        yield cluster
        cluster.shutdown()


def _begun(kind: Any, head: dict[str, Any], tries: int = 3) -> Any:
    """A cluster. Ray gives up after 30 s, which a busy machine may need; what it began then ends with this process."""
    try:
        return kind(initialize_head=True, head_node_args=head)
    except Exception as error:
        if tries == 1 or "timed out during startup" not in str(error):
            raise
        return _begun(kind, head, tries - 1)


@pytest.fixture
def address(cluster: Any) -> str:
    return cluster.address


def workers_of(cluster: Any) -> list[int]:
    """All processes of a cluster's actors, fastcolor's and Ray's own."""
    raylet = cluster.head_node.all_processes["raylet"][0].process.pid
    names = {}
    for pid in Path(f"/proc/{raylet}/task/{raylet}/children").read_text().split():
        with contextlib.suppress(OSError):
            names[int(pid)] = Path(f"/proc/{pid}/cmdline").read_bytes()
    return [pid for pid, name in names.items() if name.startswith(b"ray::") and b"Agent" not in name]


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


def test_paths_hold_where_workers_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    options = BatchOptions(
        Path("in"), Path("out"), weights="a.safetensors*3 + default*0.1", hints="hints", chroma_to="colours",
        references=("0.5=one.png",), key_frames=("keys",),
    )  # fmt: skip
    found = on_ray._anywhere(options)
    assert (found.src, found.dst) == (tmp_path / "in", tmp_path / "out")
    assert members(found.weights) == [(f"{tmp_path}/a.safetensors", 3.0), ("default", 0.1)]
    assert (found.hints, found.chroma_to, found.chroma_from) == (f"{tmp_path}/hints", f"{tmp_path}/colours", None)
    assert (found.references, found.key_frames) == (((f"{tmp_path}/one.png", 0.5),), (f"{tmp_path}/keys",))


def test_what_a_killed_worker_had_finished_is_not_done_again(address: str, tmp_path: Path, net: str) -> None:
    src, out = tmp_path / "in", tmp_path / "out"
    for index in range(24):
        picture(src / f"{index:02}.png", index, scale=64 if index == 3 else 4)
    # The paths are from here, where the workers are not.
    relative = [os.path.relpath(path) for path in (src, out, net)]
    process = start(Path(relative[0]), Path(relative[1]), relative[2], "--ray", address, "--workers", "1")
    # Three of the first task's six are done, and the fourth is so large that it is seen at work.
    worker = until(lambda: (out / "02.png").exists() and holder(out / "03.png"), process)
    os.kill(worker, signal.SIGKILL)
    first = {name: (out / name).stat() for name in files(out) if not name.startswith(".")}
    table, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    assert all((out / name).stat() == status for name, status in first.items())
    assert first.keys() == {"00.png", "01.png", "02.png"}  # and their task is another worker's now
    assert row(table, "done meanwhile by another worker") == [3, 0]
    assert row(table, "coloured") == [21, 0] and files(out) == files(src)


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


def test_a_request_to_stop_is_the_program_s_own_to_answer(address: str) -> None:
    import ray

    def answer(*_: object) -> None:
        raise AssertionError("nobody asked")

    before = signal.signal(signal.SIGTERM, answer)
    try:
        on_ray._connect(address)
        assert signal.getsignal(signal.SIGTERM) is answer
    finally:
        ray.shutdown()
        signal.signal(signal.SIGTERM, before)


def test_all_workers_killed_at_once_are_replaced(cluster: Any, tree: Path, tmp_path: Path, net: str) -> None:
    out = tmp_path / "out"
    target = out / "films" / "long.mp4"
    (tree / "bad.jpg").unlink()
    process = start(tree, out, net, "--ray", cluster.address)
    until(lambda: halfway(target), process)
    killed = workers_of(cluster)
    assert holder(target) in killed
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    table, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors and not set(workers_of(cluster)) & set(killed)
    assert row(table, "failed") == [0, 0] and files(out) == files(tree)
    assert len(frames_of(target)) == 600


def test_dead_workers_that_cannot_come_back_end_the_run(
    cluster: Any, tree: Path, tmp_path: Path, net: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    class Other:  # here, since Ray then sends it along
        def ready(self) -> None:
            pass

    out = tmp_path / "out"
    target = out / "films" / "long.mp4"
    monkeypatch.setattr(on_ray, "_BEAT", 1.0)
    ray.init(cluster.address, log_to_driver=False)
    try:
        with ThreadPoolExecutor(1) as thread:
            run = thread.submit(done, tree, out, net, ray=cluster.address, workers=1)
            while not halfway(target):
                assert not run.done(), run.result()
                time.sleep(0.005)
            other = ray.remote(num_cpus=2)(Other).remote()  # another program's, which waits for the worker's cores
            worker = holder(target)
            assert worker in workers_of(cluster)
            monkeypatch.setattr(on_ray, "_SILENCE", 15.0)
            os.kill(worker, signal.SIGKILL)
            ray.get(other.ready.remote(), timeout=60)
            with pytest.raises(
                ValueError, match=r"^ray: no worker has started .* for 15 s; .* 0 cores and 0 GPUs free$"
            ):
                run.result(timeout=60)
    finally:
        ray.shutdown()
    assert not target.exists() and halfway(target)


def test_what_needs_no_worker_to_be_known_is_one_sentence(address: str, tree: Path, tmp_path: Path) -> None:
    def refused(words: str, kind: type[Exception] = ValueError, **options: object) -> None:
        with pytest.raises(kind, match=words):
            batch(BatchOptions(tree, tmp_path / "out", **{"ray": address, **options}))

    refused("ray: no cluster at 127.0.0.1:9 ", ray="127.0.0.1:9")
    refused("device: the cluster has no GPU, got cuda", device="cuda")
    refused("workers: the cluster has room for 2, got 3", workers=3)
    none = str(tmp_path / "none.safetensors")
    refused(r"weights: no such file: .*none\.safetensors", FileNotFoundError, weights=none, ray="127.0.0.1:9")
    assert not (tmp_path / "out").exists()


def test_what_no_worker_can_do_is_one_sentence(
    address: str, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []
    begin = on_ray._Hand.begin
    monkeypatch.setattr(on_ray._Hand, "begin", lambda hand, task: (given.append(hand.heard), begin(hand, task)))
    (weights := tmp_path / "bad.safetensors").write_bytes(b"no weights")
    with pytest.raises(ValueError, match=r"bad\.safetensors") as told:
        batch(BatchOptions(tree, tmp_path / "out", weights=str(weights), ray=address, workers=1))
    assert "\n" not in str(told.value) and "died" not in str(told.value)
    assert given and given[0]  # to a worker that had been heard of
    assert [name for name in files(tmp_path / "out") if not name.startswith(".")] == []
