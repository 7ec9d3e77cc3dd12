"""What was said of a picture or film, as the files that the commands take: hints, projects and their pictures."""

from __future__ import annotations

import itertools
import json
import lzma
import posixpath
import shutil
import zipfile
import zlib
from collections.abc import Sized
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from ..atomic import whole
from ..options import hints, project
from ..options.base import seconds, shown
from ..options.key_frames import PICTURES
from ..options.references import reference_of
from ..options.versioned import read_versioned
from .look import MOST_HINTS, MOST_OF_SHOT, MOST_SHOTS, Look, sent_name
from .store import SPARE, Item

MOST_PROJECT = 1 << 30  # bytes of an archive, and of what is in it
MOST_SENT = 500  # key frames and references of a film
_MOST_WORDS, _MOST_ENTRIES = 16 << 20, 1000  # bytes of a project's own file, files in an archive
_OPTION = {"key": "key_frames", "reference": "references"}
_USUAL: dict[str, object] = {"saturation": 1.0, "temperature": None, "hints": [], "key_frames": {}, "references": []}


def save_project(item: Item) -> tuple[str, Path]:
    """The file's name, and where it lies."""
    stem = Path(item.name).stem
    pictures: dict[str, Path] = {}
    if item.kind == "picture":
        content: dict[str, Any] = {"version": hints.VERSION, "hints": item.look.hints}
    else:
        shots = []
        for shot in item.look.shots:
            named = {}
            for time, name in shot.get("key_frames", {}).items():
                place, picture = f"key-frames/{time_name(seconds(time))}", item.folder / name
                inside = f"{place}{picture.suffix}"
                if pictures.setdefault(inside, picture) != picture:  # two within a thousandth of a second
                    inside = f"{place}-{picture.stem}{picture.suffix}"
                    pictures[inside] = picture
                named[time] = inside
            references = []
            for one in shot.get("references", []):
                name, weight = reference_of(one)
                inside = f"references/{name}"
                pictures[inside] = item.folder / name
                references.append(_weighted(inside, weight))
            shots.append({**shot, "key_frames": named, "references": references})
        content = {"version": project.VERSION, "film": item.name, "shots": shots}
    words = json.dumps(content, indent=1)
    path = item.folder / f"saved.{'zip' if pictures else 'json'}"
    with whole(path) as growing:
        if not pictures:
            growing.write_text(words)
        else:
            with zipfile.ZipFile(growing, "w", zipfile.ZIP_STORED) as archive:
                archive.writestr(f"{stem}.json", words)
                for name, picture in pictures.items():
                    archive.write(picture, name)
    return f"{stem}{path.suffix}", path


