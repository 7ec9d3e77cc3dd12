"""The only importer of the extension, and what it can do here.

Whoever has tensors imports torch before this: torch's OpenMP runtime then serves both, one pool of threads in place of
two. What colours one picture has none, and starts without torch (`pictures.plain`).
"""

from __future__ import annotations

import functools
from pathlib import Path

try:
    from . import _C
except ImportError as error:
    package = Path(__file__).resolve().parent
    if (package.parent / "setup.py").exists() and not list(package.glob("_C*")):
        # Python looks in the folder it was started from first, so this one hides a package that is installed.
        message = (
            f"fastcolor: {package.parent} is the source folder, whose extension is not built; leave the source folder "
            "to use the installed package, or run `pip install -e .` in it"
        )
    else:
        message = f"fastcolor: the native extension does not load ({error}); install the package anew"
    raise ImportError(message) from error

INTERFACE = 3  # of csrc/bindings.cpp
if getattr(_C, "INTERFACE", 1) != INTERFACE:  # sources that were updated under an editable install
    raise ImportError(
        f"fastcolor: {_C.__file__} was built from other sources than these; run `pip install -e .` in the source folder"
    )

# Codes of fastcolor::DType in csrc/common.h, by the names that torch and numpy give them.
DTYPES = {"uint8": 0, "uint16": 1, "float16": 2, "bfloat16": 3, "float32": 4, "float64": 5}


@functools.cache
def capabilities() -> dict[str, str | bool | int]:
    """What the extension can do on this machine, and why not the rest. Looks for GPUs: not for import time.

    Returns:
        isa: the instruction set of the CPU kernels; cuda_built: were CUDA kernels compiled in; cuda_devices: usable
        GPUs; cuda_problem: why there are none, in CUDA's own words, else empty.
    """
    devices = _C.cuda_device_count()
    return {
        "isa": _C.isa(),
        "cuda_built": _C.cuda_built(),
        "cuda_devices": devices,
        "cuda_problem": "" if devices else _C.cuda_problem(),
    }


__all__ = ["DTYPES", "_C", "capabilities"]
