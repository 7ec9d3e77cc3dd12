"""The options of films."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Annotated, Any, Literal

import tyro

from .base import FilePath, Must, Options, Time, one_word
from .steering import Painting

# In Python (seconds, picture) too.
KeyFrameWords = Annotated[str | os.PathLike[str] | Any, one_word("TIME=PICTURE", str)]
_FROM_ZERO = Must("be seconds, 0 or more", lambda value: math.isfinite(value) and value >= 0)

Progress = bool | Callable[[int, int | None], None]


@dataclass(frozen=True, kw_only=True)
class Smoothed(Options):
    """How the colours of frames follow each other."""

    temporal: Literal["off", "fast", "flow"] = "fast"
    """Smoothing of films: fast follows the frame before, flow those before and after (needs OpenCV), off none."""
    adaptive: Literal["auto", "on", "off"] = "auto"
    """Run the network where a film shows something new, carry colours between; auto: with temporal fast, on a CPU."""

    def is_adaptive(self, *, on_cpu: bool) -> bool:
        """What `adaptive` means there: a GPU's network is not what a film waits for."""
        return self.adaptive == "on" or (self.adaptive == "auto" and self.temporal == "fast" and on_cpu)


@dataclass(frozen=True, kw_only=True)
class Films(Smoothed, Painting):
    """What is asked of many films."""

    codec: str | None = None
    """Of films: h264, hevc, av1, vp9 or ffv1. None: the input's own, or h264."""
    crf: int | None = None
    """Quality of films, 0 is best; None: visually lossless."""
    key_frames: Annotated[
        tyro.conf.UseAppendAction[tuple[KeyFrameWords, ...]], tyro.conf.arg(name="key-frame", metavar="TIME=PICTURE")
    ] = ()
    """A frame in colour for its shot; again for more, or a folder of them named by times; of films, of such folders."""
    carry: bool = False
    """Find key frames again in other shots that show the same, and take their colours for what looks alike there."""
    chroma_to: FilePath | None = None
    """Write the colours of films into a small .mkv of its own too; for a folder's films a folder."""
    fast: bool = False
    """Encode films several times faster into larger files."""


@dataclass(frozen=True)
class VideoOptions(Films):
    """Colour a film; sound, subtitles and time stamps are kept."""

    src: Annotated[FilePath, tyro.conf.Positional, tyro.conf.arg(metavar="IN")]
    """The gray film: any that FFmpeg decodes."""
    dst: Annotated[FilePath, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """The film to write: .mp4, .m4v, .mov, .mkv or .webm; its folder is made."""
    _: KW_ONLY
    project: FilePath | None = None
    """What is said of each shot: the file that `fastcolor shots` wrote, and you filled in."""
    hardware: Literal["auto", "on", "off"] = "off"
    """NVDEC and NVENC: auto tries them if a GPU paints, on anyway; off, because no GPU has run them yet."""
    lossless: bool = False
    """Encode without any loss."""
    start: Annotated[Time | None, _FROM_ZERO] = None
    """Paint from here on, in seconds or [HH:]MM:SS; only frames and packets from there are written."""
    end: Annotated[Time | None, _FROM_ZERO] = None
    """Paint up to here, likewise."""
    preview: bool = False
    """Paint ten seconds from the middle only, encoded fast."""
    resume: bool = False
    """Go on where a run that was killed, cancelled or out of disk left off; weights and options as they were."""
    progress: Annotated[Progress | None, tyro.conf.Suppress, tyro.conf.Fixed] = None
    """Show a progress bar; None: when stderr is a terminal. A function gets (frames done, frames expected or None)."""

    def check(self) -> None:
        """Compare every field with its rule, and those that exclude each other.

        Raises:
            ValueError: one is out of range, or two cannot go together.
        """
        super().check()
        if self.fast and self.lossless:
            raise ValueError("fast and lossless exclude each other, got both")
        for name in ("start", "end"):
            if self.preview and getattr(self, name) is not None:
                raise ValueError(
                    f"{name}: must be left out with preview, which takes ten seconds from the middle, "
                    f"got {getattr(self, name):g}"
                )
        if self.end is not None and self.end <= (self.start or 0):
            raise ValueError(f"end: must come after start, got {self.start or 0:g} to {self.end:g}")
