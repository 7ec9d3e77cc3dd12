"""Compiles the CUDA kernels for the CPU, behind the very bindings of fastcolor._C."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).resolve().parent
CSRC = HERE.parents[1] / "csrc"
COMPILER = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
FLAGS = ("-std=c++17", "-O1", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas")


def sources() -> list[Path]:
    return [CSRC / "bindings.cpp", HERE / "no_cpu.cpp", *sorted((CSRC / "cuda").glob("*.cu"))]


def compile_to(output: Path, files: list[Path], *flags: str) -> Path:
    """Compile C++ and CUDA sources and link them to `output`, unless that was made from the same text before."""
    import pybind11

    headers = [*CSRC.glob("*.h"), *(CSRC / "math").glob("*.h"), *CSRC.rglob("*.cuh"), *HERE.glob("*.h")]
    text = b"".join(p.read_bytes() for p in sorted({*files, *headers})) + repr((COMPILER, FLAGS, flags)).encode()
    folder = output.parent / hashlib.sha256(text).hexdigest()[:16]
    built = folder / output.name
    if built.exists():
        return built
    work = folder.with_name(f"{folder.name}.{os.getpid()}")
    work.mkdir(parents=True, exist_ok=True)
    include = (HERE, pybind11.get_include(), sysconfig.get_path("include"))
    common = [COMPILER, *FLAGS, *flags, *(f"-I{path}" for path in include)]

    def compile_one(source: Path) -> Path:
        made = work / f"{source.stem}.o"
        run([*common, "-x", "c++", "-c", str(source), "-o", str(made)])
        return made

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compile_one, files))
    run([COMPILER, *flags, *map(str, objects), "-ldl", "-o", str(work / output.name)])
    folder.mkdir(exist_ok=True)
    os.replace(work / output.name, built)
    shutil.rmtree(work)
    return built


def run(command: list[str | None]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stderr[-4000:]}"


def sanitizer_runtimes() -> str | None:
    """What LD_PRELOAD must name for a Python that loads sanitized code; None where the compiler has no runtimes.

    libstdc++ too: the runtime looks for what throws exceptions when it starts, before Python has loaded any.
    """
    names = ("libasan.so", "libubsan.so", "libstdc++.so.6")
    paths = [
        subprocess.run(
            [COMPILER, f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in names
    ]
    return " ".join(paths) if all(Path(path).is_absolute() for path in paths) else None


def load(folder: Path) -> ModuleType:
    """fastcolor._C with emulated CUDA kernels, under a name of its own."""
    sanitize = os.environ.get("FASTCOLOR_EMULATION_SANITIZE")
    # What sanitizers insert makes gcc see uninitialised values where none are.
    sanitized = ("-g1", "-Wno-maybe-uninitialized", f"-fsanitize={sanitize}") if sanitize else ()
    flags = ("-shared", *sanitized)
    library = compile_to(folder / f"_C{sysconfig.get_config_var('EXT_SUFFIX')}", sources(), *flags)
    spec = importlib.util.spec_from_file_location("fastcolor_emulated._C", library)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
