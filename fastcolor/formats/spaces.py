"""Colour spaces that files declare, and the way from them to sRGB: ICC profiles, code points of ITU-T H.273, gamma."""

from __future__ import annotations

import functools
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import ImageCms

Primaries = tuple[float, float, float, float, float, float, float, float]  # x, y of red, green, blue and white

UNSPECIFIED, LINEAR, SRGB, PQ, SMPTE_428, HLG = 2, 8, 13, 16, 17, 18  # transfer functions as H.273 numbers them
_D65, _C, _DCI = (0.3127, 0.3290), (0.310, 0.316), (0.314, 0.351)
_REC709: Primaries = (0.640, 0.330, 0.300, 0.600, 0.150, 0.060, *_D65)
_PRIMARIES: dict[int, Primaries] = {  # H.273, table 2
    1: _REC709,
    4: (0.67, 0.33, 0.21, 0.71, 0.14, 0.08, *_C),
    5: (0.64, 0.33, 0.29, 0.60, 0.15, 0.06, *_D65),
    6: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),
    7: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),
    8: (0.681, 0.319, 0.243, 0.692, 0.145, 0.049, *_C),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *_D65),
    10: (1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1 / 3, 1 / 3),
    11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *_DCI),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *_D65),
    22: (0.630, 0.340, 0.295, 0.605, 0.155, 0.077, *_D65),
}
_POWERS = {4: 2.2, 5: 2.8, SMPTE_428: 2.6}
_WHITE_NITS, _HLG_NITS = 203.0, 1000.0  # diffuse white (ITU-R BT.2408); the display that HLG is graded for
_KNEE = 0.5  # light from which highlights roll off where there is more than diffuse white
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_STRIP = 1 << 19  # pixels that are converted at a time, in float


class ProfileError(ValueError):
    """An ICC profile that cannot be followed."""


@dataclass(frozen=True)
class Space:
    """A colour space as a file declares it. What it leaves open is as in sRGB.

    Attributes:
        profile: an ICC profile; when there is one, it alone counts. primaries: x, y of red, green, blue and white.
        transfer: H.273's number. Its curves for cameras (1, 6, 7, 11, 12, 14, 15) count as sRGB's, as players and
            browsers show them. gamma: an exponent in its place, from code to light.
        narrow: black is at 16 of 255 and white at 235.
    """

    profile: bytes | None = None
    primaries: Primaries | None = None
    transfer: int = SRGB
    gamma: float | None = None
    narrow: bool = False

    @property
    def is_srgb(self) -> bool:
        curve = self.gamma is None and self.transfer not in (*_POWERS, LINEAR, 9, 10, PQ, HLG)
        near = self.primaries is None or max(abs(a - b) for a, b in zip(self.primaries, _REC709, strict=True)) < 0.002
        return not self.profile and curve and near and not self.narrow


ADOBE_RGB = Space(primaries=(0.64, 0.33, 0.21, 0.71, 0.15, 0.06, *_D65), gamma=563 / 256)


def of_code_points(primaries: int, transfer: int, *, narrow: bool = False) -> Space:
    """The space of H.273's numbers, as cICP (PNG) and nclx (AVIF, HEIC) give them."""
    return Space(primaries=_PRIMARIES.get(primaries), transfer=transfer, narrow=narrow)


def of_info(info: Mapping[Any, Any]) -> Space | None:
    """The space that Pillow's `info` of an image tells, in PNG's order: an ICC profile, sRGB, then gamma; None where it
    tells none."""
    if info.get("icc_profile"):
        return Space(profile=info["icc_profile"])
    gamma, points = info.get("gamma"), info.get("chromaticity")
    if "srgb" in info:
        return Space()
    if not gamma:
        return None
    return of_gamma(1 / gamma, (*points[2:], *points[:2]) if points else None)


