"""The commands around training: `train`, `palette`, `prior` and `evaluate`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro


@dataclass(frozen=True)
class TrainOptions:
    """Train a generator on your own colour pictures; under torchrun, in several processes."""

    data: tuple[Path, ...]
    """Folders, zip or tar files, or lists of pictures."""
    preset: str | None = None
    """The recipe. None: default, or fine-tune with --start."""
    out: Path = Path("runs/a")
    """Folder for log, checkpoints, samples and weights."""
    steps: int | None = None
    """Steps in all. None: the preset's."""
    batch_size: int | None = None
    """Crops a step and process. None: the preset's."""
    crop: int | None = None
    """Side of a crop in pixels. None: the preset's."""
    seed: int = 0
    """Of weights, crops and noise."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    """Of the networks. auto: bf16 where the processor computes in it."""
    start: str | None = None
    """Weights to go on from, a name or file: their network, palette and all they know."""
    encoder: str | None = None
    """ImageNet weights to start the encoder from: a file, or resnet18 to download it."""
    palette: Path | None = None
    """Of a classifier, from `fastcolor palette`. None: the 313-point grid."""
    prior: Path | None = None
    """Colour prior for the class weights, from `fastcolor prior` or a prior_probs.npy. None: measured on the data."""
    workers: int = 1
    """Processes that read pictures."""
    accumulate: int = 1
    """Pieces that a batch goes through the networks in, to save memory."""
    compile: bool = False
    """Compile the generator."""
    on_bad_picture: Literal["skip", "stop"] = "skip"
    """What to do about a picture that cannot be read."""
    on_bad_loss: Literal["skip", "stop"] = "stop"
    """What to do about a loss that is not finite; ten in a row stop the run in any case."""
    checkpoint_every: int = 500
    """Steps between checkpoints."""
    keep: int = 2
    """Checkpoints that stay."""
    sheet_every: int | None = None
    """Steps between sample sheets. None: with every checkpoint."""
    tensorboard: bool = False
    """Write TensorBoard's files too (extra `tensorboard`)."""
    resume: bool = False
    """Go on from the last checkpoint in the output folder."""


def run_train(options: TrainOptions) -> int:
    from ..training.train import train

    result = train(list(options.data), **{k: v for k, v in vars(options).items() if k != "data"})
    if os.environ.get("RANK", "0") != "0":  # under torchrun the first process speaks
        return 0
    facts = [f"{name} {value:.4g}" for name, value in result.metrics.items()]
    if result.skipped:
        facts.append(f"{result.skipped} picture{'s' if result.skipped > 1 else ''} could not be read")
    print(", ".join([f"{result.weights} after {result.steps} steps", *facts]))
    return 0


@dataclass(frozen=True)
class PaletteOptions:
    """Make a palette for classifiers, and a picture of it: the published grid, or k-means on a data set's colours."""

    out: Path
    """File to write, .safetensors (with where it came from), .json or .npy; the picture gets the same name in .png."""
    data: tuple[Path, ...] = ()
    """Folders, zip or tar files, or lists of pictures. None: the grid."""
    bins: int = 313
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
    from ..evaluation.plots import plot_palette
    from ..palette import Palette
    from ..survey import survey

    plot = _new_files(options.out, (".safetensors", ".json", ".npy"), options.overwrite)
    if options.data:
        found = survey(options.data, size=options.size, device=options.device, progress=True)
        palette = Palette.of_histogram(found.counts, options.bins, seed=options.seed)
        facts = {"kind": "kmeans", "seed": str(options.seed), **found.provenance}
    else:
        if options.bins != 313:
            raise ValueError(f"bins: the grid has 313 bins, and any other number needs --data, got {options.bins}")
        found, palette, facts = None, Palette.grid(), {"kind": "grid"}
    palette.save(options.out, facts)
    plot_palette(plot, palette, found.counts if found else None)
    counted = f"; {found.pictures} pictures, {len(found.skipped)} skipped" if found else ""
    print(f"{options.out} and {plot}: {len(palette)} bins{counted}")
    return 0


