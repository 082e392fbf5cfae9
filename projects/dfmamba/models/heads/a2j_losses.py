"""The two losses of A2J-Transformer, with the reductions of its public code.

Shapes: predictions (L, B, J, 3) of L decoder layers, targets (B, J, 3), both as x, y in crop px and z in depth bins;
weights (B, J, 3), 0 for joints that do not count, and for z of those whose depth is not known.
"""

import torch
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

BETA = 1.0
DEPTH_BETA = 3.0
IN_PLANE_FACTOR = 0.5


def weighted_joint_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Average values (L, B, J, 3): over what counts in each sample, then over samples and layers alike.

    A sample where nothing counts adds 0 to the mean.
    """
    return ((values * weights).sum((-2, -1)) / weights.sum((-2, -1)).clamp(min=1)).mean()


def huber(predictions: Tensor, targets: Tensor, beta: float) -> Tensor:
    """Return e^2 / (2 beta) where the error e is below beta, elsewhere e - beta / 2; targets are broadcast."""
    return smooth_l1_loss(predictions, targets.expand_as(predictions), reduction="none", beta=beta)


def anchor_loss(anchor_means: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Pull the weighted mean of the anchors to the joint: Huber with beta = 1 on x, y and z."""
    return weighted_joint_mean(huber(anchor_means, targets, BETA), weights)


def regression_loss(joints: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Pull the predicted joint to its target: 0.5 Huber with beta = 1 on x and y, Huber with beta = 3 on z."""
    in_plane = IN_PLANE_FACTOR * huber(joints[..., :2], targets[..., :2], BETA)
    depth = huber(joints[..., 2:], targets[..., 2:], DEPTH_BETA)
    return weighted_joint_mean(torch.cat([in_plane, depth], dim=-1), weights)


def assignment_loss(anchor_weights: Tensor, anchors: Tensor, targets: Tensor, weights: Tensor, sigma: float) -> Tensor:
    """Tell every joint which anchors are near it: cross-entropy of the anchors' weights with a Gaussian around it.

    Not in A2J-Transformer. Its two losses see the weights only through their mean, which learns slowly from scratch.
    For a joint whose depth is not known, anchors of all depths are alike.

    Args:
        anchor_weights: (L, B, A, J), sums to 1 over the anchors.
        anchors: (A, 3) in px, px, bins.
        targets: (B, J, 3).
        weights: (B, J, 3).
        sigma: Standard deviation of the Gaussian in px and bins.
    """
    squared_distances = ((anchors[:, None] - targets[:, None]).square() * weights[:, None]).sum(-1)  # (B, A, J)
    wanted = (-squared_distances / (2 * sigma**2)).softmax(dim=1)
    cross_entropy = -(wanted * anchor_weights.clamp(min=1e-9).log()).sum(-2)  # (L, B, J)
    counts = weights[..., 0]  # (B, J)
    return ((cross_entropy * counts).sum(-1) / counts.sum(-1).clamp(min=1)).mean()
