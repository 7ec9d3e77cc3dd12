"""The unfinished film on disk: `OUT.part/` beside the output holds the parts that are done, each a film of its own.

A part counts once its picture and, after it, the record of what came next to it (a `.safetensors` file: colours that
the following frame is averaged with) have their names. `job.json` says what the parts were made from, so that nobody
goes on with something else.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..atomic import beside, locked, publish, write_bytes

if TYPE_CHECKING:
    from torch import Tensor

FRAMES = 240  # of a part, or a little less: what a kill loses at most

_OWN = re.compile(
    r"(\d{6}|growing|whole)(\.chroma)?\.\w+|(job|end)\.json|\..*\.tmp"
)  # what is cleared away, and nothing else

Job = dict[str, dict[str, Any]]  # section -> name -> value


def part_of(batch: int) -> int:
    """Frames of a part, in batches of so many."""
    return max(1, FRAMES // batch) * batch


def fingerprint(path: Path) -> str:
    """Size and hash of a file; of a large one the hash of 64 pieces spread over it, 64 MiB in all."""
    size, piece = path.stat().st_size, 1 << 20
    starts = range(0, size, piece) if size <= 64 * piece else [round(i * (size - piece) / 63) for i in range(64)]
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for start in starts:
            file.seek(start)
            digest.update(file.read(piece))
    return f"{size} bytes, {digest.hexdigest()[:32]}"


def folder_of(dst: Path) -> Path:
    """Where the parts of an output lie."""
    fits = len(os.fsencode(dst.name)) <= 250  # file systems take names of 255 bytes
    return dst.with_name(f"{dst.name}.part") if fits else beside(dst, "part")


def check_unfinished(dst: Path, *, resume: bool, overwrite: bool) -> None:
    """FileExistsError where another run's parts are there, and neither `resume` nor `overwrite` was asked for."""
    folder = folder_of(dst)
    if folder.exists() and not (resume or overwrite):
        raise FileExistsError(
            f"{folder} holds an unfinished run; --resume (resume=True) goes on with it, "
            "--overwrite (overwrite=True) starts anew"
        )


class ChangedError(ValueError):
    """There are parts, but they were made from something else."""


@dataclass(frozen=True)
class Done:
    """What is known of a finished part."""

    path: Path
    frames: int
    delay: int  # frames that its encoder reorders over
    state: dict[str, Tensor]


