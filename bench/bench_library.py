"""How large the extension is and how long it takes to build, machine code of every GPU included.

`python -m bench.bench_library [--before TREE] [--save]` builds this tree's csrc and that of TREE, a checkout of an
earlier commit, each once and from nothing, with what `setup.py` asks of CMake. Time is of the processor, user and
system, of all compilers together: one job at a time, so that it is what one core needs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pybind11

from bench import timing
from bench.markdown import ROOT
from bench.memory import children_seconds
from bench.run import keep

ARCHITECTURES = "75-real;80-real;90-real;100-real;120"


def built(tree: Path, architectures: str) -> dict[str, Any]:
    """What a tree's extension takes. architectures: as CMake names them."""
    environment = {**os.environ, "FASTCOLOR_CUDA_ARCHS": architectures}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        configure = ["cmake", str(tree), "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release"]
        configure += [f"-DPython_EXECUTABLE={sys.executable}", f"-Dpybind11_DIR={pybind11.get_cmake_dir()}"]
        configure.append(f"-DCMAKE_LIBRARY_OUTPUT_DIRECTORY={folder / 'library'}")
        (folder / "build").mkdir()
        subprocess.run(configure, cwd=folder / "build", env=environment, check=True, stdout=subprocess.DEVNULL)
        before = children_seconds()
        build = ["cmake", "--build", ".", "--target", "_C", "-j", "1"]
        subprocess.run(build, cwd=folder / "build", env=environment, check=True, stdout=subprocess.DEVNULL)
        seconds = children_seconds() - before
        (library,) = (folder / "library").glob("_C*.so")
        commit = ["git", "-C", str(tree), "log", "-1", "--format=%h", "--", "csrc", "CMakeLists.txt"]
        return {
            "commit": subprocess.run(commit, capture_output=True, text=True, check=True).stdout.strip(),
            "mb": round(library.stat().st_size / 1e6, 2),
            "seconds": round(seconds, 1),
        }


def version(program: str) -> str:
    """What a compiler says that it is."""
    lines = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()
    return next((line for line in lines if "release" in line), lines[0]).strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, help="checkout of an earlier commit")
    parser.add_argument("--architectures", default=ARCHITECTURES, help="as CMake names them")
    parser.add_argument("--save", action="store_true", help="write bench/results/<machine>-library.json")
    options = parser.parse_args()
    rows = []
    for name, tree in (("before", options.before), ("now", ROOT)):
        if tree is not None:
            rows.append({"name": name, **built(tree.resolve(), options.architectures)})
            print(rows[-1], flush=True)
    if options.save:
        facts = {"command": "python -m bench.bench_library", "load": round(os.getloadavg()[0], 1)}
        facts |= {"nvcc": version("nvcc"), "g++": version(os.environ.get("CXX", "g++"))}
        machine = {**timing.machine(), **facts}
        keep({"machine": machine, "architectures": options.architectures.split(";"), "rows": rows}, "library")


if __name__ == "__main__":
    main()
