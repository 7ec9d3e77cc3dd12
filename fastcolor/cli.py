"""`fastcolor ...` and `fastcolor-video IN OUT`: the same functions and options as in Python, through tyro.

Exit codes: 0 done; 1 failed or partly failed; 2 bad input or options; 3 film done, but its input was damaged; 130
Ctrl-C; 143 training ended by a request to stop. Messages are one sentence on stderr; FASTCOLOR_DEBUG=1 shows where an
error came from.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro


@dataclass(frozen=True)
class _Train:
    """Train a generator on your own colour pictures; under torchrun, in several processes."""

    data: tuple[Path, ...]
    """Folders, zip or tar files, or lists of pictures."""
    preset: str = "default"
    """The recipe."""
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


@dataclass(frozen=True)
class _Palette:
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


@dataclass(frozen=True)
class _Prior:
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


@dataclass(frozen=True)
class _Evaluate:
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
    """Colour prior of the rebalanced AuC: a .npy file, or imagenet."""
    classifier: Path | None = None
    """Network of the semantic interpretability: TorchScript, torch.export, or MobileNetV2 state dict."""
    labels: Path | None = None
    """Names of its classes, one a line; pictures lie in folders of those names."""
    fid: Path | None = None
    """Feature network (TorchScript or torch.export) of the Frechet distance."""
    lpips: Path | None = None
    """Network (TorchScript or torch.export) that tells the perceptual distance of two pictures."""
    probes: bool = False
    """Probe each block of the network with pictures in one folder a class."""
    report: Path | None = None
    """Write measures and pictures here (.html or .png)."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""


@dataclass(frozen=True)
class _Export:
    """Write weights as an ONNX file or, for this machine's GPU, a TensorRT engine, compared with torch."""

    weights: tyro.conf.Positional[str]
    """Name or file."""
    out: tyro.conf.Positional[Path]
    """A name ending in .onnx or .engine."""
    precision: Literal["fp32", "fp16", "bf16"] | None = None
    """Of the network's body. None: fp32 in .onnx; in .engine the fastest that agrees with torch."""
    pictures: Path | None = None
    """What to compare on: folder, zip or tar file, or list of pictures. None: four photographs."""
    device: str = "auto"
    """Of an .engine: auto, cuda or cuda:N."""
    overwrite: bool = False
    """Replace an existing file."""


@dataclass(frozen=True)
class _Bench:
    """Time every op here beside plain torch, torch.compile, kornia, OpenCV and others; `fastcolor[bench]` has them."""

    device: str = "cpu"
    """cpu or cuda."""
    threads: int = 1
    """CPU threads for everybody."""
    only: tuple[str, ...] = ()
    """Of color, encode, loss and decode; none: all."""
    seconds: float = 4.0
    """Time for each row."""
    out: Path | None = None
    """File for the figures as JSON."""


@dataclass(frozen=True)
class _Info:
    """Show versions, devices, and which kernels and engines are usable here, how fast, and why not the others."""

    measure: bool = False
    """Measure the engines anew and remember the fastest for "auto"."""


def _video_type() -> Any:
    from .video import VideoOptions

    def positional(metavar: str, help_text: str) -> Any:
        return Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar=metavar, help=help_text)]

    # Made here and not at the top because the options live with `video`, which needs torch.
    command = make_dataclass(
        "VideoCommand",
        [
            ("src", positional("IN", "The gray film.")),
            ("dst", positional("OUT", "The film to write.")),
            ("options", tyro.conf.OmitArgPrefixes[Annotated[VideoOptions, tyro.conf.arg(name="film")]]),
        ],
        frozen=True,
    )
    command.__doc__ = "Colour a film; sound, subtitles and time stamps are kept."
    return command


def _run_video(command: Any) -> int:
    from .video import video

    report = video(command.src, command.dst, **asdict(command.options))
    print(report)
    return 3 if report.warnings else 0


def _run_colorize(options: Any) -> int:
    from .batch import colorize_files

    outcome = colorize_files(options)
    if len(outcome.done + outcome.kept) == 1 and not outcome.failed and not outcome.skipped:
        print((outcome.done + outcome.kept)[0])
    else:
        print(outcome)
    for note in outcome.notes:
        print(note, file=sys.stderr)
    return 1 if outcome.failed else 0


