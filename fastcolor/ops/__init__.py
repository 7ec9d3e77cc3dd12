"""The colour operations, fused, on CPU and CUDA.

`fastcolor.reference` has the same functions in plain torch. Every op takes contiguous and other tensors, NCHW and
channels_last, empty batches; runs on the current CUDA stream; and works under torch.compile and torch.export with free
sizes and batches.

rgb_to_lab, lab_to_rgb, annealed_mean, rebalanced_cross_entropy and temporal_average have derivatives. The first
backward pass of all but the last runs in kernels; second order, forward mode and torch.func run in plain torch, which
is right but slow. What has no derivative says so, or gives integers. Wrong arguments raise TypeError or ValueError that
name the argument, the rule and the value.
"""

from .color import lab_to_rgb, rgb_to_lab
from .decode import annealed_mean
from .encode import encode_bins
from .loss import rebalanced_cross_entropy
from .paint import luma_to_input, paint_chroma, paint_rgb
from .temporal import block_motion, temporal_average

__all__ = [
    "annealed_mean",
    "block_motion",
    "encode_bins",
    "lab_to_rgb",
    "luma_to_input",
    "paint_chroma",
    "paint_rgb",
    "rebalanced_cross_entropy",
    "rgb_to_lab",
    "temporal_average",
]
