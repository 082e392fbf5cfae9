"""The four reading directions on a map small enough to write down."""

import pytest
import torch

from dfmamba.models.layers.cross_scan import cross_merge, cross_scan

ORDERS = {  # positions of a 2 x 3 map, numbered row by row, in the order in which each direction reads them
    "rows": [0, 1, 2, 3, 4, 5],
    "columns": [0, 3, 1, 4, 2, 5],
    "rows backwards": [5, 4, 3, 2, 1, 0],
    "columns backwards": [5, 2, 4, 1, 3, 0],
}


@pytest.mark.parametrize("direction", range(4))
def test_order_of_a_direction(direction):
    x = torch.arange(6.0).view(1, 6, 1, 1).expand(2, 6, 4, 5)
    order = list(ORDERS.values())[direction]
    for channel in range(5):
        assert cross_scan(x, (2, 3))[1, :, direction, channel].tolist() == order


@pytest.mark.parametrize("direction", range(4))
def test_merge_puts_a_direction_back(direction):
    y = torch.zeros(1, 6, 4, 2)
    y[0, :, direction] = torch.tensor(list(ORDERS.values())[direction]).view(6, 1)
    assert cross_merge(y, (2, 3))[0, :, 1].tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (4, 1), (3, 7)])
def test_merge_of_scan_is_the_sum_over_directions(size):
    torch.manual_seed(0)
    x = torch.randn(2, size[0] * size[1], 4, 3, dtype=torch.double)
    torch.testing.assert_close(cross_merge(cross_scan(x, size), size), x.sum(2))
