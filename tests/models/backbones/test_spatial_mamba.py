"""Spatial-Mamba's block against its equations."""

import pytest
import torch
from torch.nn import functional as F

from dfmamba.models.backbones.spatial_mamba import SpatialMambaBlock, StateFusion, StateFusionSSM
from dfmamba.models.layers.ssm import SSM

SIZE = (3, 4)


def perturbed(module):
    """Move every parameter off its start, so that no term of an equation is hidden by a constant."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return module.double()


def fused(fusion, states):
    """Return h (height, width, channels): sum over dilations r of alpha_r k_r(i, j) x(p + r (i, j)), edge repeated."""
    height, width, _ = states.shape
    h = torch.zeros_like(states)
    for number, r in enumerate((1, 3, 5)):
        for row in range(height):
            for column in range(width):
                for i in (-1, 0, 1):
                    for j in (-1, 0, 1):
                        near = min(max(row + r * i, 0), height - 1), min(max(column + r * j, 0), width - 1)
                        kernel = fusion.kernels[number, :, i + 1, j + 1]
                        h[row, column] += fusion.alpha[number] * kernel * states[near]
    return h


def fused_scan(mixer, tokens):
    """Return y (L, channels) of one image: states by the recurrence, their fusion, then the read-out."""
    length, channels = tokens.shape
    d_state, A = mixer.d_state, -mixer.A_log.exp()
    states, read_out = torch.zeros(length, channels, d_state, dtype=torch.double), []
    h = torch.zeros(channels, d_state, dtype=torch.double)
    for t, x in enumerate(tokens):
        projected = mixer.x_proj.weight @ x
        bottleneck, B, C = projected.split([mixer.dt_rank, d_state, d_state])
        step = F.softplus(mixer.dt_proj.weight @ bottleneck + mixer.dt_bias)[:, None]
        h = torch.exp(step * A) * h + step * B * x[:, None]
        states[t] = h
        read_out.append(C)
    states = fused(mixer.fusion, states.reshape(*SIZE, -1)).reshape(states.shape)
    return torch.stack([states[t] @ read_out[t] + mixer.D * tokens[t] for t in range(length)])


@torch.no_grad()
def test_fusion_is_its_equation():
    fusion = perturbed(StateFusion(3))
    states = torch.randn(*SIZE, 3, dtype=torch.double)
    result = fusion(states.permute(2, 0, 1)[None])[0].permute(1, 2, 0)
    torch.testing.assert_close(result, fused(fusion, states))


@pytest.mark.parametrize("d_state", [1, 2])
@torch.no_grad()
def test_fused_scan_is_its_equation(d_state):
    mixer = perturbed(StateFusionSSM(5, d_state, dt_rank=2))
    x = torch.randn(2, 12, 5, dtype=torch.double)
    torch.testing.assert_close(mixer(x, SIZE), torch.stack([fused_scan(mixer, tokens) for tokens in x]))


@torch.no_grad()
def test_without_fusion_it_is_the_plain_scan():
    mixer = perturbed(StateFusionSSM(6, d_state=2))
    mixer.fusion.kernels.zero_()
    mixer.fusion.kernels[0, :, 1, 1] = 1
    mixer.fusion.alpha.fill_(1)
    plain = SSM(6, d_state=2).double()
    plain.load_state_dict({name: value for name, value in mixer.state_dict().items() if "fusion" not in name})
    x = torch.randn(2, 12, 6, dtype=torch.double)
    torch.testing.assert_close(mixer(x, SIZE), plain(x, SIZE))


def on_map(conv, tokens):
    """Return the depthwise convolution of tokens (1, L, channels) on their map."""
    channels = tokens.shape[2]
    feature = tokens.transpose(1, 2).reshape(1, channels, *SIZE)
    feature = F.conv2d(feature, conv.weight, conv.bias, padding=1, groups=channels)
    return feature.reshape(1, channels, -1).transpose(1, 2)


@torch.no_grad()
def test_block_is_its_equation():
    block = perturbed(SpatialMambaBlock(4, expand=1.5, mlp_ratio=3.0, dt_rank=2))
    x = torch.randn(1, 12, 4, dtype=torch.double)
    y = x + on_map(block.position_conv1, x)
    u, gate = (F.layer_norm(y, (4,), block.norm.weight, block.norm.bias) @ block.in_proj.weight.T).split(6, -1)
    scanned = fused_scan(block.mixer, F.silu(on_map(block.conv2d, u))[0])[None]
    scanned = F.layer_norm(scanned, (6,), block.scan_norm.weight, block.scan_norm.bias)
    y = y + (scanned * gate * torch.sigmoid(gate)) @ block.out_proj.weight.T
    y = y + on_map(block.position_conv2, y)
    norm, mlp = block.norm2, block.mlp
    hidden = F.gelu(F.linear(F.layer_norm(y, (4,), norm.weight, norm.bias), mlp.fc1.weight, mlp.fc1.bias))
    y = y + F.linear(hidden, mlp.fc2.weight, mlp.fc2.bias)
    torch.testing.assert_close(block(x, SIZE), y)
