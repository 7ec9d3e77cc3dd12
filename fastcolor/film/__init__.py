"""Film files through PyAV: what an input holds, how it will be written, and the work in between.

The luma plane of a decoded frame is passed on untouched, and every stream but the painted one is copied packet for
packet. PyAV is imported inside the functions: importing fastcolor needs none.
"""
