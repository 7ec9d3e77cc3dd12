"""Colouring as the published demos do it: PIL's resize, scikit-image's Lab, torch in fp32 eager, one picture at a time.

The steps of the demos of Zhang et al. 2016 and those after it: Lab of the whole picture, a small copy for the network,
its colours enlarged by `F.interpolate`, joined with the lightness, back to RGB; for films OpenCV reads and writes, and
the sound is lost. Weights, network size and output size are those of fastcolor.
"""

from __future__ import annotations

import copy
import os
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from fastcolor.models import weights

Stages = dict[str, float]


class Published:
    """One network and what goes round it.

    Raises:
        ImportError: no scikit-image; for `film`, no OpenCV.
    """

    def __init__(self, name: str, device: str) -> None:
        from skimage import color

        loaded = weights.load(name)
        self._color = color
        self.device = torch.device(device)
        self._model = copy.deepcopy(loaded.model).eval().requires_grad_(False).to(self.device)
        self._bins = None if loaded.palette is None else loaded.palette.points.float().to(self.device)
        self._temperature, self._saturation = loaded.temperature, loaded.saturation
        self.seconds: Stages = {}

    @torch.inference_mode()
    def paint(self, rgb: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """(H, W, 3) uint8 -> the same shape in new colours; size: (h, w) that the network sees."""
        start = time.perf_counter()
        small = np.asarray(Image.fromarray(rgb).resize(size[::-1], Image.Resampling.BICUBIC))
        whole = torch.from_numpy(self._color.rgb2lab(rgb)[None, None, ..., 0].astype(np.float32))
        lightness = torch.from_numpy(self._color.rgb2lab(small)[None, None, ..., 0].astype(np.float32))
        start = self._took("input", start)
        logits = self._model(lightness.to(self.device))
        self._wait()
        start = self._took("network", start)
        if self._bins is None:  # a regressor's answer is ab
            ab = logits * self._saturation
        else:
            shares = F.softmax(logits / self._temperature, dim=1)
            ab = torch.einsum("nqhw,qc->nchw", shares, self._bins) * self._saturation
        self._wait()
        start = self._took("decode", start)
        ab = F.interpolate(ab, rgb.shape[:2], mode="bilinear").cpu()
        lab = torch.cat((whole, ab), dim=1)[0].permute(1, 2, 0).numpy()
        painted = (self._color.lab2rgb(lab) * 255).astype(np.uint8)
        self._took("paint", start)
        return painted

    def picture(self, source: Path, target: Path, size: tuple[int, int]) -> None:
        start = time.perf_counter()
        rgb = np.asarray(Image.open(source).convert("RGB"))
        self._took("read", start)
        painted = self.paint(rgb, size)
        start = time.perf_counter()
        Image.fromarray(painted).save(target, quality=95, subsampling=0)
        self._took("write", start)

    def film(self, source: Path, target: Path, size: tuple[int, int], most: int) -> int:
        """Colour the first `most` frames; returns how many there were."""
        import cv2

        reader = cv2.VideoCapture(os.fspath(source))
        shape = (int(reader.get(cv2.CAP_PROP_FRAME_WIDTH)), int(reader.get(cv2.CAP_PROP_FRAME_HEIGHT)))
        code = cv2.VideoWriter_fourcc(*"mp4v")
        writer = cv2.VideoWriter(os.fspath(target), code, reader.get(cv2.CAP_PROP_FPS), shape)
        frames = 0
        while frames < most:
            start = time.perf_counter()
            there, bgr = reader.read()
            if not there:
                break
            rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
            self._took("read", start)
            painted = self.paint(rgb, size)
            start = time.perf_counter()
            writer.write(cv2.cvtColor(painted, cv2.COLOR_RGB2BGR))
            self._took("write", start)
            frames += 1
        writer.release()
        reader.release()
        return frames

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _took(self, stage: str, since: float) -> float:
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - since
        return now