@dataclass(frozen=True)
class PriorOptions:
    """Measure how frequent each colour of a palette is in a data set, and draw it."""

    out: Path
    """File to write, .safetensors (with where it came from) or .npy; the picture gets the same name in .png."""
    data: tuple[Path, ...]
    """Folders, zip or tar files, or lists of pictures."""
    palette: Path | None = None
    """From `fastcolor palette`. None: the 313-point grid."""
    hard: bool = False
    """Count the nearest colour only, in place of the five nearest softly."""
    smooth: float = 5.0
    """Width of the Gaussian that smooths the result, in ab units; 0: none."""
    size: int | None = 256
    """Pictures of twice this short side or more are shrunk first; None: counts every pixel."""
    device: str = "cpu"
    """That counts: cpu or cuda."""
    overwrite: bool = False
    """Replace files that exist."""


def run_prior(options: PriorOptions) -> int:
    from ..evaluation.plots import plot_prior
    from ..palette import Palette, prior_of_histogram, save_prior, smooth_prior
    from ..survey import survey

    plot = _new_files(options.out, (".safetensors", ".npy"), options.overwrite)
    if options.smooth < 0:
        raise ValueError(f"smooth: must not be negative, got {options.smooth}")
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


def _new_files(out: Path, endings: tuple[str, ...], overwrite: bool) -> Path:
    """The name of the picture beside `out`; an error when either is there or cannot be."""
    if out.suffix not in endings:
        raise ValueError(f"out: must end in {', '.join(endings)}, got {out}")
    plot = out.with_suffix(".png")
    for path in (out, plot):
        if path.exists() and not overwrite:
            raise FileExistsError(f"{path} exists already; --overwrite replaces it")
    out.parent.mkdir(parents=True, exist_ok=True)
    return plot


@dataclass(frozen=True)
class EvaluateOptions:
    """Measure how well weights colour a set of colour pictures."""

    weights: tyro.conf.Positional[str]
    """Name or file."""
    data: tyro.conf.Positional[Path]
    """Folder, zip or tar file, or list of pictures."""
    temperature: float | None = None
    """None: the weights' own."""
    saturation: float = 1.0
    """Factor on the colours."""
    limit: int | None = None
    """Measure the first so many."""
    square: int | None = None
    """Crop to the central square and resize to this side first."""
    prior: str | None = None
    """Colour prior of the rebalanced AuC: from `fastcolor prior`, a .npy file, or imagenet."""
    classifier: Path | None = None
    """Network of the semantic interpretability: TorchScript, torch.export, or MobileNetV2 state dict."""
    labels: Path | None = None
    """Names of its classes, one a line; pictures lie in folders of those names."""
    fid: Path | None = None
    """Feature network (TorchScript or torch.export) of the Frechet distance."""
    lpips: Path | None = None
    """Network (TorchScript or torch.export) that tells the perceptual distance of two pictures."""
    perceptual: Path | None = None
    """SqueezeNet 1.1 (a state dict under torchvision's names) of a perceptual distance to rank weights by."""
    perceptual_layers: Path | None = None
    """The weights of its channels (a state dict of lin0..6.weight, as LPIPS publishes them)."""
    probes: bool = False
    """Probe each block of the network with pictures in one folder a class."""
    report: Path | None = None
    """Write measures and pictures, from best to worst, here (.html or .png)."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    engine: Literal["auto", "torch", "onnx", "openvino", "tensorrt"] = "auto"
    """What runs the network."""


def run_evaluate(options: EvaluateOptions) -> int:
    from ..evaluation.evaluate import evaluate, protocol

    for name, value in evaluate(**vars(options)).items():
        unit, words = protocol(name)
        print(f"{name:24} {value:10.3f} {unit:3}  {words}")
    return 0