class Parts:
    """The folder of one output's parts.

    Raises:
        FileExistsError: another run's parts are there, and neither `resume` nor `overwrite` was asked for.
        ChangedError: a resume of parts that were made from something else, which the message names.
        OSError: the folder cannot be made, or another process works in it.
    """

    def __init__(self, dst: Path, job: Job, *, resume: bool, overwrite: bool) -> None:
        self.dst, self.folder = dst, folder_of(dst)
        self._lock: Any = None
        self._known = False  # whether `done` is all that there is of use
        self.done: list[Done] = []
        self.painted_by: str | None = None  # the engine of the parts there are
        check_unfinished(dst, resume=resume, overwrite=overwrite)
        if self.folder.exists() and resume:
            self._compare(job)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._take()
            if resume:
                self.done = self._finished()
            self._known = True
            if not resume:
                self._clear()
            with suppress(FileNotFoundError):  # a join that was broken off
                self.whole.unlink()
            write_bytes(self.folder / "job.json", json.dumps(job, indent=1).encode(), durable=True)
        except BaseException as error:
            self.leave()
            if isinstance(error, OSError):
                raise OSError(f"cannot write {dst}: {error.strerror or error}") from None
            raise

    @property
    def frames(self) -> int:
        """Frames in finished parts."""
        return sum(part.frames for part in self.done)

    @property
    def whole(self) -> Path:
        """Where the joined film grows until it gets its name."""
        return self.folder / f"whole{self.dst.suffix}"

    def next(self) -> Path:
        """A temporary name for the part after the last one."""
        return self.folder / f"growing{self.dst.suffix}"

    def next_chroma(self) -> Path:
        """A temporary name for the chroma film's part after the last one."""
        return self.folder / "growing.chroma.mkv"

    @staticmethod
    def chroma(part: Path) -> Path:
        """The chroma film of a part."""
        return part.with_suffix(".chroma.mkv")

    def add(self, frames: int, delay: int, state: dict[str, Tensor]) -> None:
        """Count the file at `next()` as the next part."""
        from safetensors.torch import save

        path = self._path(len(self.done))
        if self.next_chroma().exists():
            publish(self.next_chroma(), self.chroma(path), durable=True)
        publish(self.next(), path, durable=True)
        facts = {"frames": str(frames), "delay": str(delay)}
        write_bytes(self.folder / f"{path.stem}.safetensors", save(state, metadata=facts), durable=True)
        self.done.append(Done(path, frames, delay, state))

    def end(self, warnings: list[str]) -> None:
        """Remember that the film holds nothing after the parts there are."""
        told = {"frames": self.frames, "warnings": warnings}
        write_bytes(self.folder / "end.json", json.dumps(told).encode(), durable=True)

    @property
    def ended(self) -> list[str] | None:
        """The warnings of the run that came to the film's end; None before that, or where a part is gone since."""
        with suppress(FileNotFoundError, ValueError):
            told = json.loads((self.folder / "end.json").read_text())
            if isinstance(told, dict) and told.get("frames") == self.frames:
                return list(told["warnings"])
        return None

    def publish(self) -> None:
        """Give the joined film its name and, once it is on the disk, clear the parts away."""
        publish(self.whole, self.dst, durable=True)
        self.discard()

    def leave(self) -> None:
        """Give up: the parts that are done stay, and without any nothing does."""
        if self.done:
            self.close()
        else:
            self.discard()

    def discard(self) -> None:
        """Remove the folder."""
        if self._known:
            self._clear()
        self.close()
        with suppress(OSError):  # somebody else's file lies in it
            self.folder.rmdir()

    def close(self) -> None:
        """Let go of the folder, and leave it."""
        if self._lock:
            with suppress(OSError):  # first, as after that it may be another's; Windows removes no open file
                (self.folder / "lock").unlink()
            self._lock.close()
            self._lock = None

    def _path(self, index: int) -> Path:
        return self.folder / f"{index:06d}{self.dst.suffix}"

    def _take(self) -> None:
        """Keep other processes out, for as long as this one lives."""
        file = locked(self.folder / "lock")  # as it is: in a folder of somebody else's it may be a link
        if file is None:
            raise OSError(f"another process works in {self.folder}")
        self._lock = file  # ours now: who is interrupted before removes nobody else's

    def _clear(self) -> None:
        for path in self.folder.iterdir():
            if _OWN.fullmatch(path.name):
                path.unlink()

    def _compare(self, job: Job) -> None:
        try:
            old = json.loads((self.folder / "job.json").read_text())
        except FileNotFoundError:  # killed before it had written anything
            return
        except ValueError:
            raise ChangedError(f"{self.folder}/job.json is damaged; --overwrite (overwrite=True) starts anew") from None
        self.painted_by = old.get("painted by", {}).get("engine")
        changed: list[str] = []
        for section, values in job.items():
            before = old.get(section, {})
            if section in ("input", "weights"):  # the same content under another name is the same
                changed += [f"{section} {name}" for name, now in values.items() if now not in before.values()]
            elif section != "painted by":  # engines differ by roundings alone
                changed += [
                    f"{section} {name} ({before.get(name)!r}, now {now!r})"
                    for name, now in values.items()
                    if now != before.get(name)
                ]
        if changed:
            raise ChangedError(
                f"{self.folder} cannot be resumed, since this changed: {', '.join(changed)}; "
                "--overwrite without --resume starts anew"
            )

    def _finished(self) -> list[Done]:
        from safetensors import SafetensorError, safe_open

        done: list[Done] = []
        while True:
            path = self._path(len(done))
            record = path.with_suffix(".safetensors")
            if not (path.exists() and record.exists()):
                return done
            try:
                with safe_open(record, framework="pt") as file:
                    facts = file.metadata()
                    state = {key: file.get_tensor(key) for key in file.keys()}
                done.append(Done(path, int(facts["frames"]), int(facts["delay"]), state))
            except (SafetensorError, KeyError):
                return done
            except OSError as error:  # not damaged: nobody wants hours painted again since a disk did not answer
                raise OSError(f"cannot read {record}: {error.strerror or error}") from None
