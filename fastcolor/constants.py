"""Facts that several files share, and where they come from."""

from __future__ import annotations

import os
from collections.abc import Sequence

__version__ = "0.1.0"

# Endings of films that can be written, and of those that are read.
WRITTEN_FILMS = {".mp4", ".m4v", ".mov", ".mkv", ".webm"}
FILMS = WRITTEN_FILMS | set(".avi .mpg .mpeg .ts .mts .m2ts .wmv .flv .ogv .3gp .vob .mxf .dv .mjpeg".split())


def is_film(name: str | os.PathLike[str]) -> bool:
    """Whether a file is a film by its name."""
    return os.path.splitext(name)[1].lower() in FILMS


MOST_PICTURE = 1 << 30  # bytes of a picture's file that comes in an archive or over the net

# sRGB primaries to XYZ, D65 (IEC 61966-2-1), and the white point of the 2-degree observer (CIE 15).
RGB_TO_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
WHITE = (0.95047, 1.0, 1.08883)
# Luma weights of red and blue: ITU-R BT.601, BT.709, BT.2020.
LUMA_WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}

Source = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]  # of pictures to learn from or to measure