def _run_batch(options: Any) -> int:
    from .fleet import batch

    summary = batch(options)
    print(summary)
    if summary.failed:
        return 1
    return 3 if summary.damaged else 0


def _run_train(options: _Train) -> int:
    from .train import train

    result = train(list(options.data), **{k: v for k, v in vars(options).items() if k != "data"})
    if os.environ.get("RANK", "0") != "0":  # under torchrun the first process speaks
        return 0
    facts = [f"{name} {value:.4g}" for name, value in result.metrics.items()]
    if result.skipped:
        facts.append(f"{result.skipped} picture{'s' if result.skipped > 1 else ''} could not be read")
    print(", ".join([f"{result.weights} after {result.steps} steps", *facts]))
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


def _run_palette(options: _Palette) -> int:
    from .palette import Palette
    from .plots import plot_palette
    from .survey import survey

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
    plot_palette(plot, palette, found and found.counts)
    counted = f"; {found.pictures} pictures, {len(found.skipped)} skipped" if found else ""
    print(f"{options.out} and {plot}: {len(palette)} bins{counted}")
    return 0


def _run_prior(options: _Prior) -> int:
    from .palette import Palette, prior_of_histogram, smooth_prior
    from .plots import plot_prior
    from .survey import save_prior, survey

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


def _run_evaluate(options: _Evaluate) -> int:
    from .evaluate import evaluate, protocol

    for name, value in evaluate(**vars(options)).items():
        unit, words = protocol(name)
        print(f"{name:24} {value:10.3f} {unit:2}  {words}")
    return 0


def _run_export(options: _Export) -> int:
    from .export import export

    print(export(**vars(options)))
    return 0


def _run_bench(options: _Bench) -> int:
    from .bench import run

    unknown = set(options.only) - set(run.FAMILIES)
    if unknown:
        raise ValueError(f"only: must be of {', '.join(run.FAMILIES)}, got {', '.join(sorted(unknown))}")
    return 1 if run.main(run.BenchOptions(**vars(options)))["failed"] else 0


def _run_info(options: _Info) -> int:
    import platform

    import torch

    from . import __version__, _native, engines, weights

    able = _native.capabilities()
    lines = [
        ("fastcolor", __version__),
        ("python, torch", f"{platform.python_version()}, {torch.__version__}"),
        ("cpu kernels", f"usable ({able['isa']}, {torch.get_num_threads()} threads)"),
        (
            "cuda kernels",
            f"usable ({able['cuda_devices']} devices)" if able["cuda_devices"] else f"no: {able['cuda_problem']}",
        ),
    ]
    lines += [(f"engine {name}", told) for name, told in engines.describe(measure=options.measure).items()]
    lines += [("weights", ", ".join(weights.names()))]
    for name in ("av", "safetensors", "PIL", "onnx", "onnxruntime", "openvino", "skimage", "cv2", "pillow_heif", "ray"):
        with contextlib.suppress(ImportError):
            lines.append((name, str(__import__(name).__version__)))
    print("\n".join(f"{name:16} {value}" for name, value in lines))
    return 0


def _commands() -> dict[str, tuple[Any, Callable[[Any], int]]]:
    from .batch import ColorizeOptions
    from .fleet import BatchOptions

    return {
        "colorize": (ColorizeOptions, _run_colorize),
        "video": (_video_type(), _run_video),
        "batch": (BatchOptions, _run_batch),
        "train": (_Train, _run_train),
        "palette": (_Palette, _run_palette),
        "prior": (_Prior, _run_prior),
        "evaluate": (_Evaluate, _run_evaluate),
        "export": (_Export, _run_export),
        "bench": (_Bench, _run_bench),
        "info": (_Info, _run_info),
    }


