"""Debian's ffmpeg and ffprobe: films that PyAV cannot make, and a look at films that does not depend on it."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

needed = pytest.mark.skipif(
    not (shutil.which("ffmpeg") and shutil.which("ffprobe")),
    reason="ffmpeg and ffprobe, the witnesses of what films hold, are not installed (apt-get install ffmpeg)",
)


def picture(size: str = "96x64", rate: str = "25", seconds: float = 1.2, form: str = "yuv420p") -> list[str]:
    """Arguments for a moving gray picture."""
    source = f"testsrc2=size={size}:rate={rate}:duration={seconds}"
    return ["-f", "lavfi", "-i", source, "-vf", f"format=gray,format={form}"]


def tone(seconds: float = 1.2, rate: int = 48000) -> list[str]:
    """Arguments for a tone."""
    return ["-f", "lavfi", "-i", f"sine=frequency=440:duration={seconds}:sample_rate={rate}"]


def make(path: Path, *arguments: str | Path) -> Path:
    """Let ffmpeg write a film."""
    made = subprocess.run(
        ["ffmpeg", "-v", "error", "-y", *map(str, arguments), str(path)], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    return path


@dataclass
class Seen:
    """What ffprobe sees of a film."""

    streams: list[dict[str, Any]]
    tags: dict[str, str]
    times: list[float]  # of the frames of one picture stream, in the order shown
    fields: set[tuple[int, int]]  # (interlaced, top field first) of its frames
    packets: dict[int, list[tuple[float, float]]] = field(default_factory=dict)  # stream -> (time, duration)

    @property
    def steps(self) -> list[float]:
        return [round(after - before, 6) for before, after in zip(self.times, self.times[1:], strict=False)]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [stream for stream in self.streams if stream["codec_type"] == kind]


def look(path: Path, stream: int | str = "v:0") -> Seen:
    """Read a film with ffprobe."""
    packets_of = "packet=stream_index,pts_time,dts_time,duration_time"
    shown = f"stream:stream_tags:stream_disposition:format=start_time,duration:format_tags:{packets_of}"
    told = _probe(path, "-show_entries", shown, "-show_packets")
    wanted = "frame=best_effort_timestamp_time,pts_time,interlaced_frame,top_field_first"
    frames = _probe(path, "-select_streams", str(stream), "-show_entries", wanted)["frames"]
    times = [float(f.get("best_effort_timestamp_time", f.get("pts_time", "nan"))) for f in frames]
    packets: dict[int, list[tuple[float, float]]] = {}
    for packet in told["packets"]:
        at = packet.get("pts_time", packet.get("dts_time"))
        if at is not None:
            packets.setdefault(packet["stream_index"], []).append((float(at), float(packet.get("duration_time", 0))))
    fields = {(f["interlaced_frame"], f["top_field_first"]) for f in frames}
    return Seen(told["streams"], told["format"].get("tags", {}), times, fields, packets)


def _probe(path: Path, *arguments: str) -> dict[str, Any]:
    said = subprocess.run(
        ["ffprobe", "-v", "error", *arguments, "-of", "json", str(path)], capture_output=True, text=True, check=True
    )
    return json.loads(said.stdout)


def samples(path: Path) -> int:
    """How many samples of sound ffmpeg decodes, wherever in the film it begins."""
    far = ("-probesize", "100M", "-analyzeduration", "100M")
    said = subprocess.run(
        ["ffmpeg", "-v", "error", *far, "-i", str(path), "-map", "0:a:0", "-f", "s16le", "-ac", "1", "-"],
        capture_output=True,
        check=True,
    )
    return len(said.stdout) // 2


def tick(path: Path) -> float:
    """The longer of a millisecond and a film's own tick: to this its times are kept."""
    bases = (Fraction(s["time_base"]) for s in _probe(path, "-show_entries", "stream=time_base")["streams"])
    return float(max([Fraction(1, 1000), *(base for base in bases if base < Fraction(1, 100))]))
