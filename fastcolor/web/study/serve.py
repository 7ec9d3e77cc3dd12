"""Beginning a study and going on with one."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ...models import named
from ...options.study import StudyOptions
from ..server import need, run


def study(options: StudyOptions) -> None:
    """Do what `fastcolor study` does, until it is stopped.

    Raises:
        ValueError: an option is out of range, folders that are no study, or a database of another one.
    """
    options.check()
    _check_folders(options.folders)
    if len(options.folders) == 1:
        named.check(options.weights)
    need()
    from ...pictures.colorize import Colorizer
    from .app import application
    from .pairs import prepare
    from .store import Store

    make = Colorizer.of(options) if len(options.folders) == 1 else None
    with tempfile.TemporaryDirectory(prefix="fastcolor-study-") as folder:
        material = prepare(options.folders, Path(folder), make)
        facts = {
            "pictures": material.names,
            "digests": material.digests,
            "methods": material.methods,
            "trials": options.trials,
            "practice": options.practice,
            "seed": options.seed,
        }
        store = Store(options.database, facts)
        try:
            run(application(store, material), None, options.port, open_page=options.open)
        finally:
            store.close()


def _check_folders(folders: tuple[Path, ...]) -> None:
    """Refuse what is no study's material, before anything heavy is loaded."""
    if not folders:
        raise ValueError("folders: name at least a folder of colour photographs")
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"folders: must be folders, got {folder}")
    names = [folder.resolve().name for folder in folders[1:]]
    if len(set(names)) < len(names) or {"true", "random"} & set(names):
        raise ValueError(
            f"folders: results are told apart by their folders' names, which may not be true or random, "
            f"got {', '.join(names)}"
        )
