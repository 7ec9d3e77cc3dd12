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

SUFFIXES = (".html", ".htm", ".png")
_SIDE = 256  # longest side of a picture in a report
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1240px; padding: 0 1rem; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .25rem .9rem .25rem 0; vertical-align: top; }
td.n { text-align: right; font-variant-numeric: tabular-nums; } tr { border-bottom: 1px solid #8884; }
.grid { display: flex; flex-wrap: wrap; gap: 1.2rem; } figure { margin: 0; max-width: 384px; }
figure div { display: flex; gap: 2px; } img { width: 33.3%; height: auto; object-fit: contain; }
figcaption { font-size: 12px; overflow-wrap: anywhere; color: #777; }
"""


@dataclass(frozen=True)
class Line:
    """One measure: its name, value, unit and protocol."""

    name: str
    value: float
    unit: str
    protocol: str


@dataclass(frozen=True)
class Shown:
    """One picture, three times: gray, ours, truth, at most 256 pixels wide or high. `note` says how it fared."""

    name: str
    note: str
    triple: tuple[Image.Image, Image.Image, Image.Image]


@dataclass
class Report:
    """`title`, the measures, and pictures by heading."""

    title: str
    lines: Sequence[Line]
    sections: Mapping[str, Sequence[Shown]] = field(default_factory=dict)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `.html` or `.png`, whole or not at all."""
        path = Path(path)
        data = self.png() if path.suffix.lower() == ".png" else self.html().encode("utf-8", "replace")
        write_bytes(path, data)

    def html(self) -> str:
        """The page; names are escaped, pictures are in it as JPEG."""
        rows = "".join(
            f"<tr><td>{html.escape(line.name)}</td><td class=n>{line.value:.3f}</td><td>{html.escape(line.unit)}</td>"
            f"<td>{html.escape(line.protocol)}</td></tr>\n"
            for line in self.lines
        )
        body = "".join(
            f"<h2>{html.escape(heading)}: gray, ours, truth</h2>\n<div class=grid>\n"
            + "".join(_figure(one) for one in shown)
            + "</div>\n"
            for heading, shown in self.sections.items()
        )
        title = html.escape(self.title)
        return (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>\n'
            f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
            f"<body><h1>{title}</h1>\n"
            f"<table><tr><th>measure</th><th>value</th><th>unit</th><th>protocol</th></tr>\n{rows}</table>\n"
            f"{body}</body></html>\n"
        )

    def png(self) -> bytes:
        """The same as one picture: measures on top, then rows of three pictures by three."""
        font, line = ImageFont.load_default(15), 20
        side, columns = 160, 3
        width, cell = 3 * side + 28, side + 2 * line
        height = line * (len(self.lines) + 3)
        height += sum(2 * line + -(-len(shown) // columns) * cell for shown in self.sections.values())
        sheet = Image.new("RGB", (columns * width, height), "white")
        draw = ImageDraw.Draw(sheet)

        def write(x: int, y: int, text: str, color: str = "black", anchor: str = "la") -> None:
            draw.text((x, y), " ".join(text.encode("utf-8", "replace").decode("utf-8").split()), color, font, anchor)

        write(8, 8, self.title)
        y = 2 * line
        for one in self.lines:
            write(8, y, one.name)
            write(290, y, f"{one.value:.3f}", anchor="ra")
            write(300, y, one.unit)
            write(330, y, one.protocol)
            y += line
        for heading, shown in self.sections.items():
            write(8, y + line // 2, f"{heading}: gray, ours, truth")
            y += 2 * line
            for i, picture in enumerate(shown):
                x, top = i % columns * width + 8, y + i // columns * cell
                for k, image in enumerate(picture.triple):
                    tile = image.copy()
                    tile.thumbnail((side, side))
                    sheet.paste(tile, (x + k * (side + 2), top))
                write(x, top + side, f"{picture.note}  {picture.name[-40:]}", "gray")
            y += -(-len(shown) // columns) * cell
        data = io.BytesIO()
        sheet.save(data, format="PNG")
        return data.getvalue()


def small(image: Image.Image) -> Image.Image:
    """A copy for the report."""
    copy = image.convert("RGB")
    copy.thumbnail((_SIDE, _SIDE))
    return copy


def _figure(one: Shown) -> str:
    images = "".join(
        f'<img alt="{kind}" width="{image.width}" height="{image.height}" src="{_data_uri(image)}">'
        for kind, image in zip(("gray", "ours", "truth"), one.triple, strict=True)
    )
    caption = f"{html.escape(one.name)}<br>{html.escape(one.note)}"
    return f"<figure><div>{images}</div><figcaption>{caption}</figcaption></figure>\n"


def _data_uri(image: Image.Image) -> str:
    data = io.BytesIO()
    image.save(data, format="JPEG", quality=88, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode("ascii")
