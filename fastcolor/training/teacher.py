"""A teacher: the ImageNet classifier that the encoder's weights come from, which still sees colours."""

from __future__ import annotations

import hashlib

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models.efficientnet import EfficientNetLite0Classifier


class Teacher:
    """Tells what pictures show by their colours. It learns nothing.

    Args:
        classifier: is moved to `device`.

    Attributes:
        key: of its weights: a run that is gone on with is taught by the same one.
    """

    def __init__(self, classifier: EfficientNetLite0Classifier, device: torch.device) -> None:
        network = classifier.eval().requires_grad_(False)
        self.classes = network.classifier.out_features
        content = hashlib.sha256()
        for tensor in network.parameters():
            content.update(tensor.cpu().numpy().tobytes())
        self.key = content.hexdigest()
        self._network: nn.Module = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.no_grad()
    def __call__(self, rgb: Tensor, size: int) -> Tensor:
        """Logits (N, classes) of pictures (N, H, W, 3) uint8, enlarged to a height of `size` if they are smaller:
        things are as large in ImageNet's."""
        x = (rgb.movedim(3, 1).float() - 127) / 128
        if x.shape[2] < size:
            x = F.interpolate(x, size, mode="bilinear", align_corners=False)
        return self._network(x)
