"""Three levels from one map."""

import pytest
import torch

from dfmamba.models.layers.simple_pyramid import SimplePyramid


def test_levels_by_hand():
    torch.manual_seed(0)
    pyramid, x = SimplePyramid(4, 16).double(), torch.randn(1, 4, 3, 5, dtype=torch.double)
    finer, same, coarser = pyramid(x)
    assert torch.equal(same, x)
    assert [tuple(level.shape[1:]) for level in (finer, same, coarser)] == [(2, 6, 10), (4, 3, 5), (4, 2, 3)]
    assert coarser[0, 2, 0, 1] == x[0, 2, 0:2, 2:4].max()
    assert coarser[0, 2, 1, 2] == x[0, 2, 2, 4]  # a lone corner
    kernel, bias = pyramid.finer.weight, pyramid.finer.bias  # (in, out, 2, 2)
    expected = kernel[:, 1, 0, 1] @ x[0, :, 2, 3] + bias[1]
    torch.testing.assert_close(finer[0, 1, 4, 7], expected)


def test_says_what_it_makes():
    assert [(info["num_chs"], info["reduction"]) for info in SimplePyramid(384, 16).feature_info] == [
        (192, 8),
        (384, 16),
        (384, 32),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((5, 16), "channels: expected an even number"), ((4, 7), "stride: expected an even number")],
)
def test_odd_numbers_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SimplePyramid(*arguments)
