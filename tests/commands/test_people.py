"""What a family, an amateur of film and an administrator do with the commands."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from film_clips import clip
from PIL import Image
from test_cli import fails, run

import fastcolor
from fastcolor.commands.stopping import code_of, stoppable

FAST = ("--device", "cpu", "--engine", "torch")


def film(path: Path, frames: int = 2, **options: tuple[int, int]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return clip(path, frames=frames, **options)


def gray(path: Path, shift: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.tile(np.arange(80 + shift, 144 + shift, dtype=np.uint8), (48, 1))).save(path)
    return path


def in_colour(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    Image.fromarray(pixels).save(path)
    return path


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_right_command_is_named(tmp_path: Path) -> None:
    moving = film(tmp_path / "films" / "a.mp4")
    fails(run("colorize", moving, "-o", tmp_path / "a.png"), f"{moving}: is a film; fastcolor video colours it")
    fails(
        run("colorize", moving.parent, "-o", tmp_path / "o"),
        "holds no pictures, but films; fastcolor batch colours both",
    )
    fails(run("colorise", moving), "got 'colorise'; did you mean colorize?")
    fails(run(moving, tmp_path / "o.mp4"), "; fastcolor video colours that")
    fails(run(moving.parent, tmp_path / "o"), "; fastcolor batch colours that")


def test_a_quoted_pattern_is_expanded(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.txt"):
        gray(tmp_path / "album" / "x.png").rename(tmp_path / "album" / name)
    result = run("colorize", tmp_path / "album" / "*.png", "-o", tmp_path / "out", *FAST)
    assert result.returncode == 0 and names(tmp_path / "out") == ["a.png", "b.png"], result.stderr
    fails(run("colorize", tmp_path / "album" / "*.tif", "-o", tmp_path / "o"), "no file fits this pattern")
    odd = gray(tmp_path / "album" / "[1].png")  # a file of that name is that file
    assert run("colorize", odd, "-o", tmp_path / "odd.png", *FAST).returncode == 0


def test_links_to_folders_are_followed_and_loops_end(tmp_path: Path) -> None:
    gray(tmp_path / "tree" / "own.png"), gray(tmp_path / "elsewhere" / "a.png"), gray(tmp_path / "elsewhere" / "b.png")
    for link, target in (("tree/linked", "../elsewhere"), ("tree/itself", "../tree"), ("elsewhere/back", "../tree")):
        (tmp_path / link).symlink_to(target)
    for command in ("colorize", "batch"):
        out = tmp_path / command
        arguments = [tmp_path / "tree", "-o", out] if command == "colorize" else [tmp_path / "tree", out]
        result = run(command, *arguments, *FAST)
        assert result.returncode == 0 and names(out) == ["linked/a.png", "linked/b.png", "own.png"], result.stdout


def test_results_that_lie_in_the_input_are_not_coloured_again(tmp_path: Path) -> None:
    album = gray(tmp_path / "album" / "a.png").parent
    assert run("colorize", album, "-o", album / "colour", *FAST).returncode == 0
    second = run("colorize", album, "-o", album / "again", *FAST)
    assert second.returncode == 0 and f"left out, results of an earlier run: {album}/colour" in second.stderr
    third = run("batch", album, tmp_path / "out", *FAST)
    assert third.returncode == 0 and third.stdout.count("left out, results of an earlier run") == 2
    assert names(tmp_path / "out") == ["a.png"] and "again/a.png" in names(album)
    named = run("colorize", album / "colour", "-o", tmp_path / "named", *FAST)  # asked for by its name
    assert named.returncode == 0 and names(tmp_path / "named") == ["a.png"]


def test_a_log_has_a_line_for_each_file(tmp_path: Path) -> None:
    gray(tmp_path / "in" / "a.png"), gray(tmp_path / "in" / "c.png")
    (tmp_path / "in" / "bad.jpg").write_text("no picture")
    gray(tmp_path / "out" / "c.png")
    clear = Image.new("LA", (64, 64), (100, 90))
    clear.save(tmp_path / "in" / "clear.png")
    run("colorize", tmp_path / "in", "-o", tmp_path / "out", "--format", "jpg", "--log", tmp_path / "log.jsonl", *FAST)
    run("batch", tmp_path / "in", tmp_path / "out", "--log", tmp_path / "log.jsonl", *FAST)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    found = {(Path(line["input"]).name, Path(line["output"]).name): line for line in lines}
    assert len(lines) == 8 and found["a.png", "a.jpg"]["status"] == "coloured" and not found["a.png", "a.jpg"]["error"]
    assert found["c.png", "c.png"]["status"] == "exists"
    assert found["bad.jpg", "bad.jpg"]["status"] == "failed" and "not a picture" in found["bad.jpg", "bad.jpg"]["error"]
    assert "cannot hold transparency" in found["clear.png", "clear.jpg"]["warnings"][0]
    assert all(line["seconds"] >= 0 and line["time"].endswith("+00:00") for line in lines)
    fails(
        run("colorize", tmp_path / "in", "-o", tmp_path / "o", "--log", tmp_path / "no" / "l", *FAST), "no/l: no such"
    )


@pytest.mark.skipif(os.name == "nt", reason="rights of another kind")
def test_a_kept_copy_has_the_rights_of_any_new_file(tmp_path: Path) -> None:
    source = in_colour(tmp_path / "in" / "a.png")
    in_colour(tmp_path / "in" / "b.png")
    source.chmod(0o444)
    before = os.umask(0o027)
    try:
        result = run("colorize", tmp_path / "in", "-o", tmp_path / "out", "--skip-colored", *FAST)
    finally:
        os.umask(before)
    assert "kept (in colour) 2" in result.stdout
    assert stat.S_IMODE((tmp_path / "out" / "a.png").stat().st_mode) == 0o640


def test_names_in_another_encoding_are_shown_and_end_nothing(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    gray(tmp_path / "x.png").rename(
        os.path.join(os.fsencode(tmp_path / "in"), b"caf\xe9.png").decode("utf-8", "surrogateescape")
    )
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict", "OMP_NUM_THREADS": "1"}
    single = os.path.join(tmp_path, "in", os.fsdecode(b"caf\xe9.png"))
    for arguments in (
        ["colorize", single, "-o", os.path.join(tmp_path, "out", os.fsdecode(b"caf\xe9.png"))],
        ["batch", str(tmp_path / "in"), str(tmp_path / "out2")],
    ):
        code = "from fastcolor.commands.cli import main; main()"
        command = [sys.executable, "-c", code, *arguments, *FAST]
        result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
        assert result.returncode == 0 and not result.stderr, result.stderr
        assert "caf\\udce9.png" in result.stdout or arguments[0] == "batch"
    assert os.listdir(os.fsencode(tmp_path / "out2")) == [b"caf\xe9.png"]


def test_long_names_are_names(tmp_path: Path) -> None:
    name = "\u5199" * 81 + ".jpg"  # 247 bytes
    gray(tmp_path / "in" / name)
    assert run("colorize", tmp_path / "in" / name, "-o", tmp_path / "one" / name, *FAST).returncode == 0
    assert run("batch", tmp_path / "in", tmp_path / "out", *FAST).returncode == 0
    assert names(tmp_path / "one") == names(tmp_path / "out") == [name]
    moving = film(tmp_path / "films" / ("c" * 247 + ".mp4"), frames=2)  # 251 bytes
    assert run("batch", moving.parent, tmp_path / "coloured", *FAST).returncode == 0
    assert names(tmp_path / "coloured") == [moving.name]


def _small_disk(tmp_path: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script of the shell where tmp_path/disk is a file system of 96 KiB."""
    unshare = shutil.which("unshare")
    inside = f"mount -t tmpfs -o size=96k none {tmp_path}/disk && {script}"
    if unshare is None:
        pytest.skip("no unshare here")
    (tmp_path / "disk").mkdir()
    probe = subprocess.run([unshare, "-rm", "sh", "-c", f"mount -t tmpfs none {tmp_path}/disk"], capture_output=True)
    if probe.returncode:
        pytest.skip("no right to mount a small disk here")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(fastcolor.__file__).parents[1])}
    command = [unshare, "-rm", "sh", "-c", inside]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200)


