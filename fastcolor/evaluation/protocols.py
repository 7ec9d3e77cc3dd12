"""Every measure's unit and protocol, in the words that are printed with it."""

from __future__ import annotations

# Unit and protocol of every measure; with gray_ in front it is that of the picture without colour.
PROTOCOLS: dict[str, tuple[str, str]] = {
    "pictures": ("", "measured, of those that can be read"),
    "auc": ("%", "AuC: share of pixels within t of the true ab, t = 0..150, trapezoid; pooled over all pixels"),
    "macro_auc": ("%", "AuC of each of the 313 bins with 200 true pixels or more, plain mean"),
    "rebalanced_auc": ("%", "AuC, pixels weighted with 1 / prior of their true bin, pooled over all pixels"),
    "psnr_rgb": ("dB", "PSNR of 8-bit sRGB, peak 255, mean over pictures"),
    "psnr_ab": ("dB", "PSNR of Lab's a and b, peak 255, mean over pictures"),
    "ssim_rgb": ("", "SSIM of 8-bit sRGB, Gaussian window of sigma 1.5, mean over channels and pictures"),
    "colorfulness": ("", "Hasler and Suesstrunk 2003, signed rg and yb, mean over pictures"),
    "colorfulness_truth": ("", "the same of the true pictures"),
    "colorfulness_ratio": ("", "ours over the truth's"),
    "colorfulness_abs": ("", "the variant of much of the literature, |rg| and |yb|, mean over pictures"),
    "colorfulness_abs_truth": ("", "the same of the true pictures"),
    "ab_error": ("", "mean distance of ab in Lab units, pooled over all pixels"),
    "ab_error_dark": ("", "the same, pooled over pixels of L below 33"),
    "ab_error_medium": ("", "the same, pooled over pixels of L from 33 to 67"),
    "ab_error_light": ("", "the same, pooled over pixels of L from 67"),
    "ab_error_neutral": ("", "the same, pooled over pixels of true chroma below 5"),
    "ab_error_red": ("", "the same, of true chroma from 5 and true hue angle from -45 to 55 degrees"),
    "ab_error_orange": ("", "the same, of true hue angle from 55 to 85"),
    "ab_error_yellow": ("", "the same, of true hue angle from 85 to 115"),
    "ab_error_green": ("", "the same, of true hue angle from 115 to 180"),
    "ab_error_blue": ("", "the same, of true hue angle from 180 to 315"),
    "ab_error_edges": ("", "the same, at most 4 px from an edge of lightness (Sobel above 5 L a pixel)"),
    "ab_error_flat": ("", "the same, farther than 4 px from every edge"),
    "bleeding": ("", "ab_error_edges over ab_error_flat"),
    "cast": ("", "length of a picture's mean of ab minus true ab, mean over pictures"),
    "cast_a": ("", "mean of a minus true a (towards red), mean over pictures"),
    "cast_b": ("", "mean of b minus true b (towards yellow), mean over pictures"),
    "cast_neutral": ("", "length of the mean ab where true chroma is below 5, mean over pictures with 200 such pixels"),
    "cast_neutral_truth": ("", "the same of the true pictures"),
    "ab_error_skin": ("", "ab_error, pooled over pixels whose true ab may be skin (an ellipse fitted to faces)"),
    "skin_hue": ("deg", "hue angle of the mean ab over the same pixels"),
    "skin_hue_truth": ("deg", "the same of the true pictures"),
    "skin_chroma": ("", "mean chroma over the same pixels"),
    "skin_chroma_truth": ("", "the same of the true pictures"),
    "fid": ("", "Frechet distance of the given network's features, paired true pictures as the real set"),
    "lpips": ("", "LPIPS by the given network, mean over pictures"),
    "perceptual": ("", "LPIPS' formula over the given SqueezeNet, mean over pictures; to rank by, not to quote"),
    "agreement": ("%", "semantic interpretability: the classifier's top-1 is that of the true picture"),
    "top1": ("%", "semantic interpretability: the classifier's top-1 is the label"),
    "top1_truth": ("%", "the same of the true pictures"),
    "probe_chance": ("%", "share of the most frequent class among the held-out pictures"),
}
_PROBE = "linear probe: top-1 of logistic regression on the block's frozen, pooled features; every fifth held out"


def protocol(name: str) -> tuple[str, str]:
    """Unit and protocol of a measure by its name in the result of `evaluate`.

    Example:
        >>> protocol("psnr_rgb")
        ('dB', 'PSNR of 8-bit sRGB, peak 255, mean over pictures')
        >>> protocol("gray_psnr_rgb")
        ('dB', 'the same of the gray pictures')
    """
    if name.startswith("gray_"):
        return PROTOCOLS[name.removeprefix("gray_")][0], "the same of the gray pictures"
    return ("%", _PROBE) if name.startswith("probe_") and name not in PROTOCOLS else PROTOCOLS[name]
