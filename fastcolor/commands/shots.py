"""The command that lists a film's shots."""

from __future__ import annotations

from ..atomic import whole
from ..options.project import write_project
from ..options.shots import ShotsOptions


def run_shots(options: ShotsOptions) -> int:
    """List the shots, write the project and the sheet."""
    project, sheet = options.output, options.output.with_suffix(".jpg")
    if project.suffix.lower() != ".json":
        raise ValueError(f"output: must end in .json, got {project}")
    for path in (project, sheet):
        if path.exists() and not options.overwrite:
            raise FileExistsError(f"{path} exists already; --overwrite replaces it")
    from ..film.shot_list import clock, contact_sheet, find_shots

    shots = find_shots(options.film)
    project.parent.mkdir(parents=True, exist_ok=True)
    with whole(sheet) as growing:
        contact_sheet(shots).save(growing, "JPEG", quality=88)
    with whole(project) as growing:
        write_project(growing, options.film, [(shot.start, shot.end) for shot in shots])
    for number, shot in enumerate(shots, 1):
        print(f"{number:4}  {clock(shot.start)} to {clock(shot.end)}  {shot.frames} frames")
    print(f"{project}, {sheet}")
    return 0
