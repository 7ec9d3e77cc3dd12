"""Colouring films as DeOldify does: every frame a JPEG file, coloured by itself, all of them joined by ffmpeg.

The steps of jantic/DeOldify at 5f86c28 (`VideoColorizer` in deoldify/visualize.py, `ColorizerFilter` in filters.py),
without the watermark: ffmpeg writes the frames as JPEG files; each is squeezed into a square by PIL, made gray, goes
through the network in float32, comes back by PIL, lends its U and V to the frame's own Y by OpenCV, and is saved as
JPEG; ffmpeg makes H.264 of them, at crf 17 and at the mean of the frame rates, and puts the sound beside it, encoded
anew.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from fastcolor.models.layers import IMAGENET_MEAN, IMAGENET_STD


class DeOldifyFilm:
    """One network and what goes round it.

    Args:
        network: RGB (1, 3, side, side), minus ImageNet's mean, over its deviation, to the same of a painted picture.
        side: of the square that it sees; for films 336 (render factor 21).

    Raises:
        ImportError: no OpenCV.
    """

    def __init__(self, network: nn.Module, side: int = 336) -> None:
        import cv2

        self._cv2 = cv2
        self._network, self._side = network.eval(), side
        self._mean, self._std = (torch.tensor(of).view(3, 1, 1) for of in (IMAGENET_MEAN, IMAGENET_STD))

    @torch.inference_mode()
    def paint(self, picture: Image.Image) -> Image.Image:
        """An RGB picture in new colours."""
        cv2, square = self._cv2, picture.resize((self._side, self._side), Image.Resampling.BILINEAR)
        gray = np.asarray(square.convert("LA").convert("RGB"), np.float32)
        shown: Tensor = (torch.from_numpy(gray.transpose(2, 0, 1).copy()) / 255 - self._mean) / self._std
        painted = (self._network(shown[None])[0] * self._std + self._mean).clamp(0, 1) * 255
        colours = Image.fromarray(painted.permute(1, 2, 0).numpy().astype(np.uint8))
        colours = colours.resize(picture.size, Image.Resampling.BILINEAR)
        yuv = cv2.cvtColor(np.asarray(picture), cv2.COLOR_RGB2YUV)
        yuv[..., 1:] = cv2.cvtColor(np.asarray(colours), cv2.COLOR_RGB2YUV)[..., 1:]
        return Image.fromarray(cv2.cvtColor(yuv, cv2.COLOR_YUV2RGB))

    def film(self, source: Path, target: Path, folder: Path) -> int:
        """Colour an .mp4 by way of files in `folder`, which stay; returns the number of frames.

        Raises:
            FileNotFoundError: no ffmpeg. subprocess.CalledProcessError: it failed.
        """
        gray, colour = folder / "gray", folder / "colour"
        for one in (gray, colour):
            one.mkdir(parents=True)
        _ffmpeg("-i", source, "-f", "image2", "-vcodec", "mjpeg", "-q:v", "0", gray / "%5d.jpg")
        names = os.listdir(gray)
        for name in names:
            with Image.open(gray / name) as file:
                self.paint(file.convert("RGB")).save(colour / name)
        silent, sound = folder / "silent.mp4", folder / "sound.aac"
        frames = ("-f", "image2", "-framerate", _mean_rate(source), "-vcodec", "mjpeg", "-i", colour / "%5d.jpg")
        _ffmpeg(*frames, "-crf", 17, "-vcodec", "libx264", silent)
        shutil.copyfile(silent, target)
        if _has_sound(source):
            _ffmpeg("-i", source, "-vn", "-acodec", "copy", sound)
            _ffmpeg("-i", silent, "-i", sound, "-shortest", "-c:v", "copy", "-c:a", "aac", "-b:a", "256k", target)
        return len(names)


def _ffmpeg(*words: object) -> None:
    subprocess.run(["ffmpeg", "-y", "-hide_banner", "-nostats", "-loglevel", "error", *map(str, words)], check=True)


def _probe(source: Path, *words: str) -> str:
    command = ["ffprobe", "-v", "error", *words, "-of", "csv=p=0", str(source)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _mean_rate(source: Path) -> str:
    return _probe(source, "-select_streams", "v:0", "-show_entries", "stream=avg_frame_rate")


def _has_sound(source: Path) -> bool:
    return bool(_probe(source, "-select_streams", "a", "-show_entries", "stream=index"))
