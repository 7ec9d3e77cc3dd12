"""What the published networks' own demos do otherwise than we, so that results can be compared with theirs.

All of them squeeze the picture into a square. The rest of what differs, rounding to 8 bits in between, is not repeated.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Demo:
    """The conventions of a network's demo.

    Attributes:
        antialias: the picture is averaged when it is shrunk; else single pixels are taken, which makes fine patterns
        flicker. nearest: colours are enlarged by repeating them, which leaves steps at edges.
    """

    antialias: bool = True
    nearest: bool = False


# By the network's name. Zhang's: PIL bicubic, then bilinear; DDColor's: OpenCV bilinear on floats, then nearest;
# DeOldify's: PIL bilinear both ways.
DEMOS = {
    "eccv16": Demo(),
    "siggraph17": Demo(),
    "ddcolor": Demo(antialias=False, nearest=True),
    "ddcolor-tiny": Demo(antialias=False, nearest=True),
    "deoldify": Demo(),
    "deoldify-wide": Demo(),
}
