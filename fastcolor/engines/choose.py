"""What runs the network, and nothing else: L at network size in, logits or ab out.

Lab, resizing, decoding and painting are `fastcolor.ops`, before and after, so engines are interchangeable. Engines
other than torch run the exported network (`fastcolor.export`), and are used if their results are torch's.

Making an engine is three steps: the candidates (an engine and a precision each); those of them that are verified, which
are made and compared with torch on photographs; and the fastest of these, measured once a machine and remembered.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from ..device import device_of, int8_is_fast
from ..models import weights
from ..models.generator import ENGINES, Generator, Precision
from . import cache, files, onnx, openvino, session, tensorrt, tensorrt_build, timings
from .exported import Exported
from .parity import DTYPES, Trial
from .timings import Engine
from .torch import TorchEngine, precisions

log = logging.getLogger(__name__)
_ON_CPU = ("onnx", "openvino")
_PACKAGES = {"onnx": ("onnxruntime",), "openvino": ("openvino",), "tensorrt": ("tensorrt", "tensorrt_rtx")}
# Exporting a network with symbols takes 10 to 40 seconds and saves a third of torch's time or more: from so many
# seconds of torch's on, it pays in the same run.
_PAYS_FROM = 120.0


class Problem(str):
    """Why something is not used."""


@dataclass(frozen=True)
class Candidate:
    """A way to run a network. `precision`: of the arithmetic; None: the engine's own choice when it is built."""

    engine: str
    precision: Precision | None

    def __str__(self) -> str:
        return f"{self.engine} {self.precision}" if self.precision else self.engine


def choose(generator: Generator, device: str = "auto", engine: str = "auto", *, amount: int = 1) -> Engine:
    """Make the engine for a generator.

    Args:
        device: as `device_of` takes it; "auto" is the CPU for an engine or an exported file that runs there alone.
        engine: "torch", "onnx" (ONNX Runtime) and "openvino" on the CPU, "tensorrt" on a GPU; "auto": the fastest
            of those that are ready, measured once a machine.
        amount: about how many will be coloured. For many, "auto" exports networks for which that takes long.

    Returns:
        The engine; torch instead of one whose results are not torch's, with a warning.

    Raises:
        ValueError: an unknown device or engine, one that does not fit the other, or a package that is not there.
        RuntimeError: no engine gives what an exported file should.

    Example:
        >>> choose(load("default"), "cpu", "torch").device.type  # doctest: +SKIP
        'cpu'
    """
    if engine not in ("auto", *ENGINES):
        raise ValueError(f"engine: must be auto, {', '.join(ENGINES[:-1])} or {ENGINES[-1]}, got {engine!r}")
    where = _device(generator, device, engine)
    if engine == "auto":
        found = fastest(generator, where, candidates(generator, where, amount))
    else:
        check_fits(generator, engine, where)
        found = _asked_for(generator, where, engine)
    if isinstance(found, Problem):
        raise RuntimeError(found)
    _note(generator, device, engine, found)
    return found


def _note(generator: Generator, device: str, engine: str, found: Engine) -> None:
    """Keep whether the package's INT8 network does for what was asked, for runs that start with it."""
    file = files.shipped(generator)
    if file is None:
        return
    chosen = isinstance(found, onnx.OnnxEngine) and found.precision == "int8"
    good = chosen
    if engine == "auto" and not chosen and found.device.type == "cpu":
        names = [str(candidate) for candidate in candidates(generator, found.device)]
        times = timings.recall(generator, found.device, names)
        good = times is not None and "onnx int8" in times["ms"]  # what was found wrong has none
    session.remember(device, engine, file if good else None, torch.get_num_threads(), int8_is_fast(), chosen=chosen)


def _device(generator: Generator, device: str, engine: str) -> torch.device:
    """The device that a name means for these."""
    where = device_of(device)
    if where.type == "cuda" and not _runs_on_gpu(generator, engine):
        if device == "auto":
            return torch.device("cpu")
        if engine == "auto":
            check_fits(generator, "tensorrt", where)
    if where.type == "cpu" and generator.runs_on == ("tensorrt",):
        raise ValueError("weights: a TensorRT engine runs on the GPU that it was built for, got device cpu")
    return where


