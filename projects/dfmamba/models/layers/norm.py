"""Normalisation: layer normalisation of feature maps, and the running statistics of batch normalisation.

Batch normalisation is of every kind: torch's, timm's, and both kinds that mmengine's `sync_bn` puts in its place.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F


class LayerNorm2d(nn.LayerNorm):
    """Layer normalisation over the channels of a feature map (batch, channels, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised map."""
        x = x.permute(0, 2, 3, 1)  # (batch, channels, H, W) -> (batch, H, W, channels)
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps).permute(0, 3, 1, 2)


def _batch_norms(module: nn.Module) -> list[Any]:
    """Return the batch normalisations of a module, told by a buffer: mmcv's SyncBatchNorm is none of torch's."""
    return [part for part in module.modules() if "running_mean" in part._buffers]


def use_running_statistics(module: nn.Module) -> None:
    """Set the batch normalisations of a module to evaluation mode: until `train()`, their statistics are constant."""
    for norm in _batch_norms(module):
        norm.eval()


@contextmanager
def unchanged_statistics(module: nn.Module) -> Iterator[None]:
    """Keep forward passes of a module in training mode from updating the running statistics."""
    norms = [(norm, norm.momentum, norm.num_batches_tracked) for norm in _batch_norms(module)]
    for norm, _, _ in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, momentum, count in norms:
            norm.momentum, norm.num_batches_tracked = momentum, count
