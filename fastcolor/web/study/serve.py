"""Beginning a study and going on with one."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from ...film.resume import fingerprint
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
    from .store import Store, check

    check(options.database)
    make = colours = None
    if len(options.folders) == 1:
        make = partial(Colorizer.of(options), temperature=options.temperature, saturation=options.saturation)
        colours = _own_colours(options)
    with tempfile.TemporaryDirectory(prefix="fastcolor-study-") as folder:
        material = prepare(options.folders, Path(folder), make)
        facts = {
            "pictures": material.names,
            "digests": material.digests,
            "methods": material.methods,
            "colours": colours,
            "trials": options.trials,
            "practice": options.practice,
            "seed": options.seed,
        }
        store = Store(options.database, facts)
        try:
            run(application(store, material), None, options.port, open_page=options.open)
        finally:
            store.close()


def _own_colours(options: StudyOptions) -> dict[str, Any]:
    """What decides our own colours; engines differ by roundings alone."""
    members = [(share, fingerprint(named.locate(name))) for name, share in named.members(options.weights)]
    names = ("merge", "as_published", "temperature", "saturation", "size")
    return {"weights": members, **{name: getattr(options, name) for name in names}}


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
