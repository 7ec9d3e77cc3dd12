"""Watches over a run: for a network that gives up on colour, for data without any, and for a request to stop."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from .checkpoints import TrainingError, describe_last


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

    def warning(self, step: int) -> str | None:
        """A sentence after the last look, once."""
        if self._seen != self.times:
            return None
        return (
            f"step {step}: the colours are going gray, at {100 * self.ratio:.0f} % of the pictures' chroma; a "
            "rebalanced cross entropy or a discriminator keeps them up"
        )


class SilentWatch:
    """Notices layers that answer the same to every picture: their ReLUs have died, and nothing behind them learns.

    A network colours on without them, so that no loss tells.
    """

    def __init__(self) -> None:
        self._told = False

    def warning(self, network: nn.Module, lightness: Tensor, step: int) -> str | None:
        """Look at what every layer of a network in evaluation mode makes of L (N, 1, H, W); a sentence, once."""
        if self._told or not (silent := silent_layers(network, lightness)):
            return None
        self._told = True
        return (
            f"step {step}: {', '.join(silent[:3])}{', ...' if silent[3:] else ''} answer the same to every picture: "
            "lower the learning rate, or begin anew with another seed"
        )


def silent_layers(network: nn.Module, lightness: Tensor) -> list[str]:
    """Names of the layers with maps (more than one place) of one and the same value throughout a batch (N, 1, H, W)."""
    silent: list[str] = []

    def look(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(_: nn.Module, __: object, made: object) -> None:
            if isinstance(made, Tensor) and made.dim() == 4 and made[0, 0].numel() > 1 and made.amin() == made.amax():
                silent.append(name)

        return hook

    hooks = [module.register_forward_hook(look(name)) for name, module in network.named_modules() if name]
    try:
        with torch.no_grad():
            network(lightness)
    finally:
        for hook in hooks:
            hook.remove()
    return silent


class GrayData:
    """Notices when most of a data set's first 256 pictures, or of all if they are fewer, are gray."""

    LEAST = 5.0  # a picture none of whose |a| and |b| exceeds it is gray, as in Zhang et al.'s published code

    def __init__(self, pictures: int) -> None:
        self.enough, self._seen, self._gray = min(pictures, 256), 0, 0.0

    def share(self, lab: Tensor) -> Tensor:
        """The share of gray pictures in a batch (N, 3, H, W)."""
        return (lab[:, 1:].abs().amax((1, 2, 3)) <= self.LEAST).float().mean()

    def warning(self, share: float, count: int) -> str | None:
        """Add a batch of so many pictures; a sentence when enough have been seen, once."""
        first_enough, self._seen = self._seen < self.enough <= self._seen + count, self._seen + count
        self._gray += share * count
        if not first_enough or self._gray <= self._seen / 2:
            return None
        return (
            f"{100 * self._gray / self._seen:.0f} % of the pictures are gray (no |a| or |b| above {self.LEAST:g}), and "
            "a network learns gray from them; leave them out of the data"
        )


@contextmanager
def killed_readers(folder: Path) -> Iterator[None]:
    """Say in words that a process that reads pictures was killed, as for want of memory. torch's signal handler raises
    that wherever the main process is, in words of its own.

    Raises:
        TrainingError: one was; the message says which checkpoint is left in the folder.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        reason = str(error).splitlines()[0].rstrip(". ")
        raise TrainingError(f"a process that reads pictures was ended ({reason}); {describe_last(folder)}") from None


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