@pytest.mark.parametrize("command", ["colorize", "batch"])
def test_a_full_disk_stops_a_folder_run_at_once(tmp_path: Path, command: str) -> None:
    random = np.random.default_rng(0)
    for index in range(6):
        path = tmp_path / "in" / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 255, (160, 160), dtype=np.uint8)).save(path)
    out = f"{tmp_path}/disk/out"
    to = f"-o {out}" if command == "colorize" else out
    program = f"{sys.executable} -m fastcolor {command} {tmp_path}/in {to} {' '.join(FAST)}"
    result = _small_disk(tmp_path, f"{program}; echo code $?; ls -A {out}")
    assert "code 4" in result.stdout, result
    assert f"fastcolor: {out}: cannot be written (no space left on device); " in result.stderr
    assert result.stderr.count("cannot be written (no space") <= 2  # not once a file
    left = result.stdout.split("code 4\n")[1].split()
    assert 0 < len(left) < 6 and not [name for name in left if name.endswith(".tmp")]


def test_a_folder_that_cannot_be_written_stops_a_run_before_it_begins(tmp_path: Path) -> None:
    gray(tmp_path / "in" / "a.png")
    program = f"{sys.executable} -m fastcolor"
    script = (
        f"mount -o remount,ro {tmp_path}/disk; {program} colorize {tmp_path}/in -o {tmp_path}/disk/out; echo code $?; "
    )
    result = _small_disk(tmp_path, f"{script}{program} batch {tmp_path}/in {tmp_path}/disk/out; echo code $?")
    assert result.stdout.count("code 4") == 2, result
    assert len(result.stderr.splitlines()) == 2 and "disk/out: cannot be written (" in result.stderr


