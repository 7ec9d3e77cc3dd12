"""Reading a command line with tyro, and what it says about a wrong one in one sentence."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Sequence
from typing import Any

import tyro


def parse(kind: Any, arguments: Sequence[str], program: str, command: str = "") -> Any:
    """Make the options that a command line asks for.

    Args:
        kind: a dataclass, or a union of subcommands. command: of the program, whose arguments these are.

    Raises:
        SystemExit: 0 after help was shown, 2 after a sentence on stderr about what is wrong.
    """
    output, named = io.StringIO(), f"{program} {command}".strip()
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            return tyro.cli(kind, args=list(arguments), prog=named, config=(tyro.conf.FlagCreatePairsOff,))
    except SystemExit as stop:
        if stop.code in (0, None):
            print("\n".join(_without_none(line) for line in output.getvalue().splitlines()))
            raise
        said = f"{program}: {_unframed(output.getvalue())} (see {named} --help)"
        print(" ".join(said.split()), file=sys.stderr)
        raise SystemExit(2) from None


def _without_none(line: str) -> str:
    """A line of help with {None}|FLOAT as FLOAT, and all else where it was."""
    return re.sub(r"\{None\}\|(\S+)", lambda match: match[1] + " " * len("{None}|"), line)


def _unframed(box: str) -> str:
    """The first statement inside tyro's box, and what it suggests."""
    framed = "╭" in box  # else, on a terminal without Unicode, a title and rules of dashes
    lines = [line.strip("│╭╮╰╯")[1:].rstrip() for line in box.splitlines()[1 if framed else 0 :]]
    parts: list[list[str]] = [[]]
    for line in lines:
        if line.strip() and set(line.strip()) <= {"─", "-"}:
            parts.append([])
        elif line.strip():
            parts[-1].append(line)
    parts = [part for part in parts[0 if framed else 1 :] if part] or [["bad arguments"]]
    said = " ".join(line.strip() for line in parts[0]).rstrip(".")
    if said.startswith("Missing from"):
        return _missing(parts[0][1:])
    for pattern, sentence in _SENTENCES:
        if match := re.match(pattern, said):
            return sentence.format(*(_PLACES.get(word, word.replace("', '", ", ")) for word in match.groups()))
    hints = [part for part in parts[1:] if part and part[0].strip().startswith(("Perhaps", "Available"))]
    return said + "".join("; " + " ".join(line.strip() for line in hint[:2]).lower() for hint in hints)


_PLACES = {"src": "IN", "dst": "OUT"}
# What tyro says, and how it is said here.
_SENTENCES = [
    (r"Error parsing (\S+)(?: \[.*?\])?: (is missing: .*)", "{} {}"),
    (
        r"Error parsing (\S+): no type .*\[HH:\]MM:SS could be instantiated from \['(.*?)'\]",
        "{}: must be seconds or [HH:]MM:SS, got '{}'",
    ),
    (r"Error parsing (\S+): (?:no type|could not).* (?:float|FLOAT)\b.*?'(.*?)'", "{}: must be a number, got '{}'"),
    (r"Error parsing (\S+): (?:no type|invalid).*?\b(?:int|INT)\b.*?'(.*?)'", "{}: must be a whole number, got '{}'"),
    (r"Missing value for argument '(?:-\w/)?(-\S+)'", "{}: needs a value"),
    (r"Missing value for argument '(\w+)'", "{} is missing; IN and OUT take no -o"),
    (r"Expected one of \{(.*)\}", "name a command: {}"),
    (
        r"invalid choice '(.*)' for argument '(\S+)'. Expected one of \('(.*?)',?\)",
        "{1}: must be one of {2}, got '{0}'",
    ),
]


def _missing(lines: list[str]) -> str:
    """Tyro's list of missing arguments, each with its help under it, as one sentence."""
    margin = min(len(line) - len(line.lstrip()) for line in lines)
    found: list[tuple[str, list[str]]] = []
    for line in lines:
        if len(line) - len(line.lstrip()) == margin:
            flags = re.findall(r"(?<!\S)-[\w-]+", line)
            found.append(("/".join(flags) or line.split()[0], []))
        else:
            found[-1][1].append(line.strip())
    return "; ".join(f"{name} is missing: " + _decapitalized(" ".join(words)) for name, words in found)


def _decapitalized(words: str) -> str:
    words = words.removesuffix("(required)").strip().rstrip(".")
    return words[:1].lower() + words[1:]
