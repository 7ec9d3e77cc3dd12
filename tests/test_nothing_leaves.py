"""Nothing leaves the machine, and nothing is left outside FASTCOLOR_HOME: every command, every engine.

Each runs under strace, which sees what any library does, in a network namespace of its own where that is allowed, and
with a home of its own that is empty before and has to be empty after.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from film_clips import clip

from fastcolor.engines.choose import _installed

PHOTOGRAPH = Path(__file__).parents[1] / "bench" / "demo" / "chelsea.jpg"
# Runs a command as its entry point does, and tells afterwards which of these libraries it has imported.
RUN = """
import sys
from fastcolor.__main__ import main
sys.argv = ["fastcolor", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    code = end.code
print("imported:", *sorted({"onnx", "onnxruntime", "openvino", "torch"} & set(sys.modules)))
sys.exit(code)
"""


@functools.cache
def _alone() -> list[str]:
    """What starts a command in an empty network namespace, or nothing where that is not allowed."""
    command = ["unshare", "--map-root-user", "--net"]
    if shutil.which("unshare") and subprocess.run([*command, "true"], capture_output=True).returncode == 0:
        return command
    return []


def watched(folder: Path, *command: str) -> tuple[str, list[str], list[Path]]:
    """Run Python and return its output, the addresses outside the machine that it reached for, and what it left."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed; it is what sees a library reach for the network")
    home, log = folder / "home", folder / "calls"
    home.mkdir()
    watch = ["strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", str(log)]
    kept = {k: v for k, v in os.environ.items() if k not in ("XDG_CACHE_HOME", "ORT_DISABLE_TELEMETRY", "CI")}
    environment = kept | {"HOME": str(home), "FASTCOLOR_HOME": str(folder / "own"), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [*_alone(), *watch, sys.executable, *command], env=environment, capture_output=True, text=True, timeout=500
    )
    assert run.returncode == 0, run.stderr
    reached = [line for line in log.read_text().splitlines() if re.search(r"AF_INET6?\b|sin6?_addr|resolve/io", line)]
    return run.stdout, reached, [path for path in home.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.create_connection(('192.0.2.1', 9), 0.1)",
        "import socket; socket.getaddrinfo('example.org', 80)",
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 9))",
    ],
    ids=["connection", "look-up", "datagram"],
)
def test_the_watch_sees_what_it_is_there_for(code: str, tmp_path: Path) -> None:
    quiet = "import contextlib\nwith contextlib.suppress(OSError):\n    " + code
    _, reached, left = watched(tmp_path, "-c", f"{quiet}\nopen(__import__('os').path.expanduser('~/left'), 'w')")
    assert reached and [path.name for path in left] == ["left"]


@pytest.mark.parametrize("name", ["torch", "onnx", "openvino"])
def test_engines(name: str, tmp_path: Path) -> None:
    if not (name == "torch" or _installed(name)):
        pytest.skip(f"{name} is not installed")
    arguments = ["colorize", str(PHOTOGRAPH), "-o", str(tmp_path / "out.jpg"), "--engine", name]
    told, reached, left = watched(tmp_path, "-c", RUN, *arguments)
    assert (tmp_path / "out.jpg").exists()
    assert {"torch": "torch", "onnx": "onnxruntime", "openvino": "openvino"}[name] in told.splitlines()[-1].split()
    assert not reached and not left


def test_information_that_measures_every_engine(tmp_path: Path, net: str) -> None:
    told, reached, left = watched(tmp_path, "-c", RUN, "info", "--measure")
    libraries = {library for name, library in (("onnx", "onnxruntime"), ("openvino", "openvino")) if _installed(name)}
    assert libraries and libraries <= set(told.splitlines()[-1].split())
    assert not reached and not left


def test_film_and_batch(tmp_path: Path, net: str) -> None:
    (tmp_path / "in").mkdir()
    src = clip(tmp_path / "in" / "gray.mp4", frames=6)
    shutil.copy(PHOTOGRAPH, tmp_path / "in" / "photograph.jpg")
    for i, arguments in enumerate(
        [
            ["video", str(src), str(tmp_path / "colour.mp4"), "--weights", net],
            ["batch", str(tmp_path / "in"), str(tmp_path / "out"), "--engine", "onnx"],
        ]
    ):
        (tmp_path / str(i)).mkdir()
        told, reached, left = watched(tmp_path / str(i), "-c", RUN, *arguments)
        assert "onnxruntime" in told.splitlines()[-1].split()
        assert not reached and not left
    assert (tmp_path / "colour.mp4").exists()
    assert {"gray.mp4", "photograph.jpg"} <= {path.name for path in (tmp_path / "out").iterdir()}


def test_export(tmp_path: Path, net: str) -> None:
    told, reached, left = watched(tmp_path, "-c", RUN, "export", net, str(tmp_path / "net.onnx"))
    assert (tmp_path / "net.onnx").exists() and {"onnx", "onnxruntime"} <= set(told.splitlines()[-1].split())
    assert not reached and not left


def test_training_and_evaluation(tmp_path: Path, net: str) -> None:
    (tmp_path / "data").mkdir()
    for i in range(2):
        shutil.copy(PHOTOGRAPH, tmp_path / "data" / f"{i}.jpg")
    data = str(tmp_path / "data")
    for name, arguments in {
        "train": ["train", "--data", data, "--out", str(tmp_path / "run"), "--steps", "1", "--batch-size", "1"],
        "evaluate": ["evaluate", net, data, "--engine", "onnx", "--report", str(tmp_path / "report.html")],
    }.items():
        if name == "train":
            arguments += ["--crop", "64", "--device", "cpu", "--preset", "default"]
        (tmp_path / name).mkdir()
        _, reached, left = watched(tmp_path / name, "-c", RUN, *arguments)
        assert not reached and not left
    assert (tmp_path / "run" / "weights.safetensors").exists() and (tmp_path / "report.html").exists()
