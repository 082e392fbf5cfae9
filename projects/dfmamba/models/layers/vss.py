"""VMamba's block (Liu et al. 2024, arXiv 2401.10166): a selective scan that reads the map in four directions.

Y = X + VSS(LayerNorm(X)), then Y + FFN(LayerNorm(Y)), with

    VSS(X) = Linear(LayerNorm(S(SiLU(Conv(Linear(X))))))

where Conv is a depthwise 3x3 convolution and S the sum of four selective scans, one in each direction. Tokens are
(batch, L, channels), L = H*W row by row.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...ops.cost import scan_multiply_adds
from .cross_scan import NUM_DIRECTIONS, cross_merge, cross_scan
from .drop_path import DropPath
from .mlp import Mlp
from .ssm import SSM
from .state_scan import read_states, scan_states
from .token_conv import TokenMapConv
from .weight_decay import mark_no_weight_decay


class CrossScanSSM(nn.Module):
    """Four selective scans, one in each direction of the map, added up (SS2D in the paper).

    Each direction k has its own projections to the step size, B and C, and its own A and D. As a projection acts on
    each token alone, all four are computed row by row; then the tokens are put into the order of their direction.

    Args:
        channels: Channels of the tokens.
        d_state: N, states a channel.
        dt_rank: Width of the bottleneck through which the step size is computed; None for ceil(channels / 16).
        backend: As for `SSM`.
    """

    NO_WEIGHT_DECAY = SSM.NO_WEIGHT_DECAY

    def __init__(self, channels: int, d_state: int = 1, dt_rank: int | None = None, backend: str | None = None) -> None:
        super().__init__()
        self.backend = backend
        self.num_directions = NUM_DIRECTIONS
        self.d_state = d_state
        self.dt_rank = dt_rank or math.ceil(channels / 16)
        scans = [SSM(channels, d_state, self.dt_rank, backend) for _ in range(NUM_DIRECTIONS)]  # for their start

        def stack(tensors: list[Tensor]) -> nn.Parameter:
            return nn.Parameter(torch.stack([tensor.detach() for tensor in tensors]))

        self.x_proj_weight = stack([scan.x_proj.weight for scan in scans])  # (4, dt_rank + 2 N, channels)
        self.dt_proj_weight = stack([scan.dt_proj.weight for scan in scans])  # (4, channels, dt_rank)
        self.dt_bias = stack([scan.dt_bias for scan in scans])  # (4, channels)
        self.A_log = stack([scan.A_log for scan in scans])  # (4, channels, N)
        self.D = stack([scan.D for scan in scans])  # (4, channels)
        mark_no_weight_decay(self)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the scanned tokens, (batch, L, channels); `size` is (H, W)."""
        projected = F.linear(x, self.x_proj_weight.flatten(0, 1)).unflatten(-1, (self.num_directions, -1))
        projected = cross_scan(projected, size)  # (batch, L, 4, dt_rank + 2 N)
        bottleneck, B, C = projected.split([self.dt_rank, self.d_state, self.d_state], -1)
        delta = torch.einsum("blkr,kcr->blkc", bottleneck, self.dt_proj_weight)
        u = cross_scan(x.unsqueeze(2).expand(-1, -1, self.num_directions, -1), size)  # (batch, L, 4, channels)
        h = scan_states(u, delta, -self.A_log.float().exp(), B.unsqueeze(3), self.dt_bias, self.backend)
        y = read_states(h, C.unsqueeze(3), self.d_state)
        # D_k x is the same token in every order, so the four skips are one.
        return cross_merge(y, size) + self.D.sum(0) * x

    def multiply_adds(self, length: int) -> int:
        """Return the multiply-adds of the four scans for `length` tokens; each is counted as in `SSM`."""
        return scan_multiply_adds((1, length, self.D.numel()), (self.D.numel(), self.d_state))


class VSSBlock(nn.Module):
    """VMamba's block on tokens: four scans, then a feed-forward network.

    Args:
        channels: Channels of the tokens.
        expand: Inner width of the scans over `channels`.
        mlp_ratio: Hidden width of the feed-forward network over `channels`; 0 leaves the network out.
        d_state: N of the scans.
        dt_rank: Width of the bottleneck of the step size; None for ceil(channels / 16).
        backend: As for `SSM`.
        drop_path: Rate at which the residual branches are dropped while training.
    """

    def __init__(
        self,
        channels: int,
        expand: float = 1.0,
        mlp_ratio: float = 4.0,
        d_state: int = 1,
        dt_rank: int | None = None,
        backend: str | None = None,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        inner = int(channels * expand)
        self.norm = nn.LayerNorm(channels)
        self.in_proj = nn.Linear(channels, inner, bias=False)
        self.conv2d = TokenMapConv(inner, bias=False)
        self.mixer = CrossScanSSM(inner, d_state, dt_rank or math.ceil(channels / 16), backend)
        self.scan_norm = nn.LayerNorm(inner)
        self.out_proj = nn.Linear(inner, channels, bias=False)
        self.drop_path = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(channels) if mlp_ratio else nn.Identity()
        self.mlp = Mlp(channels, mlp_ratio) if mlp_ratio else None

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Return tokens of the same shape, (batch, L, channels); `size` is (H, W)."""
        z = F.silu(self.conv2d(self.in_proj(self.norm(x)), size))
        x = x + self.drop_path(self.out_proj(self.scan_norm(self.mixer(z, size))))
        return x if self.mlp is None else x + self.drop_path(self.mlp(self.norm2(x)))
