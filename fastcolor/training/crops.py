"""Training crops: each determined by a number, and made ahead of time by worker processes."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterable
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..data import Item, decode
from .presets import View


class Crops(torch.utils.data.Dataset[tuple[Tensor | None, list[str]]]):
    """Random crops, each determined by (seed, number) alone: a run can stop after any and go on at the next.

    `crops[number, view]` is (the crop, (crop, crop, 3) uint8, and what was wrong with pictures it had to pass over);
    after eight of these in a row there is no crop. Numbers run through the pictures in a new order every epoch.
    """

    def __init__(self, items: list[Item], seed: int) -> None:
        self.items, self.seed = items, seed
        self._epoch, self._order = -1, np.arange(0)

    def _item(self, number: int) -> Item:
        epoch, at = divmod(number, len(self.items))
        if epoch != self._epoch:
            self._epoch, self._order = epoch, np.random.default_rng((self.seed, 0, epoch)).permutation(len(self.items))
        return self.items[self._order[at]]

    def __getitem__(self, key: tuple[int, View]) -> tuple[Tensor | None, list[str]]:
        number, view = key
        random = np.random.default_rng((self.seed, 1, number))
        problems: list[str] = []
        for attempt in range(8):
            item = self._item(number + attempt * 7919)  # an unreadable picture is replaced by another
            try:
                picture = decode(item)
            except ValueError as error:
                problems.append(str(error))
                continue
            side = min(picture.size) * random.uniform(view.low, view.high)
            left, top = (random.uniform(0, size - side) for size in picture.size)
            box = (left, top, left + side, top + side)
            crop = np.array(picture.resize((view.crop, view.crop), Image.Resampling.BICUBIC, box=box))
            return torch.from_numpy(crop[:, ::-1].copy() if random.random() < 0.5 else crop), problems
        return None, problems


class Batch(NamedTuple):
    """Crops (N, crop, crop, 3) uint8, and what was wrong with pictures that had to be passed over for them."""

    rgb: Tensor
    problems: list[str]

    def pin_memory(self) -> Batch:
        return Batch(self.rgb.pin_memory(), self.problems)


def _collate(crops: list[tuple[Tensor | None, list[str]]]) -> Batch | str:
    """The batch, or what was wrong with the last of too many pictures: raised by the main process, whose error has no
    traceback of another in it."""
    made, problems = [], []
    for crop, ours in crops:
        if crop is None:
            return ours[-1]
        made.append(crop)
        problems += ours
    return Batch(torch.stack(made), problems)


def batches(
    crops: Crops, requests: Iterable[tuple[int, int, View]], workers: int, *, pin_memory: bool = False
) -> Generator[Batch, None, None]:
    """Batches made ahead of time by worker processes, which start with the first batch and end with `close()`.

    Args:
        requests: for every batch the number of its first crop, its size and its view.
        workers: processes; 0 makes the batches in this one. pin_memory: for a faster copy to a GPU.

    Raises:
        ValueError: eight pictures in a row cannot be read. RuntimeError: a worker was killed; the message says by what.
    """
    keys = ([(first + i, view) for i in range(size)] for first, size, view in requests)
    loader = torch.utils.data.DataLoader(
        crops,
        batch_sampler=keys,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_quiet_worker,
        collate_fn=_collate,
        pin_memory=pin_memory,
    )
    feed = iter(loader)
    try:
        for batch in feed:
            if isinstance(batch, str):
                raise ValueError(f"data: eight pictures in a row cannot be read, the last {batch}")
            yield batch
    except RuntimeError as error:
        # Where it waits for pictures torch may find that a worker is gone before it hears why.
        ends = [worker.exitcode or 0 for worker in getattr(feed, "_workers", ())]
        if "exited unexpectedly" not in str(error) or min(ends, default=0) >= 0:
            raise
        raise RuntimeError(f"DataLoader worker is killed by signal: {signal.strsignal(-min(ends))}") from None
    finally:
        if workers:
            feed._shutdown_workers()  # type: ignore[attr-defined]  # torch has no public name for it, and else leaves it to the garbage collector


def _quiet_worker(_: int) -> None:
    """One thread a worker. Ctrl-C and a batch system's request to stop go to the whole process group; they are the main
    process's business, which ends its workers itself."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
