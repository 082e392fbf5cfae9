"""The blocks against their equations."""

import pytest
import torch
from torch.nn import functional as F

from dfmamba.models import DFMamba
from dfmamba.models.backbones.spatial_mamba import SpatialMambaBlock
from dfmamba.models.layers.conv_block import ConvBlock
from dfmamba.models.layers.drop_path import DropPath
from dfmamba.models.layers.dssm import DSSM
from dfmamba.models.layers.gated_block import GatedBlock
from dfmamba.models.layers.ssm import SSM
from dfmamba.models.layers.token_conv import TokenConv
from dfmamba.models.layers.vss import VSSBlock
from dfmamba.ops import deform_sample, selective_scan


def tokens(channels=64, size=(4, 6), batch=2):
    torch.manual_seed(0)
    return torch.randn(batch, size[0] * size[1], channels)


def perturb(module):
    """Move every parameter off its start, so that no term of an equation is hidden by a zero."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return module


@pytest.mark.parametrize("mlp_ratio", [0, 2.0])
@pytest.mark.parametrize("num_anchors", [1, 9, 25])
def test_a_fresh_dssm_block_is_the_mamba_block(num_anchors, mlp_ratio):
    mamba = GatedBlock(64, "mamba", mlp_ratio=mlp_ratio)
    block = GatedBlock(64, "dssm", mlp_ratio=mlp_ratio, num_anchors=num_anchors, group_channels=16)
    left_out = block.load_state_dict(mamba.state_dict(), strict=False)
    assert {key.split(".")[-2] for key in left_out.missing_keys} == {"offset_proj", "weight_proj"}
    assert not left_out.unexpected_keys
    x = tokens()
    assert torch.equal(block(x, (4, 6)), mamba(x, (4, 6)))


@pytest.mark.parametrize("kind", ["gated", "mamba", "dssm"])
@pytest.mark.parametrize("mlp_ratio", [0, 3.0])
def test_token_block_is_its_equation(kind, mlp_ratio):
    block, x = perturb(GatedBlock(64, kind, expand=0.5, mlp_ratio=mlp_ratio, **mixer_options(kind))), tokens()
    w1, w2 = block.in_proj.weight.split(32)
    normed = F.layer_norm(x, (64,), block.norm.weight, block.norm.bias)
    conv = block.conv1d
    z1 = F.conv1d((normed @ w1.T).transpose(1, 2), conv.weight, conv.bias, padding=1, groups=32).transpose(1, 2)
    z1 = block.mixer(F.silu(z1), (4, 6))
    y = (z1 * F.silu(normed @ w2.T)) @ block.out_proj.weight.T + x
    if mlp_ratio:
        normed = F.layer_norm(y, (64,), block.norm2.weight, block.norm2.bias)
        fc1, fc2 = block.mlp.fc1, block.mlp.fc2
        y = y + F.linear(F.gelu(F.linear(normed, fc1.weight, fc1.bias)), fc2.weight, fc2.bias)
    torch.testing.assert_close(block(x, (4, 6)), y)


def mixer_options(kind):
    return {"group_channels": 16} if kind == "dssm" else {}


@pytest.mark.parametrize("norm_scan_input", [False, True])
@pytest.mark.parametrize("offset_bound", [None, 0.5])
def test_dssm_predicts_everything_from_the_undeformed_input(norm_scan_input, offset_bound):
    options = {"norm_scan_input": norm_scan_input, "offset_bound": offset_bound}
    mixer, x = perturb(DSSM(64, d_state=4, group_channels=32, **options)), tokens()
    offset = F.linear(x, mixer.offset_proj.weight, mixer.offset_proj.bias).view(2, 24, 2, 9, 2)
    weight = F.linear(x, mixer.weight_proj.weight, mixer.weight_proj.bias).view(2, 24, 2, 9)
    if offset_bound:
        offset = offset_bound * torch.tanh(offset / offset_bound)
        assert offset.abs().max() < offset_bound
    u = deform_sample(x, offset, weight, size=(4, 6))
    if norm_scan_input:
        u = F.layer_norm(x + u, (64,), mixer.scan_norm.weight, mixer.scan_norm.bias)
    projected = x @ mixer.x_proj.weight.T  # dt_rank 4 = 64 / 16, then B, then C
    delta = projected[..., :4] @ mixer.dt_proj.weight.T
    B, C = projected[..., 4:8], projected[..., 8:]
    y = selective_scan(u, delta, -mixer.A_log.exp(), B, C, None, mixer.dt_bias) + mixer.D * x
    torch.testing.assert_close(mixer(x, (4, 6)), y)


def test_ssm_starts_as_mamba_does():
    mixer = SSM(64, d_state=5)
    assert mixer.dt_rank == 4
    assert SSM(65).dt_rank == 5
    assert torch.allclose(-mixer.A_log.exp()[7], -torch.arange(1.0, 6))
    step = F.softplus(mixer.dt_bias)
    assert 1e-3 <= step.min() < step.max() <= 0.1 + 1e-6
    assert torch.equal(mixer.D, torch.ones(64))


def test_token_conv_looks_where_it_should():
    x = torch.zeros(1, 7, 1)
    x[0, 3] = 1
    same, even, causal = TokenConv(1, 3), TokenConv(1, 4), TokenConv(1, 4, causal=True)
    for conv in (same, even, causal):
        torch.nn.init.ones_(conv.weight)
        torch.nn.init.zeros_(conv.bias)
    assert same(x).flatten().tolist() == [0, 0, 1, 1, 1, 0, 0]
    assert even(x).flatten().tolist() == [0, 1, 1, 1, 1, 0, 0]  # as torch's 'same': one token before, two after
    assert causal(x).flatten().tolist() == [0, 0, 0, 1, 1, 1, 1]


def test_drop_path_drops_whole_samples_and_keeps_the_mean():
    torch.manual_seed(0)
    drop, x = DropPath(0.25), torch.ones(4000, 2, 3)
    y = drop.train()(x)
    assert y.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert torch.equal(y, y[:, :1, :1].expand_as(y))
    assert y.mean().item() == pytest.approx(1, abs=0.05)
    assert drop.eval()(x) is x


class Drop(torch.nn.Module):
    """In the place of `DropPath`: drops every sample."""

    def forward(self, x):
        return torch.zeros_like(x)


BLOCKS_WITH_BRANCHES = {
    "conv": lambda **options: ConvBlock(64, **options),
    "gated": lambda **options: GatedBlock(64, "gated", **options),
    "vss": lambda **options: VSSBlock(64, **options),
    "spatial": lambda **options: SpatialMambaBlock(64, **options),
}


@pytest.mark.parametrize("kind", BLOCKS_WITH_BRANCHES)
def test_every_residual_branch_is_dropped(kind):
    block = perturb(BLOCKS_WITH_BRANCHES[kind](drop_path=0.3))
    assert block.drop_path.rate == 0.3
    x, arguments = (torch.randn(2, 64, 4, 6), ()) if kind == "conv" else (tokens(), ((4, 6),))
    assert not torch.allclose(block(x, *arguments), x)
    block.drop_path = Drop()
    if kind == "spatial":  # its two position encodings stay, as in the authors' code
        for conv in (block.position_conv1, block.position_conv2):
            torch.nn.init.zeros_(conv.weight)
            torch.nn.init.zeros_(conv.bias)
    assert torch.equal(block(x, *arguments), x)


def test_conv_block_is_residual():
    block = ConvBlock(4).eval()
    torch.nn.init.zeros_(block.branch[-1].weight)  # the last normalisation gives 0
    x = torch.randn(1, 4, 5, 6)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group_channels": 48}, "group_channels: expected a divisor of the 64 channels, got 48"),
        ({"num_anchors": 4}, "num_anchors: expected an odd square .*got 4"),
        ({"num_anchors": 3}, "num_anchors: expected an odd square .*got 3"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        DSSM(64, **options)


@pytest.mark.parametrize("mixer", [SSM, DSSM])
def test_the_step_size_projection_starts_uniform_as_in_mamba(mixer):
    """Within +-1 / sqrt(rank), also where a backbone has given every linear layer its own start before."""
    torch.manual_seed(0)
    module = mixer(512, dt_rank=16).apply(DFMamba("nano")._init_weights)
    weight, bound = module.dt_proj.weight, 16**-0.5
    assert weight.abs().max() <= bound
    assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.03)
    assert module.x_proj.weight.std().item() == pytest.approx(0.02, rel=0.03)
