"""VMamba's block against its equations."""

import pytest
import torch
from torch.nn import functional as F

from dfmamba.models.layers.ssm import SSM
from dfmamba.models.layers.vss import CrossScanSSM, VSSBlock

SIZE = (3, 4)


def perturbed(module):
    """Move every parameter off its start, so that no term of an equation is hidden by a zero."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return module.double()


def routes(height, width):
    """Return for each direction the positions (row by row numbers) in the order in which it reads them."""
    rows = [i * width + j for i in range(height) for j in range(width)]
    columns = [i * width + j for j in range(width) for i in range(height)]
    return rows, columns, rows[::-1], columns[::-1]


def four_scans(mixer, tokens):
    """Return y (L, channels) of one image by the recurrence of every direction and channel, number by number."""
    y = torch.zeros_like(tokens)
    for k, route in enumerate(routes(*SIZE)):
        for channel in range(tokens.shape[1]):
            h = torch.zeros(mixer.d_state, dtype=torch.double)
            for position in route:
                x = tokens[position]
                projected = mixer.x_proj_weight[k] @ x
                low, high = mixer.dt_rank, mixer.dt_rank + mixer.d_state
                bottleneck, B, C = projected[:low], projected[low:high], projected[high:]
                step = F.softplus(mixer.dt_proj_weight[k, channel] @ bottleneck + mixer.dt_bias[k, channel])
                h = torch.exp(-step * mixer.A_log[k, channel].exp()) * h + step * B * x[channel]
                y[position, channel] += C @ h + mixer.D[k, channel] * x[channel]
    return y


@pytest.mark.parametrize("d_state", [1, 3])
@torch.no_grad()
def test_four_scans_are_their_recurrences(d_state):
    mixer = perturbed(CrossScanSSM(5, d_state, dt_rank=2))
    x = torch.randn(2, 12, 5, dtype=torch.double)
    expected = torch.stack([four_scans(mixer, tokens) for tokens in x])
    torch.testing.assert_close(mixer(x, SIZE), expected)


@pytest.mark.parametrize("expand", [1.0, 2.0])
@torch.no_grad()
def test_block_is_its_equation(expand):
    block = perturbed(VSSBlock(4, expand, mlp_ratio=3.0, dt_rank=2))
    x = torch.randn(1, 12, 4, dtype=torch.double)
    inner = int(4 * expand)
    z = F.layer_norm(x, (4,), block.norm.weight, block.norm.bias) @ block.in_proj.weight.T
    z_map = z.transpose(1, 2).reshape(1, inner, *SIZE)
    z_map = F.conv2d(z_map, block.conv2d.weight, block.conv2d.bias, padding=1, groups=inner)
    z = z_map.reshape(1, inner, 12).transpose(1, 2)
    y = four_scans(block.mixer, (z / (1 + torch.exp(-z)))[0])[None]
    y = x + F.layer_norm(y, (inner,), block.scan_norm.weight, block.scan_norm.bias) @ block.out_proj.weight.T
    norm, mlp = block.norm2, block.mlp
    hidden = F.gelu(F.linear(F.layer_norm(y, (4,), norm.weight, norm.bias), mlp.fc1.weight, mlp.fc1.bias))
    y = y + F.linear(hidden, mlp.fc2.weight, mlp.fc2.bias)
    torch.testing.assert_close(block(x, SIZE), y)


def test_one_direction_starts_as_mamba_does():
    mixer, plain = CrossScanSSM(32, 2), SSM(32, 2)
    assert mixer.dt_rank == plain.dt_rank == 2
    assert mixer.A_log.shape == (4, 32, 2)
    for k in range(4):
        assert torch.equal(mixer.A_log[k], plain.A_log)
        step = F.softplus(mixer.dt_bias[k])
        assert 1e-3 <= step.min() < step.max() <= 0.1 + 1e-6
    assert not torch.equal(mixer.x_proj_weight[0], mixer.x_proj_weight[1])


def test_scans_are_counted():
    assert CrossScanSSM(8, d_state=3).multiply_adds(10) == 4 * SSM(8, d_state=3).multiply_adds(10)
