"""Compiles the CUDA kernels for the CPU, behind the very bindings of fastcolor._C.

    python tests/emulation/build.py     everything that tests need: minutes, then nothing until a source changes

Every object is kept in build/emulation under a hash of all it is made from, and is shared by files, workers and runs.
A test names what it needs, `@pytest.mark.builds("extension")`: conftest.py compiles that before the first test runs, so
that no test's time is spent on it.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).resolve().parent
CSRC = HERE.parents[1] / "csrc"
CACHE = HERE.parents[1] / "build" / "emulation"
COMPILER = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
FLAGS = ("-std=c++17", "-O1", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas")
# Names the sanitizers that "extension" is built with: how .ci/sanitize runs all tests of the emulation.
SANITIZE = "FASTCOLOR_EMULATION_SANITIZE"
SANITIZERS = "address,undefined"


class CompileError(Exception):
    """The compiler's own words."""


def extension(sanitize: str | None = None) -> Path:
    """The library with emulated CUDA kernels; `sanitize` as in -fsanitize, by default what FASTCOLOR_EMULATION_SANITIZE
    says."""
    sanitize = os.environ.get(SANITIZE, "") if sanitize is None else sanitize
    files = [CSRC / "bindings.cpp", HERE / "no_cpu.cpp", *sorted((CSRC / "cuda").glob("*.cu"))]
    # What sanitizers insert makes gcc see uninitialised values where none are.
    flags = ("-g1", "-Wno-maybe-uninitialized", f"-fsanitize={sanitize}") if sanitize else ()
    return linked(f"_C{sysconfig.get_config_var('EXT_SUFFIX')}", files, *flags, link=("-shared",))


def faults(sanitize: str = "") -> Path:
    """The program with one planted fault a kernel."""
    return linked("faults", [HERE / "faults.cu"], *((f"-fsanitize={sanitize}",) if sanitize else ()))


BUILDS: dict[str, Callable[[], Path]] = {
    "extension": extension,
    "sanitized extension": functools.partial(extension, SANITIZERS),
    "faults": faults,
    "sanitized faults": functools.partial(faults, SANITIZERS),
}


def linked(name: str, files: list[Path], *flags: str, link: tuple[str, ...] = ()) -> Path:
    """Compile and link `files`, each step unless it was done with the same text and flags before."""
    with locked():
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(pool.map(functools.partial(object_of, flags=flags), files))
        key = digest(repr((name, link, flags, [path.name for path in objects])).encode())
        built = CACHE / key / name
        if not built.exists():
            built.parent.mkdir(exist_ok=True)
            run([COMPILER, *link, *flags, *map(str, objects), "-ldl", "-o"], built)
        return built


def object_of(source: Path, flags: tuple[str, ...]) -> Path:
    import pybind11

    include = (HERE, pybind11.get_include(), sysconfig.get_path("include"))
    command = [COMPILER, *FLAGS, *flags, *(f"-I{path}" for path in include), "-x", "c++", "-c", str(source), "-o"]
    made = CACHE / f"{source.stem}-{digest(source.read_bytes(), headers(), repr(command).encode())}.o"
    if not made.exists():
        run(command, made)
    return made


@functools.lru_cache(maxsize=1)
def headers() -> bytes:
    files = [*CSRC.glob("*.h"), *(CSRC / "math").glob("*.h"), *CSRC.rglob("*.cuh"), *HERE.glob("*.h")]
    return b"".join(path.read_bytes() for path in sorted(files))


def digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


@contextmanager
def locked() -> Iterator[None]:
    """One builder at a time: others wait, and find everything there."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run(command: list[str | None], output: Path) -> None:
    """`output`, the command's last argument, gets its name when it is whole."""
    part = output.with_name(output.name + ".part")
    # Where tests run under a sanitizer its runtime is preloaded: into this Python, not into the compiler.
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    done = subprocess.run([*command, str(part)], capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise CompileError(f"{' '.join(map(str, command))} {part}\n{done.stderr[-4000:]}")
    os.replace(part, output)


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


def load() -> ModuleType:
    """fastcolor._C with emulated CUDA kernels, under a name of its own."""
    spec = importlib.util.spec_from_file_location("fastcolor_emulated._C", extension())
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    if COMPILER is None:
        print("no C++ compiler: tests of the emulation will be skipped")
        return
    for name, build in BUILDS.items():
        if "sanitized" not in name or sanitizer_runtimes():
            print(f"{name}: {build()}", flush=True)


if __name__ == "__main__":
    main()
