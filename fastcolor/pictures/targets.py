"""Which file becomes which: the pictures that a command's inputs name, and the outputs that they get."""

from __future__ import annotations

import functools
import glob
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..constants import is_film
from ..formats.endings import PICTURE_SUFFIXES, check_target
from ..options.hints import Hint
from ..options.steering import Steering, hints_from

MARK = ".fastcolor-output"  # of a folder that was written into the folder which it was made from
_SAME_FORMAT = {
    ".jpeg": ".jpg", ".jpe": ".jpg", ".jfif": ".jpg", ".apng": ".png", ".tiff": ".tif", ".heif": ".heic", ".pnm": ".ppm"
}  # fmt: skip


@dataclass(frozen=True)
class Conversion:
    """A file to read and the one to write; and files that say something of its colours, see `options.steering`."""

    source: Path
    target: Path
    hints: Path | Sequence[Hint] | None = None
    chroma_from: Path | None = None


@dataclass
class Tree:
    """What lies in folders: pictures by their names, other files, words about folders that cannot be read."""

    pictures: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    earlier: list[Path] = field(default_factory=list)  # folders that earlier runs wrote


def ending(format: str | None) -> str | None:
    """The ending that a format is named by: ".png" of "PNG" and of ".png"; None of None."""
    return None if format is None else "." + format.lower().lstrip(".")


def same_format(one: Path, other: Path) -> bool:
    """Whether two names end in the same format's endings."""
    a, b = (_SAME_FORMAT.get(path.suffix.lower(), path.suffix.lower()) for path in (one, other))
    return a == b


def single(source: Path, output: str, format: str | None) -> Conversion:
    """The conversion of one picture. output: its new name, or a folder's.

    Raises:
        FileNotFoundError, ValueError: no such picture, or an output that cannot be.
    """
    out, suffix = Path(output), ending(format)
    if not source.exists():
        raise FileNotFoundError(f"{source}: no such file")
    _no_film(source)
    if out.is_dir() or _names_folder(output):
        target = out / source.name
        target = target if suffix is None else target.with_suffix(suffix)
    else:
        target = out if out.suffix or suffix is None else out.with_suffix(suffix)
        if suffix is not None and not same_format(target, Path("output" + suffix)):
            raise ValueError(f"format: must agree with the output's name {out}, got {format}; leave one out")
        if not target.suffix:
            raise ValueError(f"{out}: must end in a picture's ending such as .png, or in / to name a folder")
    check_target(target)
    if target.exists() and target.samefile(source):
        raise ValueError(f"{target}: input and output are the same file")
    return Conversion(source, target)


def several(sources: Sequence[Path], output: str, format: str | None) -> tuple[list[Conversion], Tree]:
    """The conversions of files and folders, whose trees are mirrored under the output, and what else lies there.

    Raises:
        FileNotFoundError, ValueError: an input without pictures, or an output that cannot be.
    """
    out, suffix = Path(output), ending(format)
    if out.exists() and not out.is_dir():
        raise ValueError(f"output: must be a folder for several pictures, got the file {out}")
    if not out.exists() and not _names_folder(output) and re.fullmatch(r"\.[A-Za-z]\w{1,4}", out.suffix):
        raise ValueError(f"output: must be a folder for several pictures, got {out}; {out}/ says that it is one")
    conversions, whole = [], Tree()
    for source in sources:
        if not source.exists():
            raise FileNotFoundError(f"{source}: no such file or folder")
        _no_film(source)
        files = [source]
        if source.is_dir():
            if out.resolve() == source.resolve():
                if len(sources) > 1:
                    continue  # a pattern such as photos/* also gives the output folder that lies there
                raise ValueError(f"output: must be another folder than the input {source}")
            tree = walk(source, out)
            whole.others += tree.others
            whole.unreadable += tree.unreadable
            whole.earlier += tree.earlier
            files = tree.pictures
            if not files:
                films = ", but films; fastcolor batch colours both" if any(map(is_film, tree.others)) else ""
                raise ValueError(f"{source}: holds no pictures{films}")
        for path in files:
            target = out / (path.relative_to(source) if source.is_dir() else path.name)
            conversions.append(Conversion(path, target if suffix is None else target.with_suffix(suffix)))
    return distinct(conversions), whole


def expanded(sources: Sequence[Path]) -> list[Path]:
    """The inputs, with the files that a pattern such as album/*.jpg stands for, which some shells pass on as it is.

    Raises:
        FileNotFoundError: no file fits a pattern.
    """
    found: list[Path] = []
    for source in sources:
        if os.path.lexists(source) or not glob.has_magic(str(source)):
            found.append(source)
            continue
        fitting = sorted(glob.glob(str(source), recursive=True))
        if not fitting:
            raise FileNotFoundError(f"{source}: no file fits this pattern")
        found += map(Path, fitting)
    return found


def walk(folder: Path, out: Path) -> Tree:
    """A folder's whole tree, links to folders followed, without hidden files, what lies under the output folder `out`
    and what earlier runs wrote into other folders here."""
    tree, written = Tree(), out.resolve()
    above: dict[str, tuple[str, ...]] = {str(folder): (os.path.realpath(folder),)}  # a folder and those it lies in

    def unreadable(error: OSError) -> None:
        tree.unreadable.append(f"{error.filename}: cannot be read ({(error.strerror or str(error)).lower()})")

    for root, folders, names in os.walk(folder, onerror=unreadable, followlinks=True):
        known, entered = above.pop(root), []
        for name in sorted(folders):
            path, real = Path(root, name), os.path.realpath(Path(root, name))
            if name.startswith(".") or real == str(written) or real in known:  # a link that leads back
                continue
            if (path / MARK).exists():
                tree.earlier.append(path)
                continue
            above[str(path)] = (*known, real)
            entered.append(name)
        folders[:] = entered
        for name in sorted(names):
            path = Path(root, name)
            if name.startswith(".") or not path.is_file():
                continue
            picture = path.suffix.lower() in PICTURE_SUFFIXES
            (tree.pictures if picture else tree.others).append(path)
    tree.pictures.sort()
    return tree


