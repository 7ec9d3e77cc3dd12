"""The picture of docs/networks.md: what a demo's conventions do to colours.

`python -m bench.conventions` colours two photographs of scikit-image's wheel (coffee: Rachel Michetti, CC0; chelsea:
Stefan van der Walt, CC0) by the default network, once as fastcolor does it and once by DDColor's conventions, as
`--as-published` does with DDColor: squeezed into a square whose pixels are sampled, colours enlarged by repeating them.
It writes docs/as-published.jpg: each photograph gray, both ways, and a detail of both.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from skimage import data

from fastcolor.models.demos import DEMOS
from fastcolor.pictures.colorize import Colorizer

OUT = Path(__file__).parent.parent / "docs" / "as-published.jpg"
# Photograph: what is coloured of it, and the detail: left, top, right, bottom.
SHOWN = {"coffee": ((0, 90, 600, 330), (150, 20, 300, 110)), "chelsea": ((0, 60, 451, 240), (130, 20, 290, 116))}
WIDTH, HEAD = 300, 14


def main() -> None:
    DEMOS["default"] = DEMOS["ddcolor"]
    colorizers = [Colorizer("default", "cpu", "torch", as_published=one) for one in (True, False)]
    columns = ["gray", "as published", "fastcolor's own way", "as published, detail", "own way, detail"]
    rows = []
    for name, (part, detail) in SHOWN.items():
        gray = Image.fromarray(getattr(data, name)()).convert("L").crop(part)
        painted = [colorizer(np.array(gray)) for colorizer in colorizers]
        shown = [gray.convert("RGB"), *painted, *(picture.crop(detail) for picture in painted)]
        rows.append([picture.resize((WIDTH, WIDTH * picture.height // picture.width)) for picture in shown])
    heights = [max(picture.height for picture in row) for row in rows]
    sheet = Image.new("RGB", (len(columns) * WIDTH, HEAD + sum(heights)), "white")
    draw = ImageDraw.Draw(sheet)
    for column, words in enumerate(columns):
        draw.text((column * WIDTH + 4, 1), words, "black")
        top = HEAD
        for row, height in zip(rows, heights, strict=True):
            sheet.paste(row[column], (column * WIDTH, top))
            top += height
    sheet.save(OUT, quality=85, optimize=True)


if __name__ == "__main__":
    main()
