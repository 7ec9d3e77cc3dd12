"""The network of a film, made when something first needs it: other people's colours may leave nothing to it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import torch

from ..device import device_of
from ..pictures.colorize import Colorizer
from ..threads import painters

if TYPE_CHECKING:
    from ..options.film import VideoOptions


class Network:
    """A film's predictor.

    Args:
        options: which. amount: of frames, about. now: whether it is certainly needed.
    """

    def __init__(self, options: VideoOptions, amount: int, *, now: bool) -> None:
        self._options, self._amount = options, amount
        self._made: Colorizer | None = None
        self._lock = threading.Lock()
        if now:
            self.predictor  # noqa: B018

    @property
    def predictor(self) -> Colorizer:
        """The predictor."""
        options = self._options
        with self._lock:
            if self._made is None:
                self._made = Colorizer.of(options, amount=self._amount)
            return self._made

    @property
    def device(self) -> torch.device:
        """Where frames are painted."""
        return device_of(self._options.device) if self._made is None else self._made.device

    @property
    def painters(self) -> int:
        """How many threads may colour at once."""
        return painters(self.device) if self._made is None else self._made.painters

    @property
    def engine(self) -> str:
        """What has run the network, if anything has."""
        return "none" if self._made is None else self._made.engine
