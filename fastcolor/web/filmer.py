"""What the filming process does for the server: films looked at, previewed, painted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
from PIL import Image

from ..atomic import publish, whole, write_bytes
from ..constants import __version__
from ..film.by_time import shown_at
from ..film.frames import upright_gray
from ..film.probe import Film, is_mirrored, probe
from ..film.resume import ChangedError, fingerprint
from ..film.shot_list import find_shots
from ..film.video import video
from ..models import named
from ..options.film import VideoOptions
from ..options.look import Look as LookOptions
from ..options.project import VERSION
from ..pictures.colored import lacks_color
from ..pictures.opening import opened
from ..pictures.version import key_colours
from .look import Look, chosen_by

Tell = Callable[[tuple[int, int | None]], None]
_ROUNDED = 0.002  # seconds by which a shot may begin beside the end of the one before
_LATE = 0.1  # seconds after which a film's first frame may come, as where its sound begins earlier
_MOST = 10.0  # saturation that a shot may have
_WIDEST = 2048  # pixels of a film that is previewed as H.264, whose decoders end at twice that


class Filmer:
    """Films, one at a time.

    Args:
        options: which network, on what.
    """

    def __init__(self, options: LookOptions) -> None:
        self._options = options

    def ready(self) -> bool:
        """Whether the process is there, which it is by now."""
        return True

    def first(self, path: str) -> dict[str, Any]:
        """What a film is."""
        film = probe(Path(path))
        height, width = film.shown
        with film.opened() as source:
            sound = sum(stream.type == "audio" for stream in source.streams)
        seconds = None if film.frames is None else float(film.frames / film.rate)
        return {
            "width": width,
            "height": height,
            "turns": film.turns,
            "frames": film.frames,
            "seconds": seconds,
            "rate": float(film.rate),
            "sound": sound,
            "notes": list(film.notes),
        }

    def shots(self, path: str, folder: str, tell: Tell) -> list[dict[str, Any]]:
        """Look through a film for its shots, and write shot-0.jpg, shot-1.jpg and so on."""
        found = find_shots(Path(path), tell)
        for number, shot in enumerate(found):
            with whole(Path(folder, f"shot-{number}.jpg")) as growing:
                shot.picture.save(growing, "JPEG", quality=88)
        return [
            {"start": round(shot.start, 3), "end": round(shot.end, 3), "shown": round(shot.shown, 3)} for shot in found
        ]

    def frame(self, path: str, seconds: float, target: str) -> None:
        """Write the gray frame that is shown at a second as a PNG."""
        film = probe(Path(path))
        _, frame = shown_at(film, seconds, "time")
        with whole(Path(target)) as growing:
            Image.fromarray(upright_gray(frame, film.codec, film.turns)).save(growing, "PNG")

    def key_frame(self, path: str, seconds: float, picture: str) -> None:
        """See whether a coloured picture shows the frame of a second. ValueError: it does not, or is gray."""
        film = probe(Path(path))
        _, frame = shown_at(film, seconds, "time")
        key_colours(picture, upright_gray(frame, film.codec, film.turns), f"{seconds:g} s")

    def reference(self, picture: str) -> None:
        """See whether a picture has colours to give. ValueError: it has none."""
        if lack := lacks_color(opened(picture)):
            raise ValueError(f"references: must be in colour, got the {lack} {picture}")

    def preview(self, path: str, folder: str, look: Look, shot: int | None, tell: Tell) -> dict[str, Any]:
        """Write preview.mp4, gray and colour side by side, and stills of it.

        Args:
            shot: whose first ten seconds are shown; None: ten seconds from the film's middle.
        """
        film = probe(Path(path))
        plain = film.pixel_format in ("yuv420p", "yuvj420p", "gray") and film.width <= _WIDEST
        target = Path(folder, "preview.mp4")
        # Browsers show H.264 of 8 bits alone, and AV1 of any depth.
        part: dict[str, Any] = {"preview": True}
        if shot is not None:
            start, end = look.shots[shot]["start"], look.shots[shot]["end"]
            part = {"start": start or None, "end": min(end, start + 10), "fast": True}
            look = replace(look, shots=[look.shots[shot]])  # what is said of others is not followed here
        project = _project(look, Path(folder))
        codec = "h264" if plain else "av1"
        made = self._paint(path, target, look, tell, compare=True, codec=codec, project=project, **part)
        _for_browsers(target, (made.width, made.height), film)
        with av.open(str(target)) as shown:
            middle = shown.streams.video[0].frames // 2
            frame = next(frame for index, frame in enumerate(shown.decode(video=0)) if index >= middle)
            image = frame.to_image().rotate(90 * film.turns, expand=True)
        _stills(image, film.turns, Path(folder))
        return {"previewed": True, "shot": shot}

    def export(self, path: str, target: str, folder: str, look: Look, tell: Tell) -> list[str]:
        """Do what `fastcolor-video PATH TARGET` does, going on with what an earlier try with the same colours left;
        returns what is worth a sentence. Of a film whose shots are known only those are painted that have changed since
        the last export: its colours stay in the item's folder."""
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        said = _by_shots(look, probe(Path(path)))
        if said is None:
            report = self._gone_on(path, Path(target), look, tell, project=_project(look, Path(folder)))
            return [*report.notes, *report.warnings]
        kept = self._kept(path, folder, said)
        new, before = kept.with_name(f"new-{kept.name}"), kept if kept.exists() else None
        project = _project(said, Path(folder), always=True)
        report = self._gone_on(path, Path(target), said, tell, project=project, chroma_from=before, chroma_to=new)
        publish(new, kept)
        known = str(kept)
        told = [note for note in (*report.notes, *report.warnings) if not note.startswith(f"{known} gives")]
        return [note.replace(known, "the last export") for note in told]

    def _gone_on(self, path: str, target: Path, look: Look, tell: Tell, **more: Any) -> Any:
        """Paint a film, going on where an earlier try ended if that had the same colours."""
        try:
            return self._paint(path, target, look, tell, resume=True, **more)
        except ChangedError:
            return self._paint(path, target, look, tell, **more)

    def _kept(self, path: str, folder: str, look: Look) -> Path:
        """Where a film's colours stay from export to export; others by another network, or of a film that changed."""
        chosen = chosen_by(look, self._options)
        networks = [(share, fingerprint(named.locate(name))) for name, share in named.members(chosen.weights)]
        film = [fingerprint(Path(path)), __version__]
        made_from = json.dumps([film, networks, chosen.merge, chosen.size, chosen.as_published])
        return Path(folder, f"colours-{hashlib.sha256(made_from.encode()).hexdigest()[:16]}.mkv")

    def _paint(self, path: str, target: Path, look: Look, tell: Tell, **more: Any) -> Any:
        chosen = vars(chosen_by(look, self._options))

        def progress(done: int, expected: int | None) -> None:
            tell((done, expected))

        options = VideoOptions(src=path, dst=target, overwrite=True, progress=progress, **chosen, **more)
        return video(**vars(options))


