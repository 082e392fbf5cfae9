"""Spatial-Mamba: one scan, whose states are mixed with those around them on the map before they are read out.

Source: Xiao et al. 2024, "Spatial-Mamba: Effective Visual State Space Models via Structure-aware State Fusion"
(arXiv 2410.15091). With tokens t at positions p of the map, read row by row, and one state a channel (N = 1):

    x_t = exp(d_t A) x_(t-1) + d_t B_t u_t                              the states, in one direction
    h_p = sum over r in {1, 3, 5} alpha_r sum over i, j in {-r, 0, r} k_r(i, j) x_(p + (i, j))     their fusion
    y_t = C_t h_t + D u_t

Positions outside the map have the state of the nearest one inside. (The authors' code does that while training and
takes zeros in evaluation; here both are the same function.) The operator returns the states where C is 1, see
`layers/state_scan.py`.

A block is X + Conv(X), + SSM(LayerNorm(X)), + Conv(X), + FFN(LayerNorm(X)), each with a residual connection; Conv is a
depthwise 3x3 convolution, and with sigma = SiLU

    SSM(X) = Linear(LayerNorm(y) * sigma(Linear(X)))        u = sigma(Conv(Linear(X)))

'tiny', 'small' and 'base' are the published sizes; 'nano' is ours, about as large as DF-Mamba's.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..base import register_backbone
from ..layers.drop_path import DropPath
from ..layers.mlp import Mlp
from ..layers.ssm import SSM
from ..layers.stage import Stage, TokenStage
from ..layers.state_scan import read_states, scan_states
from ..layers.token_conv import TokenMapConv
from .staged import StagedBackbone, StageSpec

SPATIAL_MAMBA_ARCHS: dict[str, dict[str, Any]] = {
    "nano": {"dims": (12, 24, 64, 144), "depths": (1, 1, 2, 1), "expand": 2.0},
    "tiny": {"dims": (64, 128, 256, 512), "depths": (2, 4, 8, 4), "expand": 2.0},
    "small": {"dims": (64, 128, 256, 512), "depths": (2, 4, 21, 5), "expand": 2.0},
    "base": {"dims": (96, 192, 384, 768), "depths": (2, 4, 21, 5), "expand": 2.0},
}


class StateFusion(nn.Module):
    """Structure-aware state fusion: a weighted sum of depthwise 3x3 convolutions dilated by 1, 3 and 5."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # Four axes, because torch's channels-last has no layout for five that fits (it would be that of 3D maps).
        self.kernels = nn.Parameter(torch.ones(3, channels, 3, 3))
        self.alpha = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the same shape, (batch, channels, H, W)."""
        kernels = self.alpha.view(-1, 1, 1, 1) * self.kernels
        near, middle, far = kernels.unbind(0)
        return _dilated(x, near, 1) + _dilated(x, middle, 3) + _dilated(x, far, 5)


def _pad_with_nearest(x: Tensor, width: int) -> Tensor:
    """Put rows and columns around a map that repeat its outermost ones."""
    if not torch.jit.is_scripting() and torch.compiler.is_compiling():
        # torch 2.11 takes the gradient of this padding for contiguous, but it has the layout of x, here channels-last;
        # a check in the code that inductor writes for the CPU then ends the program.
        height, breadth = x.shape[2:]
        rows = torch.arange(-width, height + width, device=x.device).clamp(0, height - 1)
        columns = torch.arange(-width, breadth + width, device=x.device).clamp(0, breadth - 1)
        return x[:, :, rows[:, None], columns]
    return F.pad(x, (width, width, width, width), mode="replicate")


def _dilated(x: Tensor, kernel: Tensor, dilation: int) -> Tensor:
    """Convolve each channel with its dilated kernel, (channels, 3, 3); outside the map stand the nearest states."""
    padded = _pad_with_nearest(x, dilation)
    return F.conv2d(padded, kernel.unsqueeze(1), dilation=dilation, groups=kernel.shape[0])


class StateFusionSSM(SSM):
    """Selective scan with the states fused on the map between scan and read-out.

    Args:
        channels: Channels of the tokens.
        d_state: N, states a channel; each of them is fused by kernels of its own.
        dt_rank: As for `SSM`.
        backend: As for `SSM`.
    """

    def __init__(self, channels: int, d_state: int = 1, dt_rank: int | None = None, backend: str | None = None) -> None:
        super().__init__(channels, d_state, dt_rank, backend)
        self.fusion = StateFusion(channels * d_state)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the tokens, (batch, L, channels); `size` is (H, W)."""
        delta, A, B, C = self.scan_arguments(x)
        states = scan_states(x, delta, A, B.unsqueeze(2), self.dt_bias, self.backend)  # (batch, L, channels, N)
        states_map = states.flatten(2).transpose(1, 2).unflatten(2, size)  # -> (batch, channels * N, H, W)
        fused = self.fusion(states_map).flatten(2).transpose(1, 2).reshape(states.shape)
        return read_states(fused, C.unsqueeze(2), self.d_state) + self.D * x


