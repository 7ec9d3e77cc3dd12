"""fastcolor's kernels. Private: use fastcolor.ops."""

INTERFACE: int

def annealed_mean(
    logits: tuple[int, int, int, int, bool, int],
    ab: int,
    stats: int,
    temperature: float,
    palette: tuple[int, int, int, int, int],
    target: tuple[int, int, int],
) -> None: ...
def annealed_mean_backward(
    logits: tuple[int, int, int, int, bool, int],
    grad_ab: int,
    ab: int,
    stats: int,
    grad_logits: int,
    temperature: float,
    palette: tuple[int, int, int, int, int],
    target: tuple[int, int, int],
) -> None: ...
def block_motion(
    luma: tuple[int, int, int, int, int],
    previous: int,
    motion: int,
    error: int,
    radius: int,
    target: tuple[int, int, int],
) -> None: ...
def cuda_built() -> bool: ...
def cuda_device_count() -> int: ...
def cuda_problem() -> str: ...
def encode_bins(
    ab: tuple[int, int, int, int, int],
    index: int,
    weight: int,
    neighbours: int,
    sigma: float,
    palette: tuple[int, int, int, int, int],
    target: tuple[int, int, int],
) -> None: ...
def has_bf16() -> bool: ...
def has_vnni() -> bool: ...
def isa() -> str: ...
def lab_to_rgb(
    source: int,
    destination: int,
    size: tuple[int, int],
    interleaved: bool,
    chroma_gamut: bool,
    dtype: int,
    target: tuple[int, int, int],
) -> None: ...
def lab_to_rgb_backward(
    source: int,
    grad_output: int,
    destination: int,
    size: tuple[int, int],
    interleaved: bool,
    dtype: int,
    target: tuple[int, int, int],
) -> None: ...
def loss(
    logits: tuple[int, int, int, int, bool, int],
    ab: int,
    weights: tuple[int, int, int],
    outputs: tuple[int, int],
    terms: tuple[int, float, float, float],
    palette: tuple[int, int, int, int, int],
    target: tuple[int, int, int],
) -> None: ...
def luma_to_input(
    luma: tuple[int, int, int, int, int],
    lightness: tuple[int, int, int, int, int],
    code: tuple[float, float],
    target: tuple[int, int, int],
) -> None: ...
def paint_chroma(
    ab: tuple[int, int, int, int, int],
    sharp: bool,
    luma: tuple[int, int, int, int, int],
    chroma: tuple[int, int],
    grid: tuple[int, int, bool],
    luma_code: tuple[float, float],
    chroma_code: tuple[float, float, float, float, float],
    saturation: float,
    target: tuple[int, int, int],
) -> None: ...
def paint_rgb(
    ab: tuple[int, int, int, int, int],
    sharp: bool,
    source: tuple[int, int, int, int, int],
    source_kind: int,
    rgb: int,
    saturation: float,
    chroma_gamut: bool,
    target: tuple[int, int, int],
) -> None: ...
def pixel_weight(
    ab: tuple[int, int, int, int, int],
    class_weight: int,
    mask: int,
    weight: int,
    palette: tuple[int, int, int, int, int],
    target: tuple[int, int, int],
) -> None: ...
def rgb_to_lab(
    source: int,
    destination: int,
    size: tuple[int, int],
    interleaved: bool,
    chroma_gamut: bool,
    dtype: int,
    target: tuple[int, int, int],
) -> None: ...
def rgb_to_lab_backward(
    source: int,
    grad_output: int,
    destination: int,
    size: tuple[int, int],
    interleaved: bool,
    dtype: int,
    target: tuple[int, int, int],
) -> None: ...
def scale_grad(
    grad: tuple[int, int, int, int, bool, int], factor: int, per_pixel: bool, target: tuple[int, int, int]
) -> None: ...
def temporal_average(
    ab: int,
    luma: tuple[int, int, int, int, int],
    before: tuple[int, int],
    motion: int,
    keep: int,
    out: int,
    tolerance: tuple[float, float],
    target: tuple[int, int, int],
) -> None: ...