def test_a_request_to_stop_ends_as_ctrl_c_does(tmp_path: Path) -> None:
    src = film(tmp_path / "in" / "a.mkv", frames=900, size=(160, 120))
    for arguments, program in (
        (["batch", str(tmp_path / "in"), str(tmp_path / "out")], "fastcolor"),
        ([str(src), str(tmp_path / "b.mkv")], "fastcolor-video"),
    ):
        main = "main" if program == "fastcolor" else "main_video"
        command = [
            sys.executable,
            "-c",
            f"from fastcolor.__main__ import {main}; {main}()",
            *arguments,
            *FAST,
            "--fast",
        ]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 200
        while process.poll() is None and not list(tmp_path.rglob("000000.safetensors")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=100)
        assert process.returncode == 143 and errors.endswith(f"{program}: stopped\n"), errors
        assert "frames are kept in" in errors and "--resume" in errors
        if program == "fastcolor":
            assert "the same command once more goes on from there" in errors and "coloured" in errors
        for path in tmp_path.rglob("000000.safetensors"):
            path.unlink()


def test_an_interrupt_of_a_library_s_own_ends_as_what_was_asked_for() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)  # as a process begins: Ray in this one leaves another
    try:
        with pytest.raises(KeyboardInterrupt), stoppable("fastcolor"):
            try:
                signal.raise_signal(signal.SIGTERM)
            except KeyboardInterrupt:
                raise KeyboardInterrupt from None  # as Ray does where it is waited for
        assert code_of(KeyboardInterrupt()) == 143
        with stoppable("fastcolor"):
            pass
        assert code_of(KeyboardInterrupt()) == 130
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("error", ["EOPNOTSUPP", "ENOLCK"])
def test_a_file_system_without_locks(tmp_path: Path, error: str) -> None:
    src = film(tmp_path / "in" / "a.mp4", frames=4)
    code = (
        "import errno, fcntl, os\n"
        f"def flock(*_): raise OSError(errno.{error}, os.strerror(errno.{error}))\n"
        "fcntl.flock = flock\n"
        "from fastcolor.__main__ import main, main_video\n"
    )
    for call, out in (
        ("main_video", [str(src), str(tmp_path / "b.mp4")]),
        ("main", ["batch", str(tmp_path / "in"), str(tmp_path / "out")]),
    ):
        command = [sys.executable, "-c", f"{code}{call}()", *out, *FAST, "--fast"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=200)
        assert result.returncode == 0, result.stderr
        assert "no file locks there" in result.stderr
    assert names(tmp_path / "out") == ["a.mp4"] and (tmp_path / "b.mp4").exists() and not list(tmp_path.glob("*.part"))