class SpatialMambaBlock(nn.Module):
    """Spatial-Mamba's block on tokens: the fused scan with a gate, then a feed-forward network.

    Args:
        channels: Channels of the tokens.
        expand: Inner width of the scan over `channels`.
        mlp_ratio: Hidden width of the feed-forward network over `channels`.
        d_state: N of the scan.
        dt_rank: Width of the bottleneck of the step size; None for ceil(channels / 16).
        backend: As for `SSM`.
        drop_path: Rate at which the residual branches are dropped while training.
    """

    def __init__(
        self,
        channels: int,
        expand: float = 2.0,
        mlp_ratio: float = 4.0,
        d_state: int = 1,
        dt_rank: int | None = None,
        backend: str | None = None,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        inner = int(channels * expand)
        self.position_conv1 = TokenMapConv(channels)
        self.norm = nn.LayerNorm(channels)
        self.in_proj = nn.Linear(channels, 2 * inner, bias=False)
        self.conv2d = TokenMapConv(inner)
        self.mixer = StateFusionSSM(inner, d_state, dt_rank or math.ceil(channels / 16), backend)
        self.scan_norm = nn.LayerNorm(inner)
        self.out_proj = nn.Linear(inner, channels, bias=False)
        self.position_conv2 = TokenMapConv(channels)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = Mlp(channels, mlp_ratio)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Return tokens of the same shape, (batch, L, channels); `size` is (H, W)."""
        x = x + self.position_conv1(x, size)
        u, gate = self.in_proj(self.norm(x)).chunk(2, -1)
        y = self.mixer(F.silu(self.conv2d(u, size)), size)
        x = x + self.drop_path(self.out_proj(self.scan_norm(y) * F.silu(gate)))
        x = x + self.position_conv2(x, size)
        return x + self.drop_path(self.mlp(self.norm2(x)))


class Stem(nn.Module):
    """Convolutions that make the map of stride 4, the middle pair with a residual connection."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.reduce = nn.Sequential(*_conv(in_channels, half, 3, 2), nn.ReLU())
        self.refine = nn.Sequential(*_conv(half, half, 3), nn.ReLU(), *_conv(half, half, 3))
        self.expand = nn.Sequential(*_conv(half, 4 * channels, 3, 2), nn.ReLU(), *_conv(4 * channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the map of stride 4, (batch, channels, H, W)."""
        x = self.reduce(x)
        return self.expand(x + self.refine(x))


@register_backbone
class SpatialMamba(StagedBackbone):
    """The Spatial-Mamba backbone, at strides 4, 8, 16 and 32. Arguments: see `StagedBackbone`."""

    archs = SPATIAL_MAMBA_ARCHS

    def make_stem(self, in_channels: int, channels: int) -> nn.Module:
        """Return a `Stem`."""
        return Stem(in_channels, channels)

    def make_stage(self, in_channels: int, stride: int, spec: StageSpec, drop_path: Sequence[float]) -> Stage:
        """Return a strided depthwise convolution between two 1x1 ones, then `SpatialMambaBlock`s."""
        downsample = nn.Identity() if stride == 1 else _downsample(in_channels, spec.channels)
        blocks = [SpatialMambaBlock(spec.channels, drop_path=rate, **spec.options) for rate in drop_path]
        return TokenStage(downsample, blocks)


def _downsample(in_channels: int, channels: int) -> nn.Sequential:
    """Return a strided 3x3 depthwise convolution between two 1x1 ones, 4 times as wide as its result."""
    wide = 4 * channels
    return nn.Sequential(
        nn.Conv2d(in_channels, wide, 1),
        nn.ReLU(),
        nn.Conv2d(wide, wide, 3, 2, padding=1, groups=wide),
        nn.ReLU(),
        nn.Conv2d(wide, channels, 1),
        nn.BatchNorm2d(channels),
    )


def _conv(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> list[nn.Module]:
    """Return a convolution with batch normalisation."""
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False)
    return [conv, nn.BatchNorm2d(out_channels)]