def of_gamma(gamma: float, primaries: tuple[float, ...] | None) -> Space:
    """The space of an exponent from code to light, and x, y of red, green, blue and white; what cannot be says nothing.

    Example:
        >>> of_gamma(1.8, None)
        Space(profile=None, primaries=None, transfer=13, gamma=1.8, narrow=False)
    """
    if not 0.1 <= gamma <= 100:
        return Space()
    known: Primaries | None = None
    if primaries and len(primaries) == 8 and all(0 < y for y in primaries[1::2]):
        known = primaries
    if abs(1 / gamma - 1 / 2.2) < 0.005:  # what encoders of sRGB write beside it
        return Space(primaries=known)
    return Space(primaries=known, gamma=gamma)


def to_srgb(samples: np.ndarray, space: Space) -> np.ndarray:
    """Samples in sRGB.

    Args:
        samples: (H, W) gray, (H, W, 3) RGB or (H, W, 4) CMYK, uint8 or uint16.

    Returns:
        (H, W) or (H, W, 3) of the same dtype.

    Raises:
        ProfileError: a profile that is damaged or of another kind of picture.
    """
    if samples.ndim == 3 and samples.shape[2] == 4 and not space.profile:
        return _without_ink(samples)
    if space.is_srgb:
        return samples
    peak, most, profile = int(samples.max()), np.iinfo(samples.dtype).max, space.profile
    if samples.ndim == 2:  # by a table of every value, where the picture is larger than one
        if profile and samples.size <= most:
            return _by_profile(samples, profile)
        ramp = np.arange(most + 1, dtype=samples.dtype)
        if profile:
            return _by_profile(ramp[None], profile)[0][samples]
        return (ordinary_codes(ramp / most, space, peak / most) * most + 0.5).astype(samples.dtype)[samples]
    result = np.empty((*samples.shape[:2], 3), samples.dtype)
    rows = max(1, _STRIP // samples.shape[1])
    for first in range(0, len(samples), rows):
        strip = np.ascontiguousarray(samples[first : first + rows])
        result[first : first + rows] = _by_profile(strip, profile) if profile else _rgb(strip, space, peak)
    return result


def ordinary_codes(code: np.ndarray, space: Space, peak: float) -> np.ndarray:
    """What an sRGB picture holds where a gray one of this space, which has no profile, holds these codes.

    Args:
        code: in [0, 1]. peak: the highest code of the picture: where that is more than diffuse white, light is as it
            was up to middle tones and rolls off from there.

    Example:
        >>> ordinary_codes(np.array([0.58]), Space(transfer=PQ), 0.75).round(2)  # diffuse white beside 1,000 nits
        array([0.89])
    """
    light, brightest = _shown(light_of(code, space), space), _brightest(peak, space)
    return _srgb_codes(light if brightest <= 1.001 else _rolled_off(light, brightest))


def _rgb(samples: np.ndarray, space: Space, peak: int) -> np.ndarray:
    """peak: the highest value in the picture."""
    most = np.iinfo(samples.dtype).max
    light = light_of(np.arange(most + 1) / most, space).astype(np.float32)[samples]
    light = _shown(light, space, (light @ np.array([0.2627, 0.678, 0.0593], np.float32))[..., None])
    if space.primaries:
        light = light @ _matrix(space.primaries).T.astype(np.float32)
    if (peak_light := _brightest(peak / most, space)) > 1.001:
        brightest = light.max(axis=2, keepdims=True)
        light = light * (_rolled_off(brightest, peak_light) / np.maximum(brightest, 1e-6))
    return (_srgb_codes(light) * most + 0.5).astype(samples.dtype)


def _shown(light: np.ndarray, space: Space, luminance: np.ndarray | None = None) -> np.ndarray:
    """What a display shows of it: of HLG's scene light by its luminance, as BT.2100 has it."""
    if space.transfer != HLG or space.gamma is not None:
        return light
    return light * np.maximum(light if luminance is None else luminance, 1e-6) ** 0.2 * (_HLG_NITS / _WHITE_NITS)


def _brightest(peak: float, space: Space) -> float:
    return float(_shown(light_of(np.array([peak]), space), space)[0])


def _srgb_codes(light: np.ndarray) -> np.ndarray:
    light = light.clip(0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055)


def light_of(code: np.ndarray, space: Space) -> np.ndarray:
    """Light of codes in [0, 1], 1 at diffuse white; of HLG the scene's."""
    if space.narrow:
        code = ((code * 255 - 16) / 219).clip(0, 1)
    if space.gamma is not None:
        return code**space.gamma
    transfer = space.transfer
    if transfer == LINEAR:
        return code
    if transfer in _POWERS:
        scale = 52.37 / 48 if transfer == SMPTE_428 else 1
        return scale * code ** _POWERS[transfer]
    if transfer in (9, 10):
        return np.where(code > 0, 10 ** ((code - 1) * (2 if transfer == 9 else 2.5)), 0)
    if transfer == PQ:  # SMPTE ST 2084
        power = code ** (32 / 2523)
        light = ((power - 0.8359375).clip(min=0) / (18.8515625 - 18.6875 * power)) ** (8192 / 1305)
        return light * (10000 / _WHITE_NITS)
    if transfer == HLG:  # ITU-R BT.2100
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)


