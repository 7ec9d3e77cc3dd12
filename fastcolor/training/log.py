"""The log of a run: JSON lines, a progress bar, TensorBoard."""

from __future__ import annotations

import json
import logging
import math
import sys
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from .checkpoints import TrainingError, describe_last

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
        finite = {name: value if math.isfinite(value) else None for name, value in entry.items()}
        self.recent.append(finite)
        if self._file is None or self.folder is None:
            return
        try:
            self._file.write(json.dumps(finite) + "\n")
        except OSError as error:
            raise TrainingError(f"the log cannot be written ({error.strerror}); {describe_last(self.folder)}") from None
        self._bar.set_postfix(loss=f"{entry['loss']:.4g}", refresh=False)
        self._bar.update()
        if self._board is not None:
            for key, value in finite.items():
                if key != "step" and value is not None:
                    self._board.add_scalar(key, value, entry["step"])

    def warn(self, message: str) -> None:
        """Show a warning above the bar."""
        if self.folder:
            with tqdm.external_write_mode(file=sys.stderr):
                log.warning(message)

    def means(self) -> dict[str, float]:
        """Of the last hundred steps, all numbers that they have in common but the step's own; finite ones."""
        if not self.recent:
            return {}
        names = [name for name in self.recent[-1] if name != "step" and all(name in entry for entry in self.recent)]
        known = {name: [value for entry in self.recent if (value := entry[name]) is not None] for name in names}
        return {name: float(np.mean(values)) for name, values in known.items() if values}

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
        if self._file:
            try:
                self._file.close()
            except OSError:  # raised already, by the line that did not fit
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
