"""Writing files whole or not at all: under a temporary name beside their own, then renamed."""

from __future__ import annotations

import errno
import glob
import hashlib
import logging
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger("fastcolor")
_unlocked: set[str] = set()  # devices whose missing locks were told of
# Of a name that a temporary one repeats: file systems take 255 bytes, encrypted ones 143, and so much is ours to add.
_REPEATED = 100


class UnwritableError(OSError):
    """Nothing more can be written there: a reason to end a whole run, not to try the next file."""


def no_more(error: BaseException) -> str:
    """Why no other file could be written either, in the system's words; empty for an error of one file alone.

    Example:
        >>> no_more(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        'no space left on device'
    """
    reasons = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in reasons:
            return os.strerror(cause.errno).lower()
        cause = cause.__cause__ or cause.__context__
    return ""


def check_folder(folder: Path) -> None:
    """See whether a folder can be written or made.

    Raises:
        UnwritableError: the system forbids it.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if there.is_dir() and not os.access(there, os.W_OK | os.X_OK):
        raise UnwritableError(f"{folder}: cannot be written (no right to write into {there})")


def beside(path: Path, ending: str) -> Path:
    """A hidden name in the same folder that tells of the file's, `.NAME.ENDING`, and that fits where the name fits.

    Example:
        >>> beside(Path("out/a.jpg"), "lock").name
        '.a.jpg.lock'
    """
    name = os.fsencode(path.name)
    if len(name) > _REPEATED:  # its head, for people, and what tells it from others of the same head
        head = name[: _REPEATED - 17].decode("utf-8", "ignore")
        return path.with_name(f".{head}-{hashlib.sha256(name).hexdigest()[:16]}.{ending}")
    return path.with_name(f".{path.name}.{ending}")


def clear(path: Path) -> None:
    """Remove what those who died while they wrote a file left of it under temporary names."""
    for left in path.parent.glob(f"{glob.escape(beside(path, '').name)}*.tmp"):
        left.unlink(missing_ok=True)


@contextmanager
def whole(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Write a file whole or not at all.

    Args:
        path: what the file is to be called; a file of that name is replaced at once. Its folder must exist.
        durable: on the disk before it bears its name, so that a power cut leaves the old file or the new one.

    Yields:
        The name of an empty file to write, or to replace. It gets the name `path` at the end, with the rights that
        any new file gets; when the block raises, it goes.

    Raises:
        OSError: a folder that is not there or cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with whole(Path(folder, "a.txt")) as growing:
        ...         _ = growing.write_text("all of it")
        ...     Path(folder, "a.txt").read_text()
        'all of it'
    """
    growing = beside(path, f"{secrets.token_hex(4)}.tmp")  # a process's number is not its own on a shared disk
    with growing.open("xb") as file:
        rights = os.fstat(file.fileno()).st_mode & 0o777
    try:
        yield growing
        growing.chmod(rights)  # some libraries put a file of their own there, which only its owner can read
        publish(growing, path, durable=durable)
    finally:
        growing.unlink(missing_ok=True)


def publish(growing: Path, path: Path, *, durable: bool = False) -> None:
    """Give a file that is whole its name; what was there is replaced at once. durable: as in `whole`."""
    if durable:
        with growing.open("rb+") as file:
            os.fsync(file.fileno())
    os.replace(growing, path)


def write_bytes(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Write a file, as `whole` does."""
    with whole(path, durable=durable) as growing:
        growing.write_bytes(content)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a `.safetensors` file, on the disk before it bears its name."""
    from safetensors.torch import save_file  # which imports torch

    with whole(path, durable=True) as growing:
        save_file(dict(tensors), growing, metadata=dict(metadata))


def lock(file: IO[Any], path: Path) -> bool:
    """Take the lock of an open file, which ends with its process. False: another process has it.

    Where the system or the file system has no locks, nothing keeps others out: that is said, once a disk.
    """
    taken = _flock(file)
    if taken is None:
        device = str(path.stat().st_dev)
        if device not in _unlocked:
            _unlocked.add(device)
            log.warning(
                "%s: no file locks there; let one process at a time work in this folder, or use shards", path.parent
            )
    return taken is not False


def locked(path: Path) -> IO[str] | None:
    """A lock's file, made where there is none, open from its beginning and locked; None when another process has it.

    Whoever lets go of it may remove the file first, while nobody else can have it.
    """
    while True:
        file = path.open("a+", errors="replace")
        file.seek(0)
        if not lock(file, path):
            file.close()
            return None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()  # its last holder has removed it: what is locked here bears no name any more


def wait_for_lock(file: IO[Any], why: str = "") -> None:
    """The same once no other process has it. why: a sentence for who has to wait. Without locks, nobody waits."""
    if _flock(file) is False:
        if why:
            log.warning("%s", why)
        _flock(file, wait=True)


def _flock(file: IO[Any], *, wait: bool = False) -> bool | None:
    """Whether the lock was taken; None: there are none, as on Windows and some network drives."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return None
    return True
