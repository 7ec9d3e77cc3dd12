"""Reports of an evaluation: measures and pictures as one HTML file that needs nothing else, or as one PNG."""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ..atomic import write_bytes

_SIDE = 256  # longest side of a picture in a report
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1240px; padding: 0 1rem; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .25rem .9rem .25rem 0; vertical-align: top; }
td.n { text-align: right; font-variant-numeric: tabular-nums; } tr { border-bottom: 1px solid #8884; }
.grid { display: flex; flex-wrap: wrap; gap: 1.2rem; } figure { margin: 0; }
figure div { display: flex; gap: 2px; } img, .heads span { flex: 1 1 0; min-width: 0; }
img { height: auto; object-fit: contain; } .heads { font-size: 12px; color: #777; overflow-wrap: anywhere; }
figcaption { font-size: 12px; overflow-wrap: anywhere; color: #777; }
"""


@dataclass(frozen=True)
class Line:
    """One measure: its name, a value for each column (None: there is none), unit and protocol."""

    name: str
    values: Sequence[float | None]
    unit: str
    protocol: str


@dataclass(frozen=True)
class Shown:
    """One picture, several times, as the report's `kinds` say, at most 256 pixels wide or high. `note` says how it
    fared."""

    name: str
    note: str
    images: tuple[Image.Image, ...]


@dataclass
class Report:
    """`title`, the measures, and pictures by heading; what the columns of both are."""

    title: str
    lines: Sequence[Line]
    sections: Mapping[str, Sequence[Shown]] = field(default_factory=dict)
    columns: Sequence[str] = ("value",)
    kinds: Sequence[str] = ("gray", "ours", "truth")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `.html` or `.png`, whole or not at all."""
        path = Path(path)
        data = self.png() if path.suffix.lower() == ".png" else self.html().encode("utf-8", "replace")
        write_bytes(path, data)

    def html(self) -> str:
        """The page; names are escaped, pictures are in it as JPEG."""
        rows = "".join(
            f"<tr><td>{html.escape(line.name)}</td>{''.join(f'<td class=n>{_number(v)}</td>' for v in line.values)}"
            f"<td>{html.escape(line.unit)}</td><td>{html.escape(line.protocol)}</td></tr>\n"
            for line in self.lines
        )
        columns = "".join(f"<th>{html.escape(column)}</th>" for column in self.columns)
        kinds = html.escape(", ".join(self.kinds))
        body = "".join(
            f"<h2>{html.escape(heading)}: {kinds}</h2>\n<div class=grid>\n"
            + "".join(_figure(one, self.kinds) for one in shown)
            + "</div>\n"
            for heading, shown in self.sections.items()
        )
        title = html.escape(self.title)
        return (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>\n'
            f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
            f"<body><h1>{title}</h1>\n"
            f"<table><tr><th>measure</th>{columns}<th>unit</th><th>protocol</th></tr>\n{rows}</table>\n"
            f"{body}</body></html>\n"
        )

    def png(self) -> bytes:
        """The same as one picture: measures on top, then rows of pictures, several of three in a row."""
        line, side = 20, 160
        across = 3 if len(self.kinds) <= 3 else 1
        width, cell = len(self.kinds) * (side + 2) + 22, side + 2 * line
        number = max(100, *(8 * len(column) + 24 for column in self.columns))
        heads = len(self.columns) > 1  # of a table and of a sheet; one value and three pictures need none
        height = line * (len(self.lines) + 3 + heads)
        height += sum((2 + heads) * line + -(-len(shown) // across) * cell for shown in self.sections.values())
        table = 190 + number * len(self.columns)
        sheet = Image.new("RGB", (max(across * width, table + 800), height), "white")
        words = _Words(sheet)
        words.put(8, 8, self.title)
        y = 2 * line
        if heads:
            for k, column in enumerate(self.columns):
                words.put(190 + (k + 1) * number, y, column, "gray", "ra")
            y += line
        for one in self.lines:
            words.put(8, y, one.name)
            for k, value in enumerate(one.values):
                words.put(190 + (k + 1) * number, y, _number(value), anchor="ra")
            words.put(table + 10, y, one.unit)
            words.put(table + 40, y, one.protocol)
            y += line
        for heading, shown in self.sections.items():
            words.put(8, y + line // 2, f"{heading}: {', '.join(self.kinds)}")
            y += 2 * line
            if heads:
                for k, kind in enumerate(self.kinds):
                    words.put(8 + k * (side + 2), y, kind[-20:], "gray")
                y += line
            for i, picture in enumerate(shown):
                x, top = i % across * width + 8, y + i // across * cell
                for k, image in enumerate(picture.images):
                    tile = image.copy()
                    tile.thumbnail((side, side))
                    sheet.paste(tile, (x + k * (side + 2), top))
                words.put(x, top + side, f"{picture.note}  {picture.name[-40:]}", "gray")
            y += -(-len(shown) // across) * cell
        data = io.BytesIO()
        sheet.save(data, format="PNG")
        return data.getvalue()


class _Words:
    """Writes on a picture."""

    def __init__(self, image: Image.Image) -> None:
        self._draw, self._font = ImageDraw.Draw(image), ImageFont.load_default(15)

    def put(self, x: int, y: int, text: str, color: str = "black", anchor: str = "la") -> None:
        said = " ".join(text.encode("utf-8", "replace").decode("utf-8").split())
        self._draw.text((x, y), said, color, self._font, anchor)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def small(image: Image.Image) -> Image.Image:
    """A copy for the report."""
    copy = image.convert("RGB")
    copy.thumbnail((_SIDE, _SIDE))
    return copy


def _figure(one: Shown, kinds: Sequence[str]) -> str:
    images = "".join(
        f'<img alt="{html.escape(kind)}" width="{image.width}" height="{image.height}" src="{_data_uri(image)}">'
        for kind, image in zip(kinds, one.images, strict=True)
    )
    heads = "".join(f"<span>{html.escape(kind)}</span>" for kind in kinds) if len(kinds) > 3 else ""
    above = f"<div class=heads>{heads}</div>" if heads else ""
    caption = f"{html.escape(one.name)}<br>{html.escape(one.note)}"
    style = f'style="max-width: {128 * len(kinds)}px"'
    return f"<figure {style}>{above}<div>{images}</div><figcaption>{caption}</figcaption></figure>\n"


def _data_uri(image: Image.Image) -> str:
    data = io.BytesIO()
    image.save(data, format="JPEG", quality=88, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode("ascii")
