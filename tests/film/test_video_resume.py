"""A film that was killed, cancelled or out of disk goes on where it stopped, and comes out as if undisturbed."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from film_clips import clip, frames_of, in_process, packets_of, plane

import fastcolor
from fastcolor import atomic
from fastcolor.atomic import write_bytes
from fastcolor.film import resume
from fastcolor.film.job import FilmJob
from fastcolor.film.probe import Film


@pytest.fixture(scope="session")
def long_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four parts and a bit, frame rate varying, with sound."""
    path = tmp_path_factory.mktemp("film") / "long.mp4"
    pts = np.cumsum(np.random.default_rng(0).integers(500, 2000, 1000)).tolist()
    return clip(path, frames=1000, pts=pts, audio=("aac",), options={"preset": "ultrafast"})


def start(src: Path, dst: Path, net: str, options: str = "") -> subprocess.Popen:
    return in_process(f"import fastcolor; fastcolor.video({str(src)!r}, {str(dst)!r}, weights={net!r}{options})")


def test_a_film_is_on_the_disk_before_its_parts_are_cleared_away(
    tmp_path: Path, net: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forced: list[int] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: (forced.append(os.fstat(number).st_ino), fsync(number))[1])
    src, dst = clip(tmp_path / "a.mkv", frames=2), tmp_path / "b.mkv"
    fastcolor.video(src, dst, weights=net, device="cpu", engine="torch", fast=True)
    assert dst.stat().st_ino in forced and not dst.with_name("b.mkv.part").exists()


def test_an_unfinished_run_is_told_of_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.mkv").write_text("no film")
    (tmp_path / "b.mkv.part").mkdir()
    with pytest.raises(FileExistsError, match=r"b\.mkv\.part holds an unfinished run; --resume"):
        fastcolor.video(tmp_path / "a.mkv", tmp_path / "b.mkv")


def finished(dst: Path) -> list[str]:
    return sorted(path.name for path in dst.with_name(f"{dst.name}.part").glob("0*.safetensors"))


def stop_after(process: subprocess.Popen, dst: Path, count: int, how: int) -> None:
    """Send a signal once some parts are finished."""
    deadline = time.monotonic() + 250
    while len(finished(dst)) < count:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(how)
    process.wait(60)


def same_film(left: Path, right: Path) -> None:
    """Every stream alike in times and content; the pictures by what they show."""
    a, b = packets_of(left), packets_of(right)
    assert [[at for at, _ in stream] for stream in a.values()] == [[at for at, _ in stream] for stream in b.values()]
    assert [content for _, content in a[1]] == [content for _, content in b[1]]
    for one, other in zip(frames_of(left), frames_of(right), strict=True):
        assert one.pts == other.pts
        assert all(np.array_equal(plane(one, index), plane(other, index)) for index in range(3))


@pytest.mark.parametrize(
    ("ending", "temporal", "kills"), [(".mp4", "fast", (1, 3)), (".mkv", "flow", (2,)), (".mp4", "off", (1,))]
)
def test_killed_and_resumed_is_the_film_undisturbed(
    net: str, long_film: Path, tmp_path: Path, ending: str, temporal: str, kills: tuple[int, ...]
):
    whole, dst = tmp_path / f"whole{ending}", tmp_path / f"killed{ending}"
    options = f", temporal={temporal!r}, adaptive='on', lossless=True, resume=True"
    assert start(long_film, whole, net, options).wait(120) == 0
    for count in kills:
        stop_after(start(long_film, dst, net, options), dst, count, signal.SIGKILL)
        assert not dst.exists() and len(finished(dst)) >= count
    kept = len(finished(dst))
    process = start(long_film, dst, net, options)
    assert process.wait(120) == 0, process.stderr.read()
    assert kept < 5 and not dst.with_name(f"{dst.name}.part").exists()
    same_film(whole, dst)
    assert len(packets_of(dst)[0]) == 1000
    if ending == ".mp4":
        assert [frame.pts for frame in frames_of(dst)] == [frame.pts for frame in frames_of(long_film)]


