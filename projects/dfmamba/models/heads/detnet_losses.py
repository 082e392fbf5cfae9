"""The losses of DetNet: heat maps, and vectors where the true heat maps are warm.

Shapes: heat maps (B, J, H, W), maps of vectors (B, J, 3, H, W), their targets (B, J, 3), weights (B, J) with 0 for what
does not count.
"""

from torch import Tensor


def heat_loss(heatmaps: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Return half the squared error, averaged over batch and cells and summed over the joints (public PyTorch port)."""
    squared_errors = (heatmaps - targets).square().mean((-2, -1))
    return 0.5 * (weights * squared_errors).sum(-1).mean()


def vector_loss(maps: Tensor, targets: Tensor, true_heatmaps: Tensor, weights: Tensor) -> Tensor:
    """Return the squared distance of the vectors to their target, averaged over all cells with the true heat as weight.

    Every cell has the same target; cells that the true heat map leaves cold do not count. Where nothing counts: 0.
    """
    squared_distances = (maps - targets[..., None, None]).square().sum(2)
    heat = weights[..., None, None] * true_heatmaps
    return (heat * squared_distances).sum() / heat.sum().clamp(min=1e-6)
