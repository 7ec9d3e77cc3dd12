"""Film files through PyAV: what an input holds, how it will be written, and the work in between.

The luma plane of a decoded frame is passed on untouched, and every stream but the painted one is copied packet for
packet. PyAV is imported inside the functions: importing fastcolor needs none.
"""

from .job import FilmJob
from .parts import Parts
from .plan import CONTAINERS, ENCODERS, plan
from .probe import Film, probe, reason
from .streams import choose

__all__ = ["CONTAINERS", "ENCODERS", "Film", "FilmJob", "Parts", "choose", "plan", "probe", "reason"]