def _by_shots(look: Look, film: Film) -> Look | None:
    """The same colours, the film's own said of each shot: so a shot by itself says what it looks like. None where the
    shots are not known or are not all of the film."""
    shots = [
        {
            **shot,
            "saturation": shot["saturation"] * look.saturation,
            "temperature": look.temperature if shot["temperature"] is None else shot["temperature"],
        }
        for shot in look.shots
    ]
    if not shots or film.frames is None:
        return None
    ends = [min(shots[0]["start"], _LATE), *(shot["end"] for shot in shots)]
    apart = any(abs(shot["start"] - end) > _ROUNDED for shot, end in zip(shots, ends, strict=False))
    short = ends[-1] < float(film.frames / film.rate) - _ROUNDED
    if apart or short or any(shot["saturation"] > _MOST for shot in shots):
        return None
    return replace(look, shots=shots, saturation=1.0, temperature=None)


def _project(look: Look, folder: Path, *, always: bool = False) -> Path | None:
    """The project file of what is said of shots; None where nothing is, unless it is wanted always."""
    usual = {"hints": [], "references": [], "key_frames": {}, "saturation": 1.0, "temperature": None}
    if not always and all(shot.get(name, value) == value for shot in look.shots for name, value in usual.items()):
        return None
    content = json.dumps({"version": VERSION, "shots": look.shots})
    path = folder / f"project-{hashlib.sha256(content.encode()).hexdigest()[:16]}.json"
    write_bytes(path, content.encode())
    return path


def _for_browsers(path: Path, size: tuple[int, int], film: Film) -> None:
    """Leave in a preview the painted pictures, of this size, and the first sound, as browsers show the first of several
    streams; and not mirrored, as some then show gray on the right, and all places are those of the picture itself."""
    mirrored = film.display_matrix is not None and is_mirrored(film.display_matrix)
    with av.open(str(path)) as made:
        if len(made.streams.video) == 1 and not mirrored:
            return
    with whole(path) as growing, av.open(str(path)) as made, av.open(str(growing), "w", format="mp4") as output:
        painted = next(one for one in made.streams.video if (one.width, one.height) == size)
        kept = [painted, *made.streams.audio[:1]]
        written = {one.index: output.add_stream_from_template(one, opaque=True) for one in kept}
        if mirrored:
            written[painted.index].set_display_rotation(90 * film.turns)
        for packet in made.demux(kept):
            if packet.dts is not None:
                packet.stream = written[packet.stream.index]
                output.mux(packet)


def _stills(image: Image.Image, turns: int, folder: Path) -> None:
    """Its gray and its coloured half as before-small.jpg and after-small.jpg."""
    width, height = image.size
    if turns % 2:
        halves = [image.crop((0, 0, width, height // 2)), image.crop((0, height // 2, width, height))]
    else:
        halves = [image.crop((0, 0, width // 2, height)), image.crop((width // 2, 0, width, height))]
    if turns in (1, 2):  # turned so, the half on the left comes to lie below or on the right
        halves.reverse()
    for name, half in zip(("before", "after"), halves, strict=True):
        half.thumbnail((360, 360), Image.Resampling.BOX)
        half.save(folder / f"{name}-small.jpg", quality=90)