def mark(out: Path, sources: Sequence[Path]) -> None:
    """Leave a hidden file in an output folder that lies inside an input, so that later runs leave it out."""
    real = Path(os.path.realpath(out))
    if any(Path(os.path.realpath(source)) in real.parents for source in sources if source.is_dir()):
        out.mkdir(parents=True, exist_ok=True)
        (out / MARK).touch()


def distinct(conversions: list[Conversion]) -> list[Conversion]:
    """Each conversion once.

    Raises:
        ValueError: two pictures share an output, or an output is a picture that is still to be read.
    """
    found: dict[str, Conversion] = {}
    sources = {os.path.realpath(one.source): one.source for one in conversions}
    for one in conversions:
        key = os.path.realpath(one.target)
        if key in sources:
            raise ValueError(f"{one.target}: is an input as well as the output for {one.source}")
        other = found.setdefault(key, one)
        if os.path.realpath(other.source) != os.path.realpath(one.source):
            raise ValueError(f"{one.target}: is the output for both {other.source} and {one.source}; colour them apart")
    return list(found.values())


def told(conversions: list[Conversion], options: Steering, folder: Path | None) -> list[Conversion]:
    """Conversions with the files that say something of each one's colours.

    Args:
        folder: of the outputs, whose tree those files' folders have; None: there is one picture, whose files they are.

    Raises:
        ValueError: one file for several pictures, or a folder of which no file fits any of them.
    """
    for name, value in (("hints", options.hints), ("chroma_from", options.chroma_from)):
        if value is None or isinstance(value, (str, os.PathLike)):
            continue
        if folder is not None or name == "chroma_from":
            rule = "a folder of files named as the inputs, for several" if folder is not None else "a file"
            raise ValueError(f"{name}: must be {rule}, got {type(value).__name__}")
        conversions = [replace(one, hints=tuple(value)) for one in conversions]
    for name, given in _files_of(options).items():
        if folder is None and given.is_dir():
            raise ValueError(f"{name}: must be a file for one picture, got the folder {given}")
        if folder is not None and not given.is_dir():
            raise ValueError(f"{name}: must be a folder of files named as the inputs, for several, got {given}")
    if folder is None:
        found = [replace(one, **_files_of(options)) for one in conversions]
    else:
        found = [replace(one, **companions(options, one, folder)) for one in conversions]
    for name, given in _files_of(options).items():
        if not any(getattr(one, name) for one in found):
            raise ValueError(f"{name}: {given} must hold files named as the inputs, got none that is")
    for one in found:
        for name in _files_of(options):
            if (given := getattr(one, name)) is not None and Path(given).resolve() == one.target.resolve():
                raise ValueError(f"{name}: must not be the output, got {given}")
        if one.hints and one.chroma_from and not is_film(one.source):
            raise ValueError(f"hints and chroma_from exclude each other, got both for {one.source}")
        hints_from(one.hints, film=is_film(one.source))  # so that a bad file is told before there is any work
    return found


def companions(options: Steering, one: Conversion, folder: Path) -> dict[str, Any]:
    """The files that say something of the colours of one of a folder's files. folder: of the outputs."""
    name = one.target.relative_to(folder).with_suffix(one.source.suffix)  # as the input has it, whatever is written
    return {option: companion(given, name) for option, given in _files_of(options).items()}


def _files_of(options: Steering) -> dict[str, Path]:
    given: dict[str, Any] = {"hints": options.hints, "chroma_from": options.chroma_from}
    return {name: Path(value) for name, value in given.items() if isinstance(value, (str, os.PathLike))}


def companion(folder: Path, name: Path) -> Path | None:
    """The file in a folder that has a name but for its ending, with the same ending if there are several.

    Raises:
        ValueError: there are several, all of other endings.
    """
    place = folder / name.parent
    if not place.is_dir():
        return None
    found = [path for path in _by_stem(place, place.stat().st_mtime_ns).get(name.stem, ()) if path.is_file()]
    if place / name.name in found or len(found) < 2:
        return place / name.name if place / name.name in found else next(iter(found), None)
    raise ValueError(f"{place}: several files are named {name.stem}: {', '.join(path.name for path in found)}")


@functools.lru_cache(maxsize=64)
def _by_stem(place: Path, changed: int) -> dict[str, list[Path]]:
    """What lies in a folder, which is asked for each of many files. changed: when it last did."""
    found: dict[str, list[Path]] = {}
    for path in sorted(place.iterdir()):
        found.setdefault(path.stem, []).append(path)
    return found


def share(conversions: list[Conversion], shard: str) -> list[Conversion]:
    """The i-th of n equal shares, for a shard of "i/n"; ValueError for anything else."""
    try:
        index, count = (int(part) for part in shard.split("/"))
    except ValueError:
        index = count = 0
    if not 1 <= index <= count:
        raise ValueError(f"shard: must be i/n with 1 <= i <= n, got {shard!r}")
    return conversions[index - 1 :: count]


def _names_folder(name: str) -> bool:
    return name.endswith(("/", os.sep))


def _no_film(source: Path) -> None:
    if is_film(source) and source.is_file():
        raise ValueError(f"{source}: is a film; fastcolor video colours it")
