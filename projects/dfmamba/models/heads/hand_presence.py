"""Which hands are in a crop: a probability for the right and one for the left, beside the joints."""

from collections.abc import Sequence

import torch
from mmpose.structures import PoseDataSample
from torch import Tensor, nn
from torch.nn import functional as F

from dfmamba.skeleton import SIDES

from .a2j_transformer import mlp


class HandPresence(nn.Module):
    """Two logits, right and left, from the mean of the last map, as in InterNet (Moon et al., ECCV 2020).

    Args:
        in_channels: Of the last map.
        hidden_channels: Of the hidden layer.
    """

    def __init__(self, in_channels: int, hidden_channels: int) -> None:
        super().__init__()
        self.mlp = mlp(in_channels, hidden_channels, len(SIDES), num_layers=2)

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        """Return logits (B, 2) from backbone maps (B, C_l, H_l, W_l); float32 at least, under autocast too."""
        logits: Tensor = self.mlp(feats[-1].mean(dim=(2, 3)))
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    def loss(self, feats: Sequence[Tensor], samples: Sequence[PoseDataSample]) -> Tensor:
        """Return the mean binary cross entropy of both hands over samples whose label may be used; 0 without any.

        Args:
            feats: Backbone maps (B, C_l, H_l, W_l).
            samples: With the meta keys `hand_type` (1, 2) and `hand_type_valid` (1,).

        Raises:
            ValueError: A sample has no `hand_type`.
        """
        for sample in samples:
            if "hand_type" not in sample.metainfo:
                raise ValueError(
                    "hand_type: expected it among the meta keys of a training sample, got only "
                    f"{sorted(sample.metainfo)}; name it and hand_type_valid in PackPoseInputs.meta_keys"
                )
        logits = self(feats)
        labels = logits.new_tensor([list(sample.metainfo["hand_type"][0]) for sample in samples])
        valid = logits.new_tensor([float(sample.metainfo.get("hand_type_valid", [1])[0]) for sample in samples])
        losses = F.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(dim=1)
        return (losses * valid).sum() / valid.sum().clamp(min=1)
