"""The losses of A2J against sums worked out by hand."""

import math

import pytest
import torch

from dfmamba.models.heads.a2j_losses import anchor_loss, assignment_loss, regression_loss


def errors_of(layers):
    """Return predictions (L, B, J, 3) with the given errors and zero targets."""
    predictions = torch.tensor(layers)
    return predictions, torch.zeros(predictions.shape[1:])


def of_coordinates(joint_weights):
    """Return the weights (B, J, 3) of joints (B, J) whose coordinates are all known."""
    return torch.tensor(joint_weights)[..., None].expand(-1, -1, 3)


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
    assert anchor_loss(predictions, targets, of_coordinates([[1.0]])).item() == pytest.approx(anchor)
    assert regression_loss(predictions, targets, of_coordinates([[1.0]])).item() == pytest.approx(regression)


def test_each_sample_is_divided_by_its_own_number_of_joints():
    # sample 1: joints with errors 1.5 and 2.5 in x, both count; sample 2: only the first counts, with 4.5
    predictions, targets = errors_of([[[(1.5, 0.0, 0.0), (2.5, 0.0, 0.0)], [(4.5, 0.0, 0.0), (99.0, 99.0, 99.0)]]])
    weights = of_coordinates([[1.0, 1.0], [1.0, 0.0]])
    expected = ((1 + 2) / (3 * 2) + 4 / (3 * 1)) / 2
    assert anchor_loss(predictions, targets, weights).item() == pytest.approx(expected)
    assert regression_loss(predictions, targets, weights).item() == pytest.approx(expected / 2)


def test_layers_are_averaged():
    predictions, targets = errors_of([[[(1.5, 0.0, 0.0)]], [[(3.5, 0.0, 0.0)]], [[(0.0, 0.0, 0.0)]]])
    assert anchor_loss(predictions, targets, of_coordinates([[1.0]])).item() == pytest.approx((1 + 3 + 0) / 3 / 3)


def test_no_joint_that_counts_gives_zero_and_no_nan():
    predictions, targets = errors_of([[[(1.0, 2.0, 3.0)]]])
    predictions.requires_grad_()
    nothing = of_coordinates([[0.0]])
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
    loss = assignment_loss(anchor_weights, anchors, targets, of_coordinates([[1.0, 0.0]]), sigma=2.0)
    assert loss.item() == pytest.approx(expected)
    assert assignment_loss(anchor_weights, anchors, targets, of_coordinates([[0.0, 0.0]]), sigma=2.0).item() == 0


def test_an_unknown_depth_counts_neither_as_an_error_nor_in_the_mean():
    # Huber(1) of 1 and 2 is 0.5 and 1.5, and the mean is over two coordinates; 0.5 of that is the regression's
    predictions, targets = errors_of([[[(1.0, 2.0, 6.0)]]])
    predictions.requires_grad_()
    weights = torch.tensor([[[1.0, 1.0, 0.0]]])
    assert anchor_loss(predictions, targets, weights).item() == pytest.approx((0.5 + 1.5) / 2)
    loss = regression_loss(predictions, targets, weights)
    assert loss.item() == pytest.approx(0.5 * (0.5 + 1.5) / 2)
    loss.backward()
    assert predictions.grad[0, 0, 0, 2] == 0
    assert predictions.grad[0, 0, 0, 1] > 0


def test_a_joint_of_unknown_depth_is_assigned_to_anchors_of_all_depths_alike():
    # both anchors are at the joint in the image, and only the second is at its (unknown) depth
    anchors = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 8.0]])
    targets = torch.tensor([[[0.0, 0.0, 8.0]]])
    anchor_weights = torch.tensor([[[[0.75], [0.25]]]])
    loss = assignment_loss(anchor_weights, anchors, targets, torch.tensor([[[1.0, 1.0, 0.0]]]), sigma=2.0)
    assert loss.item() == pytest.approx(-(math.log(0.75) + math.log(0.25)) / 2)
