"""The depthwise convolution of tokens against a loop over the map."""

import torch

from dfmamba.models.layers.token_conv import TokenMapConv


def test_is_a_loop_over_the_map():
    torch.manual_seed(0)
    height, width = 3, 4
    conv, x = TokenMapConv(2).double(), torch.randn(1, height * width, 2, dtype=torch.double)
    y = conv(x, (height, width))
    for channel in range(2):
        for row in range(height):
            for column in range(width):
                expected = conv.bias[channel].item()
                for i in range(max(row - 1, 0), min(row + 2, height)):
                    for j in range(max(column - 1, 0), min(column + 2, width)):
                        kernel = conv.weight[channel, 0, i - row + 1, j - column + 1]
                        expected += (kernel * x[0, i * width + j, channel]).item()
                torch.testing.assert_close(y[0, row * width + column, channel].item(), expected)
