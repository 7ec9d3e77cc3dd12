"""The two commands as a person types them: files, folders, exit codes, and one sentence for what is wrong."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fastcolor
from fastcolor.commands import cli
from fastcolor.commands.stopping import Terminated, stoppable


def run(*arguments: object, program: str = "main") -> subprocess.CompletedProcess[str]:
    code = f"from fastcolor.commands.cli import {program}; {program}()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two good pictures and a bad one, in a tree."""
    root = tmp_path / "in"
    for name in ("a.png", "deep/b.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.tile(np.arange(80, 176, dtype=np.uint8), (64, 1))).save(root / name)
    (root / "bad.jpg").write_text("no picture")
    return root


def fails(result: subprocess.CompletedProcess[str], words: str, code: int = 2) -> None:
    assert result.returncode == code, result.stderr
    assert words in result.stderr, result.stderr
    assert "Traceback" not in result.stderr and len(result.stderr.strip().splitlines()) <= 3


Command = Callable[[Sequence[str]], None]


def told(capsys: pytest.CaptureFixture[str], command: Command, *arguments: object) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of a command run within this process."""
    with pytest.raises(SystemExit) as stop, warnings.catch_warnings():  # the commands turn warnings off
        command([str(argument) for argument in arguments])
    output = capsys.readouterr()
    return int(stop.value.code or 0), output.out, output.err


def test_one_picture(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "colour.png"
    result = run("colorize", folder / "a.png", "-o", out)
    assert result.returncode == 0 and result.stdout.strip() == str(out) and not result.stderr
    image = Image.open(out)
    assert image.size == (96, 64) and image.mode == "RGB"
    fails(run("colorize", folder / "a.png", "-o", out), "exists already; --overwrite replaces it")
    compared = run("colorize", folder / "a.png", "-o", out, "--overwrite", "--compare", "--saturation", "0.5")
    assert compared.returncode == 0 and Image.open(out).size == (192, 64)


def test_a_folder_is_mirrored_goes_on_after_a_bad_file_and_skips_what_exists(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run("colorize", folder, "-o", out)
    assert result.returncode == 1 and "coloured 2, skipped (exist) 0, failed 1" in result.stdout
    assert "bad.jpg: is not a picture in a known format" in result.stdout
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*.*")) == ["a.png", "deep/b.jpg"]
    before = (out / "a.png").stat().st_mtime_ns
    again = run("colorize", folder, "-o", out)
    assert "coloured 0, skipped (exist) 2, failed 1" in again.stdout
    assert (out / "a.png").stat().st_mtime_ns == before


def test_formats_and_shards(folder: Path, tmp_path: Path) -> None:
    (folder / "bad.jpg").unlink()
    for share in ("1/2", "2/2"):
        assert run("colorize", folder, "-o", tmp_path / "out", "--format", "webp", "--shard", share).returncode == 0
    assert sorted(p.name for p in (tmp_path / "out").rglob("*.*")) == ["a.webp", "b.webp"]
    fails(run("colorize", folder, "-o", tmp_path / "x", "--shard", "3/2"), "shard: must be i/n with 1 <= i <= n")


def test_bad_input_is_one_sentence_and_leaves_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, a = tmp_path / "o.png", folder / "a.png"
    (tmp_path / "empty").mkdir()
    (tmp_path / "plain").write_text("")
    for arguments, words in [
        (["colorize", tmp_path / "no.jpg", "-o", out], "no.jpg: no such file"),
        (["colorize", folder / "bad.jpg", "-o", out], "bad.jpg: is not a picture"),
        (["colorize", a, "-o", tmp_path / "o.txt"], "must end in one of"),
        (["colorize", a, "-o", out, "--weights", "defalt"], "did you mean 'default'?"),
        (["colorize", a, "-o", out, "--weights", folder / "bad.jpg"], "is not a safetensors file"),
        (["colorize", a, "-o", out, "--device", "tpu"], "device: must be auto, cpu, cuda or cuda:N, got 'tpu'"),
        (["colorize", a, "-o", out, "--saturation", "-2"], "saturation: must lie in 0..10, got -2"),
        (["colorize", a, "-o", out, "--devise", "cpu"], "--device"),
        (["colorize", a, "-o", a], "input and output are the same file"),
        (["colorize", tmp_path / "empty", "-o", tmp_path / "o"], "holds no pictures"),
        (["colorize", a, "-o", tmp_path / "plain" / "o.png"], "cannot be written"),
        (["colorise"], "colorize"),
        (["train", "--data", tmp_path / "no", "--out", tmp_path / "r"], "data: no such file or folder"),
        (["evaluate", "default", tmp_path / "empty"], "no picture"),
        (["video", tmp_path / "no.mp4", tmp_path / "o.mp4"], "no.mp4"),
    ]:
        code, _, errors = told(capsys, cli.main, *arguments)
        assert code == 2 and words in errors and len(errors.strip().splitlines()) <= 3, errors
        assert not out.exists() and not list(tmp_path.glob(".*")) and not (tmp_path / "o.mp4").exists()


def test_what_is_typed_wrongly_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command, arguments, words in [
        (
            cli.main,
            "colorize a.png -o b.png --temperature abc",
            "fastcolor: --temperature: must be a number, got 'abc'",
        ),
        (cli.main, "colorize a.png -o b.png --saturation x", "fastcolor: --saturation: must be a number, got 'x' (see"),
        (cli.main, "colorize a.png", "fastcolor: -o/--output is missing: a picture's name for one picture, else a"),
        (cli.main, "colorize a.png -o", "fastcolor: --output: needs a value (see fastcolor colorize --help)"),
        (cli.main, "colorize -o b.png", "fastcolor: inputs: name at least one picture or folder"),
        (cli.main, f"colorize {tmp_path}/{'n' * 300}.png -o b.png", ".png: file name too long"),
        (cli.main, "", "fastcolor: name a command: colorize, video, "),
        (cli.main_video, "in.mp4", "fastcolor-video: OUT is missing: the film to write"),
        (cli.main_video, "in.mp4 -o out.mp4", "fastcolor-video: OUT is missing; IN and OUT take no -o"),
        (cli.main_video, "a b --crf x", "fastcolor-video: --crf: must be a whole number, got 'x'"),
        (cli.main_video, "a b --temporal x", "fastcolor-video: --temporal: must be one of "),
    ]:
        code, output, errors = told(capsys, command, *arguments.split())
        assert code == 2 and not output
        assert words in errors and len(errors.splitlines()) == 1, errors


def test_help_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    picture = told(capsys, cli.main, "colorize", "--help")
    film = told(capsys, cli.main_video, "--help")
    assert not picture[0] and not film[0]
    assert "IN [IN ...]" in picture[1] and "--skip-colored" in picture[1] and "--temperature FLOAT" in picture[1]
    for scrap in ("{None}", "[[", "(default: )", "options options"):
        assert scrap not in picture[1] + film[1]


def test_what_was_left_out_is_said_on_stderr(folder: Path, tmp_path: Path) -> None:
    (folder / "notes.txt").write_text("")
    clear = Image.new("LA", (64, 64), (100, 90))
    clear.save(folder / "clear.png")
    (folder / "bad.jpg").unlink()
    result = run("colorize", folder, "-o", tmp_path / "out", "--format", "jpg")
    assert result.returncode == 0 and "coloured 3, skipped (exist) 0, failed 0" in result.stdout
    assert result.stderr.splitlines() == [
        f"{folder / 'clear.png'}: .jpg cannot hold transparency (white shows through); left out",
        "left out, no picture by their names: 1 (notes.txt)",
    ]


def test_the_source_folder_says_that_it_hides_the_package(tmp_path: Path) -> None:
    source = Path(fastcolor.__file__).parent
    shutil.copytree(source, tmp_path / "fastcolor", ignore=shutil.ignore_patterns("_C*", "__pycache__", "assets"))
    (tmp_path / "setup.py").write_text("")
    # An editable install would still find its own extension.
    without_editable = "import sys; sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in str(f).lower()]"
    command = [sys.executable, "-c", f"{without_editable}; import fastcolor; fastcolor.colorize('gray.jpg')"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith(f"ImportError: fastcolor: {tmp_path} is the source folder, whose extension is not built")
    assert "leave the source folder" in last


def test_information(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (cli.main, cli.main_video):
        assert told(capsys, command, "--version")[1].strip() == f"fastcolor {fastcolor.__version__}"
    shown = run("info").stdout
    for words in ("cpu kernels", "cuda kernels", "engine torch", "weights", "default"):
        assert words in shown
    assert "colorize" in run("--help").stdout and "--lossless" in run("--help", program="main_video").stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_request_to_stop_is_quiet_from_the_first_second_on(number: signal.Signals) -> None:
    """In the midst of importing torch."""
    code = f"""
import signal, sys

class Finder:
    def find_spec(self, name, path, target=None):
        if name == "torch._C":
            signal.raise_signal({int(number)})

sys.meta_path.insert(0, Finder())
sys.argv[1:] = ["info"]
from fastcolor.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (128 + number, "fastcolor: stopped\n")


def test_what_is_being_imported_is_there_before_a_request_to_stop_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stopped_half_way.py").write_text(
        "import signal, time\nsignal.raise_signal(signal.SIGTERM)\ntime.sleep(0.1)\nwhole = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)  # as a process begins
    try:
        with pytest.raises(Terminated), stoppable("fastcolor"):
            import stopped_half_way  # type: ignore[import-not-found]

            time.sleep(60)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert sys.modules.pop("stopped_half_way").whole and stopped_half_way.whole


def test_two_requests_to_stop_in_one_import_are_heard_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stopped_twice.py").write_text(
        "import signal, time\nfor _ in range(2):\n    signal.raise_signal(signal.SIGTERM)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    before, cleared = signal.signal(signal.SIGTERM, signal.SIG_DFL), False
    try:
        with pytest.raises(Terminated), stoppable("fastcolor"):
            try:
                import stopped_twice  # type: ignore[import-not-found] # noqa: F401

                time.sleep(60)
            finally:
                time.sleep(0.2)
                cleared = True
    finally:
        signal.signal(signal.SIGTERM, before)
    assert cleared


@pytest.mark.parametrize("debug", ["", "1"])
def test_ctrl_c_leaves_no_half_of_a_picture_that_needs_no_torch(folder: Path, tmp_path: Path, debug: str) -> None:
    code = f"""
import signal, sys
from fastcolor import atomic
from fastcolor.__main__ import main

def publish(growing, path, **_):
    if path.name == "out.png":
        assert growing.stat().st_size
        signal.raise_signal(signal.SIGINT)

atomic.publish = publish
sys.argv[1:] = ["colorize", {str(folder / "a.png")!r}, "-o", {str(tmp_path / "new" / "out.png")!r}, "--device", "cpu"]
main()
"""
    environment = {**os.environ, "FASTCOLOR_DEBUG": debug}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment)
    said = done.stderr.splitlines()
    assert (said[0][:9], said[-1]) == ("Traceback", "KeyboardInterrupt") if debug else said == ["fastcolor: stopped"]
    assert done.returncode == (-signal.SIGINT if debug else 130)
    assert list((tmp_path / "new").iterdir()) == []


def test_ctrl_c_is_quiet(tmp_path: Path) -> None:
    for i in range(60):
        Image.new("L", (900, 900), 100 + i).save(tmp_path / f"{i}.png")
    code = "from fastcolor.commands.cli import main; main()"
    command = [sys.executable, "-c", code, "colorize", str(tmp_path), "-o", str(tmp_path / "out")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not list(tmp_path.glob("out/*.png")):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and errors.strip() == "fastcolor: stopped"
    for path in (tmp_path / "out").glob("[!.]*"):
        Image.open(path).load()  # what is there is whole
    assert {path.name for path in (tmp_path / "out").glob(".*")} == {".fastcolor-output"}


def test_the_readmes_python(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first Python block of the README runs as it stands."""
    text = (Path(__file__).parents[2] / "README.md").read_text()
    code = text.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    Image.open(folder / "a.png").save("gray.jpg")
    if "gray.mp4" in code:
        code = "\n".join(line for line in code.splitlines() if "gray.mp4" not in line)  # test_video.py does films
    exec(compile(code, "README.md", "exec"), {})
    assert Image.open("colour.jpg").size == (96, 64)