def read_project(path: Path, item: Item) -> Look:
    """An item's look with what a file says in place of what was said before.

    Args:
        path: of the file, in the item's folder; an archive's pictures are put beside it.

    Raises:
        ValueError: it is no project for such an item, too large, or says what the page cannot show.
    """
    if not zipfile.is_zipfile(path):
        return _look_of(path, item, None)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            words = [entry for entry in entries if entry.filename.lower().endswith(".json")]
            if len(entries) > _MOST_ENTRIES or len(words) != 1:
                raise ValueError("project: must be an archive of one .json file and its pictures")
            if (size := sum(entry.file_size for entry in entries)) > MOST_PROJECT or words[0].file_size > _MOST_WORDS:
                raise ValueError(f"project: must unpack to {MOST_PROJECT:,} bytes at most, got {size:,}")
            if size > (room := max(0, shutil.disk_usage(item.folder).free - SPARE)):
                raise ValueError(f"project: must unpack to the {room:,} bytes that the disk has room for, got {size:,}")
            told = path.with_suffix(".told.json")
            try:
                _unpack(archive, words[0], told)
                return _look_of(told, item, _Pictures(archive, item.folder))
            finally:
                told.unlink(missing_ok=True)
    except (*_DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the system's; bzip2's damage has no number
            raise
        raise ValueError(f"project: is a damaged archive ({error})") from None


# What the ways in which an archive's files may be packed raise where they are damaged.
_DAMAGED = (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error, lzma.LZMAError)


@dataclass
class _Pictures:
    """An archive's pictures, each brought out once as what it is, under a name of our own, however often it is used."""

    archive: zipfile.ZipFile
    folder: Path
    made: dict[tuple[str, str], Path] = field(default_factory=dict)

    def bring(self, kind: Literal["key", "reference"], name: object, number: int) -> str:
        """The name of a picture's file in the folder. number: of the shot that names it."""
        wanted = posixpath.normpath(str(name).replace("\\", "/")) if isinstance(name, (str, Path)) else ""
        if (kind, wanted) in self.made:
            return self.made[kind, wanted].name
        entry = next((one for one in self.archive.infolist() if posixpath.normpath(one.filename) == wanted), None)
        suffix = Path(wanted).suffix.lower()
        if entry is None or suffix not in PICTURES:
            got = shown(wanted or name)
            raise ValueError(f"project: shot {number}: {_OPTION[kind]} must name pictures in the archive, got {got}")
        path = self.folder / sent_name(kind, suffix)
        _unpack(self.archive, entry, path)
        self.made[kind, wanted] = path
        return path.name


def _look_of(path: Path, item: Item, pictures: _Pictures | None) -> Look:
    if path.stat().st_size > _MOST_WORDS:
        raise ValueError(f"project: may have {_MOST_WORDS:,} bytes, got {path.stat().st_size:,}")
    if item.kind == "picture":
        hints.read_hints(path)  # which refuses what is none
        said = json.loads(path.read_text(encoding="utf-8-sig"))["hints"]
        _check_count("hints", said, MOST_HINTS)
        guide = "" if said and item.look.guide == "version" else item.look.guide  # as only one of both has a place
        return replace(item.look, hints=said, guide=guide)
    keys = {"version", "film", "shots"}
    content = read_versioned(path, "project", "a project with shots", version=project.VERSION, items="shots", keys=keys)
    _check_count("shots", content["shots"], MOST_SHOTS)
    shots: list[dict[str, Any]] = []
    try:
        for number, entry in enumerate(content["shots"], 1):
            if not isinstance(entry, dict) or not isinstance(named := entry.get("key_frames", {}), dict):
                raise ValueError(f"project: shot {number} must be an object with key_frames by their times")
            if not isinstance(references := entry.get("references", []), list):
                raise ValueError(f"project: shot {number} must have a list of references, got {shown(references)}")
            shot = {**_USUAL, **entry}
            shot["key_frames"] = {_time(time): _brought(pictures, "key", name, number) for time, name in named.items()}
            shot["references"] = [_reference(pictures, one, number) for one in references]
            if len(shot["key_frames"]) < len(named):
                raise ValueError(f"project: shot {number} must have one key frame at a time, got {', '.join(named)}")
            shots.append(shot)
        if (count := len(sent_pictures(shots))) > MOST_SENT:
            raise ValueError(f"project: must have {MOST_SENT} key frames and references at most, got {count}")
        look = replace(item.look, shots=shots)
        look.check(item.folder)
        for number, shot in enumerate(shots, 1):
            for name, most in MOST_OF_SHOT.items():
                _check_count(f"shot {number}: {name}", shot[name], most)
    except BaseException:
        for one in pictures.made.values() if pictures is not None else ():
            one.unlink(missing_ok=True)
        raise
    return look


def sent_pictures(shots: list[dict[str, Any]]) -> list[str]:
    """The pictures of the key frames and references that a film's shots have, each as often as it is one."""
    named = [[*shot.get("key_frames", {}).values(), *shot.get("references", [])] for shot in shots]
    return [str(reference_of(one).picture) for one in itertools.chain(*named)]


def _check_count(name: str, given: Sized, most: int) -> None:
    """Refuse more than the page can send back, which would then refuse whatever is changed beside it."""
    if len(given) > most:
        raise ValueError(f"project: {name} must be {most} at most, got {len(given)}")


def _brought(pictures: _Pictures | None, kind: Literal["key", "reference"], name: object, number: int) -> str:
    if pictures is None:
        raise ValueError(
            f"project: shot {number}: {_OPTION[kind]} must come in one .zip with it, as this page saves, got it alone"
        )
    return pictures.bring(kind, name, number)


def _reference(pictures: _Pictures | None, value: object, number: int) -> str:
    """A reference as the page has it: its picture's name, with its weight where that is not 1."""
    name, weight = reference_of(value)
    return _weighted(_brought(pictures, "reference", name, number), weight)


def _weighted(name: str, weight: float) -> str:
    """A reference as projects have it: no exponent, which is none of a weight's signs."""
    return name if weight == 1 else f"{Decimal(str(weight)):f}={name}"


def _time(words: str) -> str:
    """A key frame's time as the page writes it, in seconds; what is none is told of where all is checked."""
    try:
        return f"{seconds(words):.15g}"
    except ValueError:
        return words


def _unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> None:
    """Write one file of an archive; of it no more is read than it said that it has."""
    try:
        with archive.open(entry) as packed, path.open("xb") as file:
            shutil.copyfileobj(packed, file, 1 << 20)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def time_name(seconds: float) -> str:
    """A time as a file's name, as a folder of key frames has it.

    Example:
        >>> time_name(83.4)
        '00-01-23.400'
    """
    thousandths = round(seconds * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes // 60:02}-{minutes % 60:02}-{rest // 1000:02}.{rest % 1000:03}"