def test_an_interrupt_keeps_the_finished_parts_and_says_so(net: str, long_film: Path, tmp_path: Path):
    dst = tmp_path / "out" / "c.mp4"
    process = start(long_film, dst, net)
    stop_after(process, dst, 1, signal.SIGINT)
    errors = process.stderr.read()
    assert process.returncode != 0 and "KeyboardInterrupt" in errors
    assert f"240 frames are kept in {dst}.part; --resume" in errors
    assert not dst.exists() and finished(dst)
    # The parts are films that play.
    assert len(frames_of(dst.with_name("c.mp4.part") / "000000.mp4")) == 240
    # They are not lost by oversight.
    with pytest.raises(FileExistsError, match=r"c\.mp4\.part holds an unfinished run; --resume"):
        fastcolor.video(long_film, dst, weights=net)
    report = fastcolor.video(long_film, dst, weights=net, resume=True)
    assert report.frames == 1000 and len(packets_of(dst)[0]) == 1000
    assert [path.name for path in dst.parent.iterdir()] == ["c.mp4"]


def test_the_command_line_ends_with_130_and_two_sentences(net: str, long_film: Path, tmp_path: Path):
    dst = tmp_path / "c.mp4"
    arguments = [str(long_film), str(dst), "--weights", net, "--engine", "torch"]
    process = in_process(f"from fastcolor.commands import cli; cli.main_video({arguments!r})")
    stop_after(process, dst, 1, signal.SIGINT)
    assert process.returncode == 130
    kept, stopped = process.stderr.read().strip().splitlines()
    assert "frames are kept in" in kept and stopped == "fastcolor-video: stopped"


def test_other_peoples_files_stay(net: str, tmp_path: Path):
    src = clip(tmp_path / "gray.mp4", frames=5)
    folder = tmp_path / "c.mp4.part"
    folder.mkdir()
    (folder / "holiday.jpg").write_bytes(b"mine")
    fastcolor.video(src, tmp_path / "c.mp4", weights=net, overwrite=True)
    assert [path.name for path in folder.iterdir()] == ["holiday.jpg"] and len(frames_of(tmp_path / "c.mp4")) == 5


def test_an_early_interrupt_leaves_nothing(net: str, tmp_path: Path):
    src = clip(tmp_path / "gray.mp4", size=(640, 480), frames=200, options={"preset": "ultrafast"})
    dst = tmp_path / "out" / "c.mp4"
    process = start(src, dst, net)
    deadline = time.monotonic() + 60
    while not (dst.parent / "c.mp4.part" / "job.json").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.wait(60)
    assert process.returncode != 0 and list(dst.parent.iterdir()) == []