def _runs_on_gpu(generator: Generator, engine: str) -> bool:
    """Whether the engine, or for "auto" any that is usable, runs the generator on a GPU."""
    if engine != "auto":
        return engine not in _ON_CPU
    if "torch" in generator.runs_on or generator.runs_on == ("tensorrt",):
        return True
    try:
        tensorrt.runtime()
    except ValueError:
        return False
    return "tensorrt" in generator.runs_on


def check_fits(generator: Generator, engine: str, device: torch.device) -> None:
    """Raise ValueError when an engine does not run the generator, or not on the device."""
    if engine == "torch":
        if "torch" not in generator.runs_on:
            raise ValueError("engine: torch runs .safetensors weights, got an exported file")
        return
    if (engine == "tensorrt") != (device.type == "cuda"):
        raise ValueError(
            f"engine: {engine} runs on {'a GPU' if engine == 'tensorrt' else 'the CPU'}, got device {device}"
        )
    if engine not in generator.runs_on:
        raise ValueError(f"weights: an exported file in {generator.precision} runs on the CPU, got device {device}")


def candidates(generator: Generator, device: torch.device, amount: int = 1) -> list[Candidate]:
    """What "auto" chooses among, the one that is expected to be fastest first: what is installed and made in a moment.

    TensorRT's builds, and exports of networks that bake their size in, take too long to be started unasked, but count
    once they are there, or when so many pictures are to be coloured that exporting pays.
    """
    found = []
    if device.type == "cuda":
        if generator.runs_on == ("tensorrt",) or (
            "tensorrt" in generator.runs_on
            and _installed("tensorrt")
            and ("torch" not in generator.runs_on or tensorrt_build.path_of(generator, device).exists())
        ):
            found.append(Candidate("tensorrt", None))
    else:
        engines = [name for name in _ON_CPU if name in generator.runs_on and _installed(name)]
        if engines and _file_ready(generator, amount):
            found += [candidate for name in engines for candidate in _rungs(generator, name, device)[0]]
    if "torch" in generator.runs_on:
        found += [Candidate("torch", precision) for precision in precisions(device)]
    return found or [Candidate("onnx", generator.precision)]


def _file_ready(generator: Generator, amount: int) -> bool:
    """Whether there is an ONNX file to run, made now if that is done in a moment or pays."""
    if files.shipped(generator) is not None:
        return True

    def patient() -> bool:
        pays = _export_pays(generator, amount)
        if pays:
            _tell(f"exporting {generator.name}, which takes long, once")
        return pays

    return files.ready(generator, patient=patient) is None


def _export_pays(generator: Generator, amount: int) -> bool:
    """Whether so many pictures take torch so long that exporting with symbols pays at once."""
    if amount < 2 or "torch" not in generator.runs_on:
        return False
    lightness = torch.full((1, 1, generator.trial_side, generator.trial_side), 50.0)
    with torch.inference_mode():
        seconds = min(timings.one_run(generator.model, lightness) for _ in range(2))
    return amount * seconds * (generator.side / generator.trial_side) ** 2 > _PAYS_FROM


def _rungs(generator: Generator, engine: str, device: torch.device) -> list[list[Candidate]]:
    """An engine's candidates; those of a rung are for when none of the one before gives what torch does."""
    if engine == "tensorrt":
        return [[Candidate(engine, None)]]
    own: tuple[Precision, ...] = ("fp32",) if engine == "onnx" else precisions(device)
    in_float, in_int8 = [Candidate(engine, precision) for precision in own], [Candidate(engine, "int8")]
    if engine == "torch":
        return [in_float]
    if isinstance(generator.network, Exported):
        return [
            [Candidate(engine, generator.precision)] if engine == "onnx" or generator.precision == "int8" else in_float
        ]
    return [in_float] if files.shipped(generator) is None else [in_int8, in_float]


