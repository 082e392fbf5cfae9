"""The losses of DetNet: heatmaps, and vectors where the true heatmaps are warm.

Shapes: heatmaps (B, J, H, W), maps of vectors (B, J, 3, H, W), their targets (B, J, 3), weights (B, J) with 0 for what
does not count.
"""

from torch import Tensor


def heatmap_loss(heatmaps: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Return half the squared error, averaged over batch and cells and summed over the joints (public PyTorch port)."""
    squared_errors = (heatmaps - targets).square().mean((-2, -1))
    return 0.5 * (weights * squared_errors).sum(-1).mean()


def vector_loss(maps: Tensor, targets: Tensor, true_heatmaps: Tensor, weights: Tensor) -> Tensor:
    """Return the squared distance of the vectors to their target, averaged over the cells, weighted with true heatmaps.

    Every cell has the same target; cells that the true heatmap leaves cold do not count. Where nothing counts: 0.
    """
    squared_distances = (maps - targets[..., None, None]).square().sum(2)
    weights = weights[..., None, None] * true_heatmaps
    return (weights * squared_distances).sum() / weights.sum().clamp(min=1e-6)
