"""Picture files on their way: one thread reads, others paint, and who asks for them writes."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from ..options.pictures import ColorizeOptions
from ..threads import Pipe, Stopped, Worker
from .colorize import Colorizer
from .passage import Passage, named, paint, painted_pages, start
from .targets import Conversion

log = logging.getLogger("fastcolor")
_BATCH, _BATCH_PIXELS = 4, 1 << 23  # painted together at most


class Line:
    """Files on their way: one thread reads, others paint, and who enters gets them in order, to write them.

    Pictures are painted together, up to four or about 2^23 pixels, so that a line of large ones stays small.
    """

    def __init__(
        self, colorizer: Colorizer, conversions: list[Conversion], options: ColorizeOptions, single: bool
    ) -> None:
        self._colorizer, self._conversions, self._options, self._single = colorizer, conversions, options, single
        self._read: Pipe[list[Passage]] = Pipe(1)
        self._reader = Worker("read", self._read_all, (self._read,))
        self._painters = colorizer.painters if len(conversions) > 1 else 1
        self._pool = ThreadPoolExecutor(self._painters, "fastcolor-paint")
        self._threads = torch.get_num_threads()

    def __enter__(self) -> Iterator[Passage]:
        log.debug("colouring with %s", self._colorizer.engine)  # which settles its precision, once for all threads
        if self._options.references or any(one.hints for one in self._conversions):
            self._colorizer.check_hints()  # which makes what follows them, likewise
        torch.set_num_threads(max(1, self._threads // self._painters))
        self._reader.start()
        return self._items()

    def __exit__(self, *_: object) -> None:
        self._read.stop()
        self._reader.join()
        self._pool.shutdown(cancel_futures=True)
        torch.set_num_threads(self._threads)

    def _items(self) -> Iterator[Passage]:
        painted: deque[Future[list[Passage]]] = deque()
        try:
            for batch in self._read:
                painted.append(self._pool.submit(self._paint_batch, batch))
                if len(painted) > self._painters:
                    yield from painted.popleft().result()
        except Stopped:
            raise self._reader.error or Stopped from None
        while painted:
            yield from painted.popleft().result()

    def _read_all(self) -> None:
        batch: list[Passage] = []
        pixels = 0
        for conversion in self._conversions:
            passage = start(conversion, self._options, self._single)
            frames = passage.frames[: 1 if passage.book else None]
            more = sum(math.prod(frame.pixels.shape[:2]) for frame in frames)
            if batch and (len(batch) == _BATCH or pixels + more > _BATCH_PIXELS):
                self._read.put(batch)
                batch, pixels = [], 0
            batch.append(passage)
            pixels += more
        self._read.put(batch)
        self._read.close()

    def _paint_batch(self, batch: list[Passage]) -> list[Passage]:
        passages = [passage for passage in batch if passage.file is not None and not passage.keep and not passage.book]
        try:
            paint(self._colorizer, passages, self._options)
        except Exception:  # once more, one by one: the others are well
            errors: list[Exception] = []
            for passage in passages:
                try:
                    paint(self._colorizer, [passage], self._options)
                except Exception as error:
                    errors.append(error)
                    passage.error = named(error, passage)
            # What nobody expects, and of every one of several pictures, is none of the pictures' fault.
            if 1 < len(passages) == len(errors) and not isinstance(errors[0], (ValueError, OSError, MemoryError)):
                raise errors[0] from None
        for passage in batch:
            if passage.book and not passage.keep:
                passage.images = painted_pages(self._colorizer, passage, self._options)
        return batch
