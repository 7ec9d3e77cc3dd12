"""Trees of pictures and films: what becomes of each item, however many work on it and whoever of them dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batch_trees import done, files, film, halfway, holder, picture, row, start, until
from film_clips import frames_of
from PIL import Image

from fastcolor.batch import batch as fleet
from fastcolor.batch import ray as cluster
from fastcolor.batch.batch import Summary, batch
from fastcolor.batch.claims import claim
from fastcolor.batch.items import Item, Result
from fastcolor.batch.worker import Painter
from fastcolor.commands import cli
from fastcolor.options.batch import BatchOptions


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Six pictures, two films, a bad picture, a bad film and a text."""
    root = tmp_path / "in"
    for index in range(6):
        picture(root / f"p{index % 2}" / f"{index}.png", index)
    film(root / "a.mp4")
    film(root / "deep" / "b.avi", codec="mpeg4", time_base=Fraction(1001, 30000))
    (root / "bad.jpg").write_text("no picture")
    (root / "bad.mp4").write_text("no film")
    (root / "notes.txt").write_text("text")
    return root


def test_what_a_film_loses_is_told_of_in_a_batch_too(tmp_path: Path, net: str) -> None:
    src = film(tmp_path / "in" / "a.mkv", frames=3, codec="ffv1", size=(95, 63))
    done(src.parent, tmp_path / "out", net, log=tmp_path / "log")
    assert json.loads((tmp_path / "log").read_text())["warnings"] == [
        f"{src}: written as yuv444p, since libx264 at 95x63 takes no 4:2:0"
    ]


DONE = ["a.mp4", "deep/b.mkv", *sorted(f"p{index % 2}/{index}.png" for index in range(6))]


def test_a_tree_is_mirrored_and_what_exists_is_skipped(tree: Path, tmp_path: Path, net: str) -> None:
    out = tmp_path / "out"
    summary = done(tree, out, net)
    assert files(out) == DONE
    assert [summary.counts[kind, "coloured"] for kind in ("picture", "film")] == [6, 2]
    assert len(frames_of(out / "deep" / "b.mkv")) == 12
    pixels = np.asarray(Image.open(out / "p0" / "0.png").convert("RGB")).astype(int)
    assert pixels.shape == (48, 64, 3) and np.abs(pixels[..., 0] - pixels[..., 2]).max() > 5
    assert sorted(summary.failed)[0] == f"{tree}/bad.jpg: is not a picture in a known format"
    assert str(tree / "bad.mp4") in sorted(summary.failed)[1] and len(summary.failed) == 2
    assert "by their names: 1 (notes.txt)" in str(summary)
    before = {name: (out / name).stat() for name in DONE}
    (out / "p1" / "3.png").unlink()
    again = done(tree, out, net)
    assert row(str(again), "skipped (exist)") == [5, 2] and row(str(again), "coloured") == [1, 0]
    assert all((out / name).stat() == before[name] for name in DONE if name != "p1/3.png")
    assert row(str(done(tree, out, net, overwrite=True)), "coloured") == [6, 2]
    assert all((out / name).stat().st_ino != before[name].st_ino for name in DONE if name != "p1/3.png")


