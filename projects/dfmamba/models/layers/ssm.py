"""The selective state-space model of Mamba (arXiv 2312.00752). Tokens are (batch, L, channels)."""

import math

import torch
from torch import Tensor, nn

from ...ops.backends import check_backend
from ...ops.cost import scan_multiply_adds
from . import operators
from .weight_decay import mark_no_weight_decay


class SSM(nn.Module):
    """Selective state-space model (Mamba): a scan whose step size, B and C are computed from its input.

    Args:
        channels: Channels of the tokens.
        d_state: N, states a channel.
        dt_rank: Width of the bottleneck through which the step size is computed; None for ceil(channels / 16).
        backend: What the operators run on, a name from `dfmamba.ops.available_backends`; None as they choose.

    Raises:
        ValueError: The backend is unknown or not available.
    """

    NO_WEIGHT_DECAY = ("A_log", "D", "dt_bias")
    STEP_SIZE_RANGE = (1e-3, 1e-1)  # softplus(dt_bias) starts log-uniform in here, as in Mamba (arXiv 2312.00752)

    def __init__(self, channels: int, d_state: int = 8, dt_rank: int | None = None, backend: str | None = None) -> None:
        super().__init__()
        check_backend(backend)
        self.backend = backend
        self.d_state = d_state
        self.dt_rank = dt_rank or math.ceil(channels / 16)
        self.x_proj = nn.Linear(channels, self.dt_rank + 2 * d_state, bias=False)
        self.dt_proj = nn.Linear(self.dt_rank, channels, bias=False)
        self.dt_bias = nn.Parameter(torch.empty(channels))
        self.A_log = nn.Parameter(torch.empty(channels, d_state))
        self.D = nn.Parameter(torch.empty(channels))
        mark_no_weight_decay(self)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start as Mamba does: A = -1 ... -N, D = 1, small varied step sizes."""
        low, high = (math.log(bound) for bound in self.STEP_SIZE_RANGE)
        with torch.no_grad():
            step = torch.empty_like(self.dt_bias).uniform_(low, high).exp()
            self.dt_bias.copy_(step + torch.log(-torch.expm1(-step)))  # the inverse of softplus
            states = torch.arange(1, self.d_state + 1, dtype=self.A_log.dtype, device=self.A_log.device)
            self.A_log.copy_(states.log().expand_as(self.A_log))
            self.D.fill_(1)
            nn.init.uniform_(self.dt_proj.weight, -(self.dt_rank**-0.5), self.dt_rank**-0.5)

    def scan_arguments(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return delta, A, B, C of the scan, computed from the tokens (batch, L, channels)."""
        bottleneck, B, C = self.x_proj(x).split([self.dt_rank, self.d_state, self.d_state], -1)
        return self.dt_proj(bottleneck), -self.A_log.float().exp(), B, C

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the scanned tokens, (batch, L, channels)."""
        delta, A, B, C = self.scan_arguments(x)
        return operators.run_selective_scan(x, delta, A, B, C, self.D, self.dt_bias, self.backend)

    def multiply_adds(self, length: int) -> int:
        """Return the multiply-adds of the scan for `length` tokens."""
        return scan_multiply_adds((1, length, *self.D.shape), self.A_log.shape)
