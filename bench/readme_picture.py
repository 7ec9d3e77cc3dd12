"""Makes README.md's picture: four gray photographs, and what the shipped weights make of them.

`python -m bench.readme_picture` writes bench/readme.jpg; the photographs are of bench/demo.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageOps

import fastcolor

HERE = Path(__file__).parent
PHOTOGRAPHS = ("rocket", "astronaut", "coffee", "chelsea")
SIZE = (320, 240)


def main() -> None:
    sheet = Image.new("RGB", (SIZE[0] * len(PHOTOGRAPHS), SIZE[1] * 2))
    for column, name in enumerate(PHOTOGRAPHS):
        with Image.open(HERE / "demo" / f"{name}.jpg") as gray:
            for row, image in enumerate((gray.convert("RGB"), fastcolor.colorize(gray))):
                cut = ImageOps.fit(image, SIZE, Image.Resampling.LANCZOS, centering=(0.5, 0.0))
                sheet.paste(cut, (SIZE[0] * column, SIZE[1] * row))
    sheet.save(HERE / "readme.jpg", quality=90)


if __name__ == "__main__":
    main()