def _asked_for(generator: Generator, device: torch.device, engine: str) -> Engine | Problem:
    """The fastest of an engine's precisions, or torch's when none gives what torch does or nothing can be exported."""
    _require(engine)
    found: Engine | Problem = Problem()
    trial = Trial(generator)
    for rung in _rungs(generator, engine, device):
        found = fastest(generator, device, rung, trial=trial)
        if not isinstance(found, Problem):
            return found
    if engine == "torch" or "torch" not in generator.runs_on:
        return found
    log.warning(f"engine {engine}: {found}; torch is used instead")
    return _asked_for(generator, device, "torch")


def _installed(engine: str) -> bool:
    """Whether the package is there; importing it takes a while, which most processes need not spend."""
    return any(importlib.util.find_spec(package) is not None for package in _PACKAGES[engine])


def _require(engine: str) -> Any:
    """The engine's package. ValueError: it is not installed, or does not load."""
    runtimes: dict[str, Callable[[], Any]] = {
        "onnx": session.runtime,
        "openvino": openvino.runtime,
        "tensorrt": tensorrt.runtime,
    }
    return runtimes.get(engine, lambda: torch)()


def _loads(engine: str) -> bool:
    try:
        _require(engine)
    except ValueError:
        return False
    return True


def fastest(
    generator: Generator,
    device: torch.device,
    among: list[Candidate],
    *,
    again: bool = False,
    trial: Trial | None = None,
) -> Engine | Problem:
    """The candidate that was fastest here, measured now if it was not before, or `again`. Where nothing can be kept,
    the first that is verified. trial: what is compared, if others are too."""
    trial = trial or Trial(generator)
    names = [str(candidate) for candidate in among]
    measures = len(among) > 1 and cache.writable()
    known = timings.recall(generator, device, names) if measures and not again else None
    if known is not None and _loads(known["fastest"].split()[0]):
        found = verified(generator, device, among[names.index(known["fastest"])], trial)
        if not isinstance(found, Problem):
            return found
    engines: dict[str, Engine] = {}
    times: dict[str, list[float]] = {}
    problem = Problem()
    if measures:
        _tell("measuring engines, once on this machine")
    for candidate in among:
        if len(among) > 1 and not _loads(candidate.engine):
            continue  # it is installed, but does not load; `usable` says why
        if generator.large:
            engines.clear()  # two of them would not fit everywhere
        found = verified(generator, device, candidate, trial)
        if isinstance(found, Problem):
            problem = found
            continue
        if not measures:
            return found
        engines[str(candidate)] = found
        del found
        if generator.large:
            times |= timings.measure(engines, generator, device)
    if engines and not generator.large:  # side by side, as a machine is now quick and now slow
        times = timings.measure(engines, generator, device)
    if not times:
        return problem
    best = timings.remember(times, generator, device, names)["fastest"]
    return engines.get(best) or verified(generator, device, among[names.index(best)], trial)


def verified(generator: Generator, device: torch.device, candidate: Candidate, trial: Trial) -> Engine | Problem:
    """A candidate's engine if it gives what torch gives on photographs. Why not is warned of, and remembered."""
    problem = Problem()
    for make in _attempts(generator, device, candidate):
        try:
            network, engine = make()
            key = f"{candidate} {_require(candidate.engine).__version__} {network}"
            problem = Problem(_problem(engine, key, generator, candidate, trial))
        except RuntimeError as error:
            problem = Problem(str(error).splitlines()[0])
        if not problem:
            return engine
        # Nobody asks for a precision of torch's: it goes on in another.
        level = logging.INFO if candidate.engine == "torch" else logging.WARNING
        log.log(level, f"engine {candidate} is not used: {problem}")
    return problem


