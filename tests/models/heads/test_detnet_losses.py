"""DetNet's losses against plain loops and numbers worked out by hand."""

import pytest
import torch

from dfmamba.models.heads.detnet_losses import heatmap_loss, vector_loss


@pytest.fixture
def batch():
    """Two samples, three joints, maps of 4 x 5: heatmaps, their targets, vectors, their targets, weights."""
    generator = torch.Generator().manual_seed(0)
    heatmaps, true_heatmaps = torch.rand(2, 2, 3, 4, 5, generator=generator, dtype=torch.float64)
    vectors = torch.randn(2, 3, 3, 4, 5, generator=generator, dtype=torch.float64)
    targets = torch.randn(2, 3, 3, generator=generator, dtype=torch.float64)
    return (
        heatmaps,
        true_heatmaps,
        vectors,
        targets,
        torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]], dtype=torch.float64),
    )


def test_heat_loss_is_half_the_squared_error_summed_over_joints(batch):
    heatmaps, true_heatmaps, *_, weights = batch
    expected = 0.0
    for sample in range(2):
        for joint in range(3):
            errors = [
                float(heatmaps[sample, joint, row, column] - true_heatmaps[sample, joint, row, column]) ** 2
                for row in range(4)
                for column in range(5)
            ]
            expected += 0.5 * float(weights[sample, joint]) * sum(errors) / len(errors) / 2  # mean over two samples
    assert heatmap_loss(heatmaps, true_heatmaps, weights).item() == pytest.approx(expected)


def test_vector_loss_weighs_every_cell_with_the_true_heat(batch):
    _, true_heatmaps, vectors, targets, weights = batch
    weighted, total = 0.0, 0.0
    for sample in range(2):
        for joint in range(3):
            for row in range(4):
                for column in range(5):
                    weight = float(weights[sample, joint] * true_heatmaps[sample, joint, row, column])
                    difference = vectors[sample, joint, :, row, column] - targets[sample, joint]
                    weighted += weight * float(difference @ difference)
                    total += weight
    assert vector_loss(vectors, targets, true_heatmaps, weights).item() == pytest.approx(weighted / total)


def test_cold_cells_and_joints_without_weight_get_no_gradient(batch):
    _, true_heatmaps, vectors, targets, weights = batch
    true_heatmaps[..., 2:, :] = 0
    vectors.requires_grad_()
    vector_loss(vectors, targets, true_heatmaps, weights).backward()
    moved = vectors.grad.abs().sum(2) > 0
    assert moved[..., :2, :][weights > 0].all()
    assert not moved[..., 2:, :].any()
    assert not moved[weights == 0].any()


def test_one_warm_cell_by_hand():
    vectors, true_heatmaps = torch.zeros(1, 1, 3, 2, 2), torch.tensor([[[[0.0, 0.5], [0.0, 0.0]]]])
    loss = vector_loss(vectors, torch.tensor([[[3.0, 4.0, 0.0]]]), true_heatmaps, torch.ones(1, 1))
    assert loss.item() == 25  # the squared distance: the heatmap's scale cancels


def test_nothing_that_counts_gives_zero(batch):
    heatmaps, true_heatmaps, vectors, targets, weights = batch
    assert heatmap_loss(heatmaps, true_heatmaps, 0 * weights).item() == 0
    assert vector_loss(vectors, targets, true_heatmaps, 0 * weights).item() == 0
    assert vector_loss(vectors, targets, 0 * true_heatmaps, weights).item() == 0