@pytest.mark.parametrize("done", [0, 1])
def test_an_interrupt_before_the_first_frame_leaves_what_is_done(
    done: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dst, written = tmp_path / "out" / "c.mkv", []
    if done:
        parts = resume.Parts(dst, {}, resume=False, overwrite=False)
        parts.next().write_bytes(b"a part")
        parts.add(240, 0, {})
        parts.close()

    def interrupted(path: Path, content: bytes, *, durable: bool = False) -> None:
        write_bytes(path, content, durable=durable)
        written.append(path.name)
        raise KeyboardInterrupt

    monkeypatch.setattr(resume, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        resume.Parts(dst, {}, resume=True, overwrite=False)
    left = sorted(path.name for path in dst.parent.rglob("*") if path.is_file())
    assert written == ["job.json"]
    assert left == (["000000.mkv", "000000.safetensors", "job.json"] if done else [])
    assert dst.with_name("c.mkv.part").exists() == bool(done)
    monkeypatch.setattr(resume.Parts, "_finished", lambda self: interrupted(tmp_path / "read", b""))
    with pytest.raises(KeyboardInterrupt):  # before it is known what there is
        resume.Parts(dst, {}, resume=True, overwrite=False)
    assert sorted(path.name for path in dst.parent.rglob("*") if path.is_file()) == left


def test_parts_that_another_process_has_or_nobody_can_read_are_let_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dst = tmp_path / "c.mkv"
    parts = resume.Parts(dst, {}, resume=False, overwrite=False)
    parts.next().write_bytes(b"a part")
    parts.add(240, 0, {})

    def interrupted(*_: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(resume, "locked", interrupted)
        resume.Parts(dst, {}, resume=True, overwrite=False)
    with pytest.raises(OSError, match="another process works in"):
        resume.Parts(dst, {}, resume=True, overwrite=False)
    free: list[object] = []
    with monkeypatch.context() as patch:
        unlink = Path.unlink
        patch.setattr(Path, "unlink", lambda path: [free.append(atomic.locked(path)), unlink(path)])
        parts.close()
    assert free == [None]  # what is removed is still ours, and not of one who came after us
    record = parts.folder / "000000.safetensors"
    record.unlink()
    record.mkdir()
    with pytest.raises(OSError, match=f"cannot write {dst}: cannot read {record}: "):
        resume.Parts(dst, {}, resume=True, overwrite=False)
    assert {path.name for path in parts.folder.iterdir()} == {"000000.mkv", record.name, "job.json"}


@pytest.fixture(scope="module")
def killed(net: str, long_film: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The parts that a killed run of the long film left, two at least."""
    dst = tmp_path_factory.mktemp("killed") / "colour.mp4"
    stop_after(start(long_film, dst, net), dst, 2, signal.SIGKILL)
    return dst.with_name("colour.mp4.part")


def test_what_changed_is_named_and_nothing_is_touched(net: str, killed: Path, long_film: Path, tmp_path: Path):
    src, dst = tmp_path / "film.mp4", tmp_path / "colour.mp4"
    src.write_bytes(long_film.read_bytes())
    folder = shutil.copytree(killed, tmp_path / killed.name)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def refused(words: str, **options: object) -> None:
        with pytest.raises(ValueError, match=words):
            fastcolor.video(src, dst, **{"weights": net, "resume": True, **options})
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before

    refused(r"option saturation \(1\.0, now 1\.5\)", saturation=1.5)
    refused(r"option crf \(None, now 30\), option temporal|option temporal .*option crf", crf=30, temporal="off")
    other = tmp_path / "other.safetensors"
    data = bytearray(Path(net).read_bytes())
    data[-1] ^= 1
    other.write_bytes(data)
    refused("weights .*other.safetensors", weights=str(other))
    data = bytearray(src.read_bytes())
    data[len(data) // 2] ^= 1
    src.write_bytes(data)
    refused(r"input .*film\.mp4")
    data[len(data) // 2] ^= 1  # the first content again, under another name: that is the same film
    moved = tmp_path / "moved.mp4"
    moved.write_bytes(data)
    again = tmp_path / "again"
    shutil.copytree(folder, again / folder.name)
    assert fastcolor.video(moved, again / dst.name, weights=net, resume=True).frames == 1000
    # Starting anew is possible, and clears the old parts away.
    report = fastcolor.video(src, dst, weights=net, overwrite=True, start=1.0, end=2.0)
    assert report.frames == len(packets_of(dst)[0]) and not folder.exists()


def test_one_process_at_a_time(net: str, long_film: Path, tmp_path: Path):
    dst = tmp_path / "colour.mp4"
    process = start(long_film, dst, net)
    deadline = time.monotonic() + 60
    while not finished(dst):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(OSError, match="another process works in"):
            fastcolor.video(long_film, dst, weights=net, resume=True)
    finally:
        process.send_signal(signal.SIGCONT)
    assert process.wait(120) == 0 and len(packets_of(dst)[0]) == 1000


def test_killed_while_joining(net: str, long_film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """All is painted, only the name is missing: nothing is painted again."""
    dst = tmp_path / "colour.mp4"
    code = (
        "import fastcolor, os; from fastcolor.film import job; job.join = lambda *a, **k: os.kill(os.getpid(), 9); "
        f"fastcolor.video({str(long_film)!r}, {str(dst)!r}, weights={net!r})"
    )
    assert in_process(code).wait(120) == -signal.SIGKILL
    assert len(finished(dst)) == 5 and not dst.exists()
    monkeypatch.setattr(FilmJob, "_paint_parts", lambda *_: pytest.fail("painted again"))
    report = fastcolor.video(long_film, dst, weights=net, resume=True)
    assert report.frames == 1000 and len(packets_of(dst)[0]) == 1000


@pytest.mark.parametrize("fails", [False, True])
def test_the_film_is_opened_for_joining_while_its_end_is_painted(
    net: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    """By the thread that has read all; where that fails joining opens it. Nothing stays open."""
    src = clip(tmp_path / "gray.mp4", frames=40, audio=("aac",))
    opened, containers, by = Film.opened, [], []

    @contextmanager
    def watched(film: Film, *given: object) -> Iterator[object]:
        by.append(threading.current_thread().name)
        if fails and by[-1] == "fastcolor-decode" and by.count("fastcolor-decode") == 2:
            by.append("failed")
            raise ValueError("gray.mp4 is not a film that can be read")
        with opened(film, *given) as container:
            containers.append(container)
            yield container
        assert containers.pop() is container

    monkeypatch.setattr(Film, "opened", watched)
    report = fastcolor.video(src, tmp_path / "colour.mp4", weights=net)
    assert report.frames == 40 and report.copied == 1 and len(packets_of(report.output)) == 2
    assert by.count("fastcolor-decode") == 2 and not containers
    assert (by[-1], by.count("failed")) == (("MainThread", 1) if fails else ("fastcolor-decode", 0))


def limit_to(size: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_a_full_disk_ends_cleanly(net: str, tmp_path: Path):
    """The encoding thread fails while the others work: no deadlock, one sentence, nothing left."""
    src = clip(tmp_path / "gray.mp4", size=(320, 240), frames=120)
    dst = tmp_path / "out" / "c.mp4"
    code = f"import fastcolor; fastcolor.video({str(src)!r}, {str(dst)!r}, weights={net!r}, lossless=True)"
    process = in_process(code, preexec_fn=limit_to(100_000))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"OSError: cannot write {dst}: File too large" in errors
    assert list(dst.parent.iterdir()) == []


def test_a_disk_that_fills_up_later_keeps_the_finished_parts(net: str, long_film: Path, tmp_path: Path):
    """The join does not fit, the parts do."""
    dst = tmp_path / "c.mp4"
    code = f"import fastcolor; fastcolor.video({str(long_film)!r}, {str(dst)!r}, weights={net!r}, temporal='off')"
    most = 2 * max(p.stat().st_size for p in [long_film]) // 5
    process = in_process(code, preexec_fn=limit_to(most))
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 1 and f"OSError: cannot write {dst}: File too large" in errors
    assert not dst.exists() and finished(dst) and "--resume" in errors
    report = fastcolor.video(long_film, dst, weights=net, temporal="off", resume=True)
    assert report.frames == 1000


def test_a_damaged_record_costs_its_part_only(net: str, killed: Path, long_film: Path, tmp_path: Path):
    dst = tmp_path / "colour.mp4"
    folder = shutil.copytree(killed, tmp_path / killed.name)
    os.truncate(folder / "000001.safetensors", 5)
    assert fastcolor.video(long_film, dst, weights=net, resume=True).frames == 1000


def test_a_part_that_is_gone_is_painted_again_and_not_left_out(tmp_path: Path) -> None:
    dst = tmp_path / "c.mkv"
    parts = resume.Parts(dst, {}, resume=False, overwrite=False)
    for frames in (240, 10):
        parts.next().write_bytes(b"a part")
        parts.add(frames, 0, {})
    parts.end(["it was damaged"])
    parts.close()

    def ended() -> list[str] | None:
        again = resume.Parts(dst, {}, resume=True, overwrite=False)
        again.close()
        return again.ended

    assert ended() == ["it was damaged"]
    (dst.with_name("c.mkv.part") / "000001.safetensors").unlink()
    assert ended() is None


def test_fingerprints_see_size_and_content(tmp_path: Path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"x" * 3_000_000)
    b.write_bytes(b"x" * 2_000_000 + b"y" + b"x" * 999_999)
    assert resume.fingerprint(a) != resume.fingerprint(b)
    b.write_bytes(a.read_bytes())
    assert resume.fingerprint(a) == resume.fingerprint(b)
