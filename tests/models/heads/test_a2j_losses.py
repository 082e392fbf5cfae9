"""The losses of A2J against sums worked out by hand."""

import math

import pytest
import torch

from dfmamba.models.heads.a2j_losses import anchor_loss, assignment_loss, regression_loss


def errors_of(layers):
    """Return predictions (L, B, J, 3) with the given errors and zero targets."""
    predictions = torch.tensor(layers)
    return predictions, torch.zeros(predictions.shape[1:])


@pytest.mark.parametrize(
    ("error", "anchor", "regression"),
    [
        # Huber(1): 0.5 e^2 up to 1, then e - 0.5;  Huber(3): e^2 / 6 up to 3, then e - 1.5
        ((0.5, 0.0, 0.0), 0.125 / 3, 0.5 * 0.125 / 3),
        ((0.0, -4.0, 0.0), 3.5 / 3, 0.5 * 3.5 / 3),
        ((0.0, 0.0, 2.0), 1.5 / 3, (4 / 6) / 3),
        ((0.0, 0.0, -3.0), 2.5 / 3, 1.5 / 3),
        ((0.0, 0.0, 10.0), 9.5 / 3, 8.5 / 3),
        ((1.0, 2.0, 6.0), (0.5 + 1.5 + 5.5) / 3, (0.5 * (0.5 + 1.5) + 4.5) / 3),
    ],
)
def test_one_joint(error, anchor, regression):
    predictions, targets = errors_of([[[error]]])
    assert anchor_loss(predictions, targets, torch.ones(1, 1)).item() == pytest.approx(anchor)
    assert regression_loss(predictions, targets, torch.ones(1, 1)).item() == pytest.approx(regression)


def test_each_sample_is_divided_by_its_own_number_of_joints():
    # sample 1: joints with errors 1.5 and 2.5 in x, both count; sample 2: only the first counts, with 4.5
    predictions, targets = errors_of([[[(1.5, 0.0, 0.0), (2.5, 0.0, 0.0)], [(4.5, 0.0, 0.0), (99.0, 99.0, 99.0)]]])
    weights = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    expected = ((1 + 2) / (3 * 2) + 4 / (3 * 1)) / 2
    assert anchor_loss(predictions, targets, weights).item() == pytest.approx(expected)
    assert regression_loss(predictions, targets, weights).item() == pytest.approx(expected / 2)


def test_layers_are_averaged():
    predictions, targets = errors_of([[[(1.5, 0.0, 0.0)]], [[(3.5, 0.0, 0.0)]], [[(0.0, 0.0, 0.0)]]])
    assert anchor_loss(predictions, targets, torch.ones(1, 1)).item() == pytest.approx((1 + 3 + 0) / 3 / 3)


def test_no_joint_that_counts_gives_zero_and_no_nan():
    predictions, targets = errors_of([[[(1.0, 2.0, 3.0)]]])
    predictions.requires_grad_()
    nothing = torch.zeros(1, 1)
    loss = anchor_loss(predictions, targets, nothing) + regression_loss(predictions, targets, nothing)
    loss.backward()
    assert loss.item() == 0
    assert not predictions.grad.any()


def test_assignment_by_hand():
    # two anchors 4 px apart; the first joint lies on one of them, the second does not count
    anchors = torch.tensor([[0.0, 0.0, 0.0], [4.0, 0.0, 0.0]])
    targets = torch.tensor([[[0.0, 0.0, 0.0], [4.0, 0.0, 0.0]]])
    anchor_weights = torch.tensor([[[[0.75, 0.5], [0.25, 0.5]]]])
    far = math.exp(-(4.0**2) / (2 * 2.0**2))
    expected = -(math.log(0.75) + far * math.log(0.25)) / (1 + far)
    loss = assignment_loss(anchor_weights, anchors, targets, torch.tensor([[1.0, 0.0]]), sigma=2.0)
    assert loss.item() == pytest.approx(expected)
    assert assignment_loss(anchor_weights, anchors, targets, torch.zeros(1, 2), sigma=2.0).item() == 0