def _rolled_off(light: np.ndarray, peak: float) -> np.ndarray:
    """Light up to `peak` within [0, 1]: as it is below the knee, from there with no step in slope, 1 at the peak.

    With u = light - k: k + u / (1 + c u), of slope 1 at u = 0; c follows from k + (p - k) / (1 + c (p - k)) = 1.
    """
    over = np.maximum(light - _KNEE, 0)
    bend = 1 / (1 - _KNEE) - 1 / (peak - _KNEE)
    return np.where(light <= _KNEE, light, _KNEE + over / (1 + bend * over))


def _to_xyz(primaries: Primaries) -> np.ndarray:
    red, green, blue, white = (np.array([x / y, 1, (1 - x - y) / y]) if y else np.array([x, 0, 1 - x])
                               for x, y in zip(primaries[::2], primaries[1::2], strict=True))  # fmt: skip
    columns = np.stack([red, green, blue], axis=1)
    return columns * np.linalg.solve(columns, white)


@functools.cache
def _matrix(primaries: Primaries) -> np.ndarray:
    """(3, 3): linear RGB of these primaries to that of sRGB, white to white by Bradford's cones."""
    try:
        source, target = _to_xyz(primaries), _to_xyz(_REC709)
        cones = [_BRADFORD @ matrix.sum(axis=1) for matrix in (source, target)]
        adapted = np.linalg.solve(_BRADFORD, np.diag(cones[1] / cones[0]) @ _BRADFORD)
        matrix = np.linalg.solve(target, adapted @ source)
    except np.linalg.LinAlgError:
        return np.eye(3)
    return matrix if np.isfinite(matrix).all() else np.eye(3)


def _by_profile(samples: np.ndarray, profile: bytes) -> np.ndarray:
    import imagecodecs

    kind = {b"GRAY": "gray", b"RGB ": "rgb", b"CMYK": "cmyk"}.get(bytes(profile[16:20]))
    gray = samples.ndim == 2
    fits = kind in ("gray", "rgb") if gray else kind == {3: "rgb", 4: "cmyk"}[samples.shape[2]]
    if not fits:
        raise ProfileError(
            "its colour profile is of another kind of picture" if kind else "its colour profile is damaged"
        )
    if gray and kind == "rgb":
        samples = samples[..., None].repeat(3, axis=2)
    try:
        rgb = imagecodecs.cms_transform(
            samples,
            bytes(profile),
            srgb_profile(),
            colorspace=kind,
            outcolorspace="rgb",
            outdtype=samples.dtype.name,
            flags=0x0100,  # cmsFLAGS_NOOPTIMIZE: else a gray curve is joined from a few straight lines
        )
    except (RuntimeError, ValueError, TypeError) as error:
        raise ProfileError("its colour profile is damaged") from error
    return rgb[..., 1] if gray else rgb


def _without_ink(cmyk: np.ndarray) -> np.ndarray:
    """RGB of CMYK of which nothing more is known."""
    most = np.iinfo(cmyk.dtype).max
    free = most - cmyk.astype(np.uint32)
    return ((free[..., :3] * free[..., 3:] + most // 2) // most).astype(cmyk.dtype)


@functools.cache
def srgb_profile() -> bytes:
    """An sRGB profile whose bytes are the same on every day."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)  # the header's date and time (ICC.1:2022, 7.2.8)
    return bytes(profile)