def _attempts(
    generator: Generator, device: torch.device, candidate: Candidate
) -> Iterator[Callable[[], tuple[str, Engine]]]:
    """What to try one after the other: what makes an engine, and says of what network it is, by its hash."""
    precision = str(candidate.precision)
    if candidate.engine == "torch":
        yield lambda: (generator.digest, TorchEngine(generator.model, device, DTYPES[precision]))
    elif candidate.engine == "tensorrt":
        yield lambda: (generator.digest, tensorrt_build.load(generator, device))
    elif isinstance(generator.network, Exported) and candidate.engine == "onnx":
        yield lambda: (generator.digest, generator.model)
    else:
        kind: Callable[[bytes, str], Engine] = (
            onnx.OnnxEngine if candidate.engine == "onnx" else openvino.OpenVinoEngine
        )
        for get in files.contents(generator, precision):
            yield functools.partial(_of_file, kind, get, precision)


def _of_file(kind: Callable[[bytes, str], Engine], get: Callable[[], bytes], precision: str) -> tuple[str, Engine]:
    content = get()
    return hashlib.sha256(content).hexdigest(), kind(content, precision)


def _problem(engine: Engine, key: str, generator: Generator, candidate: Candidate, trial: Trial) -> str:
    """What is wrong with an engine's results, or nothing: compared once and remembered."""
    reference = ("torch", "fp32") if "torch" in generator.runs_on else ("onnx", generator.precision)
    if (
        candidate.precision is None
        or engine.device.type == "cuda"
        or (candidate.engine, candidate.precision) == reference
    ):
        return ""  # it was compared when it was built, or is what others are compared with
    # An exported file in half precision is off by that, however exactly it is run.
    bound = "fp16" if (candidate.precision, generator.precision) == ("fp32", "fp16") else candidate.precision
    known = cache.recall("checks", key)
    if isinstance(known, dict) and "problem" in known:
        return known["problem"] or ""
    parity = trial.compare(engine)
    cache.remember("checks", key, {"problem": parity.problem(bound), "parity": str(parity)})
    return parity.problem(bound) or ""


def _tell(words: str) -> None:
    """What somebody who waits at a terminal wants to know."""
    log.info(words)
    if sys.stderr.isatty():
        print(f"{words} ...", file=sys.stderr, flush=True)


def usable() -> dict[str, str]:
    """Each engine's name and "usable", or why it is not."""
    told = {}
    for engine in ENGINES:
        try:
            _require(engine)
            told[engine] = "usable"
        except ValueError as error:
            told[engine] = f"no: {str(error).removeprefix('engine: ')}"
    if told["tensorrt"] == "usable" and not torch.cuda.is_available():
        told["tensorrt"] = f"no: {tensorrt.runtime().__name__} is installed, but torch sees no CUDA device"
    return told


def describe(*, measure: bool = False) -> dict[str, str]:
    """Each engine's name, and whether it is usable, how fast it is with the default weights in each precision, and
    whether "auto" takes it.

    Args:
        measure: now; else what an earlier run measured is told.
    """
    generator, device = weights.load("default"), device_of("auto")
    among = candidates(generator, device)
    if measure:
        fastest(generator, device, among, again=True)
    found = timings.recall(generator, device, [str(candidate) for candidate in among])
    told = usable()
    for candidate in among:
        words = f"{candidate.precision}, not measured yet" if candidate.precision else "not measured yet"
        if found is not None and str(candidate) in found["ms"]:
            one, *eight = found["ms"][str(candidate)]
            words = ", ".join([f"{one:.1f} ms a picture", *(f"{ms:.1f} ms in batches of 8" for ms in eight)])
            words = f"{candidate.precision} {words}" if candidate.precision else words
        elif found is not None:
            words = f"{candidate.precision} left out, as it is not what torch gives"
        if found is not None and found["fastest"] == str(candidate):
            words += "; chosen by auto"
        elif found is None and candidate == among[0]:
            words += "; chosen by auto" + (" unless another measures faster" if len(among) > 1 else "")
        told[candidate.engine] += f"; {words}"
    return told
