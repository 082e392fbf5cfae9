"""DSSM, the deformable state-space model of DF-Mamba (arXiv 2512.02727, Eq. 3).

Token maps are (batch, L, channels), L = H*W row by row.
"""

import math

import torch
from torch import Tensor, nn

from ...ops.cost import sample_multiply_adds
from . import operators
from .ssm import SSM


class DSSM(SSM):
    """Deformable state-space model: the scan reads its input at learned points around every position (Eq. 3).

    It starts as a plain SSM: offsets 0, and weight 1 at the center anchor only, unless `center_weight` is less.

    Args:
        channels: Channels of the tokens.
        d_state: N, states a channel.
        dt_rank: As for `SSM`.
        num_anchors: K, an odd square: 1, 9 or 25.
        group_channels: Channels that share offsets and weights.
        offset_bound: If given, offsets are kept within +-bound pixels by bound * tanh(o / bound).
        center_weight: Weight of the center anchor at the start; the others share what is left to 1 equally. Less than
            1 lets the offsets learn at once: the gradient of an offset is in proportion to its anchor's weight.
        norm_scan_input: Scan LayerNorm(x + u) instead of u, as an early experiment of the authors did.
        backend: As for `SSM`.

    Raises:
        ValueError: `group_channels` does not divide `channels`, `num_anchors` is not an odd square, `center_weight` is
            not above 0 and at most 1, or the backend is unknown or not available.
    """

    def __init__(
        self,
        channels: int,
        d_state: int = 8,
        dt_rank: int | None = None,
        num_anchors: int = 9,
        group_channels: int = 64,
        offset_bound: float | None = None,
        center_weight: float = 1.0,
        norm_scan_input: bool = False,
        backend: str | None = None,
    ) -> None:
        if channels % group_channels:
            raise ValueError(f"group_channels: expected a divisor of the {channels} channels, got {group_channels}")
        if math.isqrt(num_anchors) ** 2 != num_anchors or num_anchors % 2 == 0:
            raise ValueError(f"num_anchors: expected an odd square (1, 9, 25), got {num_anchors}")
        if not 0 < center_weight <= 1:
            raise ValueError(f"center_weight: expected a number above 0 and at most 1, got {center_weight}")
        self.num_anchors = num_anchors
        self.center_weight = center_weight
        self.groups = channels // group_channels
        self.offset_bound = offset_bound
        super().__init__(channels, d_state, dt_rank, backend)
        self.offset_proj = nn.Linear(channels, self.groups * num_anchors * 2)
        self.weight_proj = nn.Linear(channels, self.groups * num_anchors)
        self.scan_norm = nn.LayerNorm(channels) if norm_scan_input else None
        self.reset_sampling()

    def reset_sampling(self) -> None:
        """Start undeformed: offsets 0, and the same weights everywhere."""
        with torch.no_grad():
            for layer in (self.offset_proj, self.weight_proj):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)
            self.weight_proj.bias.fill_((1 - self.center_weight) / max(self.num_anchors - 1, 1))
            self.weight_proj.bias.view(self.groups, self.num_anchors)[:, self.num_anchors // 2] = self.center_weight

    def reset_parameters(self) -> None:
        """Reset the scan, and the sampling once it has been built."""
        super().reset_parameters()
        if hasattr(self, "weight_proj"):
            self.reset_sampling()

    def sampling_arguments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return offset (batch, L, groups, K, 2) in pixels and weight (batch, L, groups, K), computed from x."""
        return self.shape_sampling(self.offset_proj(x), self.weight_proj(x))

    def shape_sampling(self, offset: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Bound the offsets, and split the last axis of what has been predicted into groups and anchors."""
        if self.offset_bound is not None:
            offset = self.offset_bound * torch.tanh(offset / self.offset_bound)
        offset = offset.unflatten(-1, (self.groups, self.num_anchors, 2))
        return offset, weight.unflatten(-1, (self.groups, self.num_anchors))

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the scanned tokens, (batch, L, channels); `size` is (H, W)."""
        offset, weight = self.sampling_arguments(x)
        delta, A, B, C = self.scan_arguments(x)
        if self.scan_norm is None:
            return operators.run_dssm(x, offset, weight, delta, A, B, C, self.D, self.dt_bias, size, self.backend)
        u = self.scan_norm(x + operators.run_deform_sample(x, offset, weight, size, self.backend))
        return operators.run_selective_scan(u, delta, A, B, C, None, self.dt_bias, self.backend) + self.D * x

    def multiply_adds(self, length: int) -> int:
        """Return those of the sampling and of the scan."""
        x = (1, length, *self.D.shape)
        return sample_multiply_adds(x, (1, length, self.groups, self.num_anchors)) + super().multiply_adds(length)