def _parse(kind: Any, arguments: Sequence[str], program: str, commands: Collection[str] = ()) -> Any:
    """tyro's parse, its framed error messages folded into one sentence. commands: what the first argument may name."""
    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            return tyro.cli(kind, args=list(arguments), prog=program, config=(tyro.conf.FlagCreatePairsOff,))
    except SystemExit as stop:
        if stop.code in (0, None):
            print("\n".join(_without_none(line) for line in output.getvalue().splitlines()))
            raise
        command = f"{program} {arguments[0]}" if arguments and arguments[0] in commands else program
        raise SystemExit(_fail(f"{program}: {_unframed(output.getvalue())} (see {command} --help)", 2)) from None


def _without_none(line: str) -> str:
    """A line of help with {None}|FLOAT as FLOAT, its frame where it was."""
    short = line.replace("{None}|", "")
    gap = " " * (len(line) - len(short))
    return short[:-1] + gap + "│" if short.endswith("│") else short + gap


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
            return sentence.format(*map(_PLACES.get, match.groups(), match.groups()))
    hints = [part for part in parts[1:] if part and part[0].strip().startswith(("Perhaps", "Available"))]
    return said + "".join("; " + " ".join(line.strip() for line in hint[:2]).lower() for hint in hints)


_PLACES = {"src": "IN", "dst": "OUT"}
# What tyro says, and how it is said here.
_SENTENCES = [
    (r"Error parsing (\S+): (?:no type|could not).* (?:float|FLOAT)\b.*?'(.*?)'", "{}: must be a number, got '{}'"),
    (r"Error parsing (\S+): (?:no type|invalid).*?\b(?:int|INT)\b.*?'(.*?)'", "{}: must be a whole number, got '{}'"),
    (r"Missing value for argument '(?:-\w/)?(-\S+)'", "{}: needs a value"),
    (r"Missing value for argument '(\w+)'", "{} is missing; IN and OUT take no -o"),
    (r"Expected one of \{(.*)\}", "name a command: {}"),
    (r"invalid choice '(.*)' for argument '(\S+)'. Expected one of \((.*?),?\)", "{1}: must be one of {2}, got '{0}'"),
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


def _fail(message: str, code: int) -> int:
    print(" ".join(message.split()), file=sys.stderr)
    return code


def _guard(program: str, work: Callable[[], int]) -> int:
    """Run, and turn every failure into one sentence and an exit code."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    if os.environ.get("FASTCOLOR_DEBUG") == "1":
        return work()
    warnings.simplefilter("ignore")
    try:
        return work()
    except KeyboardInterrupt as stop:
        return _fail(f"{program}: {str(stop) or 'stopped'}", 128 + getattr(stop, "signal", 2))
    except BrokenPipeError:
        return 1
    except OSError as error:
        if error.filename is not None and error.strerror:
            return _fail(f"{program}: {error.filename}: {error.strerror.lower()}", 2)
        wrong = (FileNotFoundError, FileExistsError, IsADirectoryError)
        return _fail(f"{program}: {error}", 2 if isinstance(error, wrong) else 1)
    except (ValueError, TypeError) as error:
        return _fail(f"{program}: {error}", 2)
    except Exception as error:
        return _fail(f"{program}: {error or type(error).__name__}", 1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `fastcolor`."""
    arguments = sys.argv[1:] if arguments is None else arguments

    def work() -> int:
        if list(arguments) == ["--version"]:
            return _print_version()
        commands = _commands()
        union: Any = None
        for name, (kind, _) in commands.items():
            member = Annotated[kind, tyro.conf.subcommand(name)]
            union = member if union is None else union | member
        parsed = _parse(union, arguments, "fastcolor", commands)
        run = next(run for kind, run in commands.values() if type(parsed) is kind)
        return run(parsed)

    sys.exit(_guard("fastcolor", work))


def main_video(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `fastcolor-video`."""
    arguments = sys.argv[1:] if arguments is None else arguments

    def work() -> int:
        if list(arguments) == ["--version"]:
            return _print_version()
        return _run_video(_parse(_video_type(), arguments, "fastcolor-video"))

    sys.exit(_guard("fastcolor-video", work))


def _print_version() -> int:
    from . import __version__

    print(f"fastcolor {__version__}")
    return 0
