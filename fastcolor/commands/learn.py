"""The commands around training: `train`, `palette`, `prior` and `evaluate`."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ..evaluation.options import EvaluateOptions
from ..options.base import Must, Options
from ..training.options import TrainOptions

_FROM_ZERO = Must("be 0 or more, and finite", lambda value: 0 <= value < math.inf)


def run_train(options: TrainOptions) -> int:
    from ..training.train import train

    result = train(**vars(options))
    if os.environ.get("RANK", "0") != "0":  # under torchrun the first process speaks
        return 0
    facts = [f"{name} {value:.4g}" for name, value in result.metrics.items()]
    if result.skipped:
        facts.append(f"{result.skipped} picture{'s' if result.skipped > 1 else ''} could not be read")
    print(", ".join([f"{result.weights} after {result.steps} steps", *facts]))
    return 0


@dataclass(frozen=True)
class PaletteOptions(Options):
    """Make a palette for classifiers, and a picture of it: the published grid, or k-means on a data set's colours."""

    out: Path
    """File to write, .safetensors (with where it came from), .json or .npy; the picture gets the same name in .png."""
    data: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DATA [DATA ...]")] = ()
    """Folders, zip or tar files, or lists of pictures. None: the grid."""
    bins: Annotated[int, Must("lie in 8..1024", lambda value: 8 <= value <= 1024)] = 313
    """Colours of a k-means palette."""
    size: int | None = 256
    """Pictures of twice this short side or more are shrunk first; None: counts every pixel."""
    seed: int = 0
    """Of the clustering."""
    device: str = "cpu"
    """That counts: cpu or cuda."""
    overwrite: bool = False
    """Replace files that exist."""


def run_palette(options: PaletteOptions) -> int:
    if not options.data and options.bins != 313:
        raise ValueError(f"bins: the grid has 313 bins, and any other number needs --data, got {options.bins}")
    options.check()
    plot = _new_files(options.out, (".safetensors", ".json", ".npy"), options.overwrite, options.data)
    from ..evaluation.plots import plot_palette
    from ..palette import Palette
    from ..survey import survey

    if options.data:
        found = survey(options.data, size=options.size, device=options.device, progress=True)
        palette = Palette.of_histogram(found.counts, options.bins, seed=options.seed)
        facts = {"kind": "kmeans", "seed": str(options.seed), **found.provenance}
    else:
        found, palette, facts = None, Palette.grid(), {"kind": "grid"}
    palette.save(options.out, facts)
    plot_palette(plot, palette, found.counts if found else None)
    counted = f"; {found.pictures} pictures, {len(found.skipped)} skipped" if found else ""
    print(f"{options.out} and {plot}: {len(palette)} bins{counted}")
    return 0


@dataclass(frozen=True)
class PriorOptions(Options):
    """Measure how frequent each colour of a palette is in a data set, and draw it."""

    out: Path
    """File to write, .safetensors (with where it came from) or .npy; the picture gets the same name in .png."""
    data: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DATA [DATA ...]")]
    """Folders, zip or tar files, or lists of pictures."""
    palette: Path | None = None
    """From `fastcolor palette`. None: the 313-point grid."""
    hard: bool = False
    """Count the nearest colour only, in place of the five nearest softly."""
    smooth: Annotated[float, _FROM_ZERO] = 5.0
    """Width of the Gaussian that smooths the result, in ab units; 0: none."""
    size: int | None = 256
    """Pictures of twice this short side or more are shrunk first; None: counts every pixel."""
    device: str = "cpu"
    """That counts: cpu or cuda."""
    overwrite: bool = False
    """Replace files that exist."""


def run_prior(options: PriorOptions) -> int:
    options.check()
    plot = _new_files(options.out, (".safetensors", ".npy"), options.overwrite, options.data)
    from ..evaluation.plots import plot_prior
    from ..palette import Palette, prior_of_histogram, save_prior, smooth_prior
    from ..survey import survey

    palette = Palette.load(options.palette) if options.palette else Palette.grid()
    found = survey(options.data, size=options.size, device=options.device, progress=True)
    p = smooth_prior(prior_of_histogram(found.counts, palette, hard=options.hard), palette, sigma=options.smooth)
    encoding = "nearest" if options.hard else "five nearest, sigma 5"
    facts = {"encoding": encoding, "smooth_sigma": str(options.smooth), "palette": palette.key, **found.provenance}
    save_prior(options.out, p, palette, facts)
    plot_prior(plot, p, palette)
    a, b = palette.points[int(p.argmax())].tolist()
    print(
        f"{options.out} and {plot}: most frequent ab ({a:g}, {b:g}) at {float(p.max()):.4f}; "
        f"{found.pictures} pictures, {len(found.skipped)} skipped"
    )
    return 0


def _new_files(out: Path, endings: tuple[str, ...], overwrite: bool, data: Sequence[Path]) -> Path:
    """The name of the picture beside `out`; an error when either is there or cannot be, or `data` holds no pictures."""
    if out.suffix not in endings:
        raise ValueError(f"out: must end in {', '.join(endings)}, got {out}")
    plot = out.with_suffix(".png")
    for path in (out, plot):
        if path.exists() and not overwrite:
            raise FileExistsError(f"{path} exists already; --overwrite replaces it")
    if data:
        from ..data import find

        find(data)
    out.parent.mkdir(parents=True, exist_ok=True)
    return plot


def run_evaluate(options: EvaluateOptions) -> int:
    from ..evaluation.evaluate import evaluate, evaluate_each
    from ..evaluation.protocols import protocol

    given = os.fspath(options.weights)
    if "," in given and not Path(given).exists():
        from ..evaluation.table import Table

        several = {name: getattr(options, name) for name in vars(options) if name != "weights"}
        print(Table.of(evaluate_each([name.strip() for name in given.split(",")], **several)))
        return 0
    for name, value in evaluate(**vars(options)).items():
        unit, words = protocol(name)
        print(f"{name:24} {value:10.3f} {unit:3}  {words}")
    return 0
