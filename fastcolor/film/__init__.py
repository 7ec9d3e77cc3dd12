"""Film files through PyAV: what an input holds, how it will be written, and the frames and packets in between.

Nothing here knows about colour. The luma plane of a decoded frame is passed on untouched, and every stream but the
painted one is copied packet for packet. PyAV is imported inside the functions: importing fastcolor needs none.
"""

from .plan import CONTAINERS, ENCODERS, Encoding, Layout, plan
from .probe import Film, probe, reason
from .read import Batch, Reader, plane_view
from .write import Writer

__all__ = [
    "CONTAINERS",
    "ENCODERS",
    "Batch",
    "Encoding",
    "Film",
    "Layout",
    "Reader",
    "Writer",
    "plan",
    "plane_view",
    "probe",
    "reason",
]