def test_the_command_ends_with_a_table_and_a_code(
    tree: Path, tmp_path: Path, net: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def code(*arguments: object) -> int:
        shared = ["batch", *map(str, arguments), "--weights", net, "--device", "cpu", "--engine", "torch"]
        with pytest.raises(SystemExit) as stop:
            cli.main(shared)
        return int(stop.value.code or 0)

    assert code(tree, tmp_path / "out", "--film-format", "mkv", "--format", "jpg") == 1
    table = capsys.readouterr().out
    assert row(table, "coloured") == [6, 2] and row(table, "failed") == [1, 1] and table.count("  failed: ") == 2
    assert {Path(name).suffix for name in files(tmp_path / "out")} == {".mkv", ".jpg"}
    assert code(tree / "p0", tmp_path / "two") == 0 and row(capsys.readouterr().out, "coloured") == [3, 0]
    whole = film(tmp_path / "cut" / "a.mkv", 60).read_bytes()
    (tmp_path / "cut" / "a.mkv").write_bytes(whole[: len(whole) // 2])
    assert code(tmp_path / "cut", tmp_path / "three") == 3
    assert f"damaged, what could be read is in {tmp_path}/three/a.mkv" in capsys.readouterr().out
    assert code(tree / "none", tmp_path / "out") == 2
    assert capsys.readouterr().err == f"fastcolor: {tree}/none: no such folder\n"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dst": "in"}, "another folder than the input"),
        ({"dst": "in/notes.txt"}, "must be a folder, got a file"),
        ({"src": "in/empty"}, "holds no pictures or films"),
        ({"film_format": "avi"}, r"film_format: must be one of \.m4v, .* got avi"),
        ({"format": "png", "src": "twins"}, r"a\.png: is the output for both"),
        ({"shard": "0/2"}, "shard: must be i/n with 1 <= i <= n, got '0/2'"),
        ({"workers": 2}, "workers: must be 1 or more, and needs --ray, got 2"),
        ({"ray": "local", "workers": 0}, "workers: must be 1 or more, and needs --ray, got 0"),
        ({"ray": "local", "device": "cuda:1"}, "device: with --ray must be auto, cpu or cuda.* got cuda:1"),
        ({"key_frames": ("{in}/p0",)}, "key_frames: .*p0 must hold folders named as the films, got none that is"),
        ({"saturation": 11.0}, "saturation: must lie in 0..10, got 11"),
    ],
)
def test_bad_input_is_refused_before_any_work(tree: Path, options: dict[str, Any], words: str) -> None:
    (tree / "empty").mkdir()
    for name in ("a.jpg", "a.tif"):
        picture(tree.parent / "twins" / name)
    given = {"src": "in", "dst": "out", "device": "cpu", **options}
    if "key_frames" in given:
        given["key_frames"] = tuple(one.replace("{in}", str(tree)) for one in given["key_frames"])
    folders = {name: tree.parent / given.pop(name) for name in ("src", "dst")}
    with pytest.raises(ValueError, match=words):
        batch(BatchOptions(**folders, **given))
    assert not (tree.parent / "out").exists()


def test_shards_are_the_whole(tree: Path, tmp_path: Path) -> None:
    options = BatchOptions(tree, tmp_path / "out")
    whole = [item.target for item in fleet._items(options, Summary())]
    parts = [[item.target for item in fleet._items(replace(options, shard=f"{i}/3"), Summary())] for i in (1, 2, 3)]
    assert sorted(path for part in parts for path in part) == sorted(whole) and len(whole) == 10
    assert [len(part) for part in parts] == [4, 3, 3]
    assert all(any(path.suffix in (".mp4", ".mkv") for path in part) for part in parts)  # three films, one each


@pytest.mark.parametrize("shards", [("1/2", "2/2"), ("1/1", "1/1")])
def test_two_processes_at_once_do_each_item_once(tmp_path: Path, net: str, shards: tuple[str, str]) -> None:
    src, out = tmp_path / "in", tmp_path / "out"
    for index in range(40):
        picture(src / f"{index}.png", index)
    film(src / "a.mp4"), film(src / "b.mkv")
    processes = [start(src, out, net, "--shard", shard) for shard in shards]
    tables = []
    for process in processes:
        table, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors
        tables.append(table)
    one, other = (row(table, "coloured") for table in tables)
    assert [a + b for a, b in zip(one, other, strict=True)] == [40, 2]
    if shards[0] == "1/2":
        assert one == other == [20, 1]
    assert len(files(out)) == 42  # and neither locks nor temporary files


def test_what_a_killed_process_had_in_hands_is_done_by_one_that_waits(tmp_path: Path, net: str) -> None:
    src, out = tmp_path / "in", tmp_path / "out"
    film(src / "a.mp4", 600, size=(160, 120))
    for index in range(4):
        picture(src / f"{index}.png", index)
    process = start(src, out, net)
    target = out / "a.mp4"
    until(lambda: halfway(target) and holder(target) == process.pid, process)
    process.send_signal(signal.SIGSTOP)  # so that it holds the film for certain until it dies
    part = (out / "a.mp4.part" / "000000.mp4").stat()
    lasted = time.monotonic()
    threading.Timer(2.0, process.kill).start()
    summary = done(src, out, net)
    assert time.monotonic() - lasted > 2 and process.wait(10) == -signal.SIGKILL
    assert row(str(summary), "coloured") == [4, 1] and not summary.failed
    assert part.st_size > 0 and len(frames_of(target)) == 600
    assert files(out) == ["0.png", "1.png", "2.png", "3.png", "a.mp4"]


def test_an_interrupt_keeps_what_is_done(tmp_path: Path, net: str) -> None:
    src, out = tmp_path / "in", tmp_path / "out"
    film(src / "b.mp4", 10)
    film(src / "a.mkv", 600, size=(160, 120))
    small = picture(src / "c.png")
    process = start(src, out, net)
    until(lambda: halfway(out / "a.mkv"), process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in errors
    assert "the same command once more goes on from there" in errors and errors.endswith("fastcolor: stopped\n")
    assert row(errors, "coloured") == [0, 0] and not list(out.rglob("*.lock"))
    assert (out / "a.mkv.part").is_dir() and not (out / "a.mkv").exists()
    small.unlink()
    assert row(str(done(src, out, net)), "coloured") == [0, 2]
    assert files(out) == ["a.mkv", "b.mp4"] and len(frames_of(out / "a.mkv")) == 600


def child(code: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(fleet.__file__).parents[2])}
    head = "import os; from pathlib import Path; from fastcolor.batch.claims import claim\n"
    return subprocess.Popen([sys.executable, "-c", head + code], env=environment, stdout=subprocess.PIPE, text=True)


def test_a_claim_is_one_process_s_at_a_time(tmp_path: Path) -> None:
    target, tally = tmp_path / "a.jpg", tmp_path / "tally"
    tally.write_text("0")
    code = f"""
import time
left = 25
while left:
    with claim(Path({str(target)!r}), "run") as held:
        if held:
            count = int(tally.read_text())
            with tally.open("r+") as file:  # in place: emptying a file first makes some file systems wait for the disk
                file.write(str(count + 1))
            left -= 1
    time.sleep(0 if held else 0.001)
"""
    processes = [child(f"tally = Path({str(tally)!r})\n" + code) for _ in range(4)]
    try:
        assert [process.wait(100) for process in processes] == [0] * 4
    finally:
        for process in processes:
            process.kill()
    assert tally.read_text() == "100" and files(tmp_path) == ["tally"]
    with claim(target, "run"), claim(target, "run") as second:
        assert second is None
        assert target.with_name(".a.jpg.lock").exists()


def test_an_item_that_kills_its_workers_is_given_up(tmp_path: Path, net: str) -> None:
    item = Item(picture(tmp_path / "a.png"), tmp_path / "out" / "a.png", "picture", None)
    painter = Painter(BatchOptions(tmp_path, tmp_path / "out", weights=net, device="cpu", engine="torch"), "run", 1)
    for deaths in range(3):
        code = f"""
with claim(Path({str(item.target)!r}), "run") as held:
    Path({str(item.target)!r}).with_name(f".a.png.{{os.getpid()}}.tmp").write_text("half")
    print(held.deaths, flush=True)
    os._exit(9)
"""
        process = child(code)
        assert process.communicate(timeout=60)[0] == f"{deaths}\n" and process.returncode == 9
        assert len(files(tmp_path / "out")) == 2  # the lock, and the last one's rubbish alone
    told = painter(item)
    assert told == Result("failed", f"{item.source}: given up, 3 workers died at it")
    assert files(tmp_path / "out") == []
    assert painter(item).status == "coloured" and painter(item).status == "elsewhere"


def test_a_lock_beside_a_finished_output_is_cleared(tmp_path: Path, net: str) -> None:
    picture(tmp_path / "in" / "a.png")
    target = picture(tmp_path / "out" / "a.png")
    assert child(f"with claim(Path({str(target)!r}), 'run'): os._exit(9)").wait(60) == 9
    assert files(tmp_path / "out") == [".a.png.lock", "a.png"]
    assert row(str(done(tmp_path / "in", tmp_path / "out", net)), "skipped (exist)") == [1, 0]
    assert files(tmp_path / "out") == ["a.png"]


def test_an_output_that_cannot_be_written_does_not_stop_the_others(tree: Path, tmp_path: Path, net: str) -> None:
    picture(tmp_path / "out" / "x.png").rename(tmp_path / "out" / "p0")  # a file where a folder must be
    summary = done(tree, tmp_path / "out", net)
    assert row(str(summary), "coloured") == [3, 2] and row(str(summary), "failed") == [4, 1]
    assert f"{tree}/p0/0.png: {tmp_path}/out/p0: file exists" in summary.failed


def test_the_deaths_of_another_run_do_not_count(tmp_path: Path) -> None:
    for run in ("one", "one", "two"):
        process = child(f"with claim(Path({str(tmp_path / 'a')!r}), {run!r}) as held: print(held.deaths); os._exit(0)")
        process.wait(60)
    with claim(tmp_path / "a", "two") as held:
        assert held is not None and held.deaths == 1


def test_workers_share_the_cores() -> None:
    def nodes(*shapes: tuple[int, int]) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": {"CPU": float(cpus), "GPU": float(gpus)}} for cpus, gpus in shapes]

    def shape(device: str, workers: int | None, *shapes: tuple[int, int]) -> tuple[int, int, int]:
        found = cluster.shape_of([*nodes(*shapes), {"Alive": False, "Resources": {"CPU": 64.0}}], device, workers)
        return found.workers, found.cores, found.gpus

    assert shape("auto", None, (4, 0), (2, 0)) == (6, 1, 0)
    assert shape("auto", 2, (4, 0), (4, 0)) == (2, 4, 0)
    assert shape("auto", 3, (4, 0), (4, 0)) == (3, 2, 0)
    assert shape("auto", None, (96, 8), (64, 0)) == (8, 12, 1)
    assert shape("cpu", None, (4, 8)) == (4, 1, 0)
    assert shape("cuda", 1, (16, 2), (8, 4)) == (1, 16, 1)
    for device, workers, words in (("cuda", None, "no GPU"), ("auto", 9, "has room for 8, got 9")):
        with pytest.raises(ValueError, match=words):
            shape(device, workers, (8, 0))
