"""Carries out the launches of the emulated extension with the machine code that nvcc makes for sm_90.

    with launches(extension) as done:     # every op now runs as a GPU would: machine_code/block.py says how
        ops.annealed_mean(logits)
    done[0].issued                       # what the warps of the launch issued

Needs nvcc, and nvdisasm (the PyPI package nvidia-cuda-nvdisasm, or CUDA's own).
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import re
import shutil
import subprocess
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from emulation import build

from .block import Kernel, Run, read_kernels
from .meanings import decode, run_block

# As CMake compiles a release for sm_90.
NVCC = ("-std=c++17", "-O3", "-DNDEBUG", "-arch=sm_90", "-cubin", "-Xptxas=-v")
PREFIX = "fastcolor::cuda::(anonymous namespace)::"


def nvdisasm() -> str | None:
    """Its path: on PATH, or of the PyPI package."""
    if found := shutil.which("nvdisasm"):
        return found
    spec = importlib.util.find_spec("nvidia")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in Path(folder).glob("*/bin/nvdisasm"):
            return str(path)
    return None


@functools.cache
def nvcc_version() -> str:
    said = subprocess.run(["nvcc", "--version"], capture_output=True, text=True, check=True).stdout
    return re.search(r"release [\d.]+, V([\d.]+)", said)[1]


def missing() -> str:
    """What is needed and not there; empty when all is."""
    needs = {"nvcc": shutil.which("nvcc"), "nvdisasm": nvdisasm(), "c++filt": shutil.which("c++filt"),
             "a C++ compiler": build.COMPILER}  # fmt: skip
    return ", ".join(name for name, path in needs.items() if not path)


@dataclass
class Compiled:
    """A kernel's machine code and nvcc's report on it."""

    kernel: Kernel
    registers: int = 0
    spills: int = 0  # bytes stored and loaded
    stack: int = 0

    @functools.cached_property
    def runs(self) -> list[Run]:
        return decode(self.kernel)


@functools.cache
def compiled(source: Path) -> dict[str, Compiled]:
    """The kernels of a .cu file by their names as c++filt prints them."""
    key = build.digest(source.read_bytes(), build.headers(), repr((NVCC, nvcc_version())).encode())
    cubin, report = build.CACHE / f"{source.stem}-{key}.cubin", build.CACHE / f"{source.stem}-{key}.ptxas"
    build.CACHE.mkdir(parents=True, exist_ok=True)
    if not report.exists():
        done = subprocess.run(
            ["nvcc", *NVCC, str(source), "-o", str(cubin)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise build.CompileError(done.stderr[-4000:])
        report.write_text(done.stdout + done.stderr)
    text = subprocess.run([nvdisasm(), "-c", cubin], capture_output=True, text=True, check=True).stdout
    kernels = {name: Compiled(kernel) for name, kernel in read_kernels(text).items()}
    read_report(report.read_text(), kernels)
    names = subprocess.run(["c++filt"], input="\n".join(kernels), capture_output=True, text=True, check=True).stdout
    return dict(zip(map(plain, names.splitlines()), kernels.values(), strict=True))


def read_report(text: str, kernels: dict[str, Compiled]) -> None:
    name = ""
    for line in text.splitlines():
        if match := re.search(r"Function properties for (\S+)", line):
            name = match[1]
        elif name not in kernels:  # a subroutine
            continue
        elif match := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            kernels[name].stack, kernels[name].spills = int(match[1]), int(match[2]) + int(match[3])
        elif match := re.search(r"Used (\d+) registers", line):
            kernels[name].registers = int(match[1])


def plain(name: str) -> str:
    """`planar_decode_kernel<float, 1, MeanSums>`, of a demangled name."""
    name = re.sub(r"^void ", "", name).replace(PREFIX, "").replace("fastcolor::cuda::", "").replace("fastcolor::", "")
    depth = 0
    for i, letter in enumerate(name):
        if letter == "(" and depth == 0:
            return name[:i]
        depth += (letter == "<") - (letter == ">")
    return name


@functools.cache
def names_by_offset(library: Path) -> dict[int, str]:
    symbols = subprocess.run(["nm", "-C", str(library)], capture_output=True, text=True, check=True).stdout
    lines = (re.match(r"([0-9a-f]+) \w (.*_kernel\b.*)", line) for line in symbols.splitlines())
    return {int(match[1], 16): plain(match[2]) for match in lines if match and PREFIX in match[2]}


def sources() -> list[Path]:
    return sorted((build.CSRC / "cuda").glob("*.cu"))


def kernel_of(name: str) -> Compiled:
    """Compiles the one file that it stands in."""
    word = name.split("<")[0]
    (source,) = (path for path in sources() if re.search(rf"__global__[^;{{]*\b{word}\(", path.read_text()))
    return compiled(source)[name]


@dataclass
class Launched:
    """One launch, carried out. issued: by kind of instruction ("FFMA"), how many times a warp issued one; at: the same
    by its place in the code."""

    name: str
    blocks: int
    threads: int
    shared_bytes: int
    registers: int
    spills: int
    issued: Counter[str] = field(default_factory=Counter)
    at: Counter[int] = field(default_factory=Counter)


ON_LAUNCH = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_size_t, ctypes.c_uint, ctypes.c_uint, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t
)


@contextmanager
def launches(extension: ModuleType, only: str = "") -> Iterator[list[Launched]]:
    """Launches of `extension` run machine code; yields what was launched so far. only: a kernel's name without its
    template arguments; launches of others do nothing."""
    done: list[Launched] = []

    def on_launch(offset: int, blocks: int, threads: int, shared: int, at: int, size: int) -> int:
        try:
            name = names_by_offset(Path(extension.__file__))[offset]
            if only and name.split("<")[0] != only:
                return 0
            code = kernel_of(name)
            launch = Launched(name, blocks, threads, shared, code.registers, code.spills)
            parameters = ctypes.string_at(at, size)
            for block in range(blocks):
                issued = run_block(code.kernel, code.runs, block, threads, shared, parameters)
                launch.at += issued
                for index, count in issued.items():
                    launch.issued[code.kernel.code[index].name] += count
            done.append(launch)
        except BaseException:  # nothing may pass through C++: the launch fails, and here is why
            traceback.print_exc()
            return 1
        return 0

    callback = ON_LAUNCH(on_launch)
    library = ctypes.CDLL(extension.__file__)
    library.fastcolor_emulation_on_launch(callback)
    try:
        yield done
    finally:
        library.fastcolor_emulation_on_launch(ON_LAUNCH())
