"""What a run tells while it goes: a log of JSON lines, a progress bar, TensorBoard, sample sheets, warnings."""

from __future__ import annotations

import io
import json
import logging
import math
import signal
import sys
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from . import ops
from .checkpoint import TrainingError, last
from .files import write_bytes
from .palette import Palette

log = logging.getLogger("fastcolor")


class Log:
    """One flushed JSON line a step in `log.jsonl`; the bar on a terminal; TensorBoard's own file when asked for.

    Args:
        folder: of the run; None writes nowhere (another process does). What its log holds already counts towards
            `means`. first, steps: of the bar. board: what `tensorboard_writer` returned, or None.
    """

    def __init__(self, folder: Path | None, first: int, steps: int, board: Any = None) -> None:
        self.folder, self.recent = folder, deque[dict[str, float | None]](maxlen=100)
        self._file = open(folder / "log.jsonl", "a+", buffering=1) if folder else None
        if self._file:
            self._file.seek(0)
            self.recent.extend(map(json.loads, deque(self._file, maxlen=100)))
        shown = folder is not None and sys.stderr.isatty()
        self._bar = tqdm(total=steps, initial=first, unit="step", disable=not shown, dynamic_ncols=True)
        self._board = board(folder / "tensorboard", purge_step=first + 1) if board and folder else None

    def add(self, entry: dict[str, float]) -> None:
        """A step; what is not finite becomes null. TrainingError when the disk is full."""
        told = {name: value if math.isfinite(value) else None for name, value in entry.items()}
        self.recent.append(told)
        if self._file is None:
            return
        try:
            self._file.write(json.dumps(told) + "\n")
        except OSError as error:
            raise TrainingError(f"the log cannot be written ({error.strerror}); {last(self.folder)}") from None
        self._bar.set_postfix(loss=f"{entry['loss']:.4g}", refresh=False)
        self._bar.update()
        if self._board is not None:
            for key, value in told.items():
                if key != "step" and value is not None:
                    self._board.add_scalar(key, value, entry["step"])

    def say(self, words: str) -> None:
        """A warning, above the bar."""
        if self.folder:
            with tqdm.external_write_mode(file=sys.stderr):
                log.warning(words)

    def means(self) -> dict[str, float]:
        """Of the last hundred steps, all numbers that they have in common but the step's own; finite ones."""
        if not self.recent:
            return {}
        names = [name for name in self.recent[-1] if name != "step" and all(name in entry for entry in self.recent)]
        known = {name: [entry[name] for entry in self.recent if entry[name] is not None] for name in names}
        return {name: float(np.mean(values)) for name, values in known.items() if values}

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
        if self._file:
            try:
                self._file.close()
            except OSError:  # said already, by the line that did not fit
                pass
        if self._board is not None:
            self._board.close()


def tensorboard_writer() -> Any:
    """TensorBoard's writer; ImportError when the package is missing."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ImportError('tensorboard: the package is missing; pip install "fastcolor[tensorboard]"') from None
    return SummaryWriter


class GrayWatch:
    """Notices when a network has given up on colour: its mean chroma stays below a tenth of the truth's.

    Uncertain between opposite colours, a network trained on distances answers with their mean, which is gray.

    Attributes:
        ratio: of the mean chromas, made to true, when it last looked.
    """

    def __init__(self, least: float = 0.1, times: int = 3) -> None:
        self.least, self.times, self.ratio, self._seen = least, times, math.nan, 0

    def __call__(self, made: Tensor, true: Tensor) -> None:
        """Look at ab (N, 2, h, w) of a batch."""
        self.ratio = float(made.float().norm(dim=1).mean() / true.float().norm(dim=1).mean().clamp(min=1e-6))
        self._seen = self._seen + 1 if self.ratio < self.least else 0

    def words(self, step: int) -> str | None:
        """What to say after the last look, once."""
        if self._seen != self.times:
            return None
        return (
            f"step {step}: the colours are going gray, at {100 * self.ratio:.0f} % of the pictures' chroma; a "
            "rebalanced cross entropy or a discriminator keeps them up"
        )


class GrayData:
    """Notices when most of a data set's first 256 pictures, or of all if they are fewer, are gray."""

    LEAST = 5.0  # a picture none of whose |a| and |b| exceeds it is gray, as in Zhang et al.'s published code

    def __init__(self, pictures: int) -> None:
        self.enough, self._seen, self._gray = min(pictures, 256), 0, 0.0

    def share(self, lab: Tensor) -> Tensor:
        """The share of gray pictures in a batch (N, 3, H, W)."""
        return (lab[:, 1:].abs().amax((1, 2, 3)) <= self.LEAST).float().mean()

    def words(self, share: float, count: int) -> str | None:
        """Add a batch of so many pictures; what to say when enough have been seen, once."""
        first_enough, self._seen = self._seen < self.enough <= self._seen + count, self._seen + count
        self._gray += share * count
        if not first_enough or self._gray <= self._seen / 2:
            return None
        return (
            f"{100 * self._gray / self._seen:.0f} % of the pictures are gray (no |a| or |b| above {self.LEAST:g}), and "
            "a network learns gray from them; leave them out of the data"
        )


@torch.no_grad()
def sample_sheet(path: Path, model: nn.Module, rgb: Tensor, palette: Palette, temperature: float) -> None:
    """Rows of pictures: gray, coloured, true. TrainingError when the disk is full."""
    training = model.training
    model.eval()
    lab = ops.rgb_to_lab(rgb, layout="hwc")
    _, ab = decode(model, model(lab[:, :1]), palette, temperature)
    model.train(training)
    rows = [ops.paint_rgb(torch.zeros_like(ab), lab[:, :1]), ops.paint_rgb(ab, lab[:, :1]), rgb]
    sheet = torch.cat([torch.cat(list(row), dim=1) for row in rows], dim=0)
    content = io.BytesIO()
    Image.fromarray(sheet.cpu().numpy()).save(content, format="PNG")
    try:
        write_bytes(path, content.getvalue())
    except OSError as error:
        raise TrainingError(f"{path} cannot be written ({error.strerror}); {last(path.parent)}") from None


def decode(model: nn.Module, output: Tensor, palette: Palette, temperature: float) -> tuple[Tensor | None, Tensor]:
    """What a network returned as (logits or None, ab)."""
    if model.kind == "classifier":
        return output, ops.annealed_mean(output, palette=palette, temperature=temperature)
    return None, output


class Stopped(KeyboardInterrupt):
    """Ctrl-C or a termination request ended a run between two steps, after a checkpoint; the message says where.

    Attributes:
        signal: the number of what came, so that a command's exit code can be 128 more.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.signal = number


class Interrupted:
    """Ctrl-C and a termination request become a number, 0 until one comes, that the loop looks at between steps."""

    signal = 0

    def __enter__(self) -> Interrupted:
        self._before = {}
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        except ValueError:  # not in the main thread: leave signals alone
            pass
        return self

    def _note(self, number: int, _: object) -> None:
        self.signal = number

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
