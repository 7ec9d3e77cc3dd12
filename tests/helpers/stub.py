"""The type stub of the extension, from the signatures that pybind11 gives its functions.

Run as a program, it writes fastcolor/_C.pyi anew, for ruff to format.
"""

from __future__ import annotations

import re
from pathlib import Path

from fastcolor._native import _C

PATH = Path(__file__).resolve().parents[2] / "fastcolor" / "_C.pyi"
# pybind11 takes whatever turns into a number; we give numbers.
PLAIN = {
    r"typing\.SupportsInt \| typing\.SupportsIndex": "int",
    r"typing\.SupportsFloat \| typing\.SupportsIndex": "float",
}


def stub() -> str:
    """The text of the stub that belongs to the extension that is loaded."""
    lines = [f'"""{_C.__doc__}"""', "", "INTERFACE: int", ""]
    for name in sorted(vars(_C)):
        if callable(getattr(_C, name)) and not name.startswith("_"):
            signature = getattr(_C, name).__doc__.strip()
            for long, short in PLAIN.items():
                signature = re.sub(long, short, signature)
            lines.append(f"def {signature}: ...")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PATH.write_text(stub())
