"""The blocks of DF-Mamba: convolution, gated convolution, Mamba and DSSM.

Source: DF-Mamba (arXiv 2512.02727), section 2.2 and Fig. 3. With X' = LayerNorm(X) and sigma = SiLU, the last three are

    Y = Linear(Z1 * Z2) + X        Z1 = mixer(sigma(Conv(Linear(X'))))        Z2 = sigma(Linear(X'))

where Conv is a depthwise convolution along the token sequence and the mixer is the identity (gated convolution), the
selective scan (Mamba) or DSSM. An optional feed-forward network follows: Y + FFN(LayerNorm(Y)).

Token maps are (batch, L, channels), L = H*W row by row; feature maps are (batch, channels, H, W).
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..ops.backends import check_backend
from ..ops.cost import sample_multiply_adds, scan_multiply_adds
from .layers import operators
from .layers.weight_decay import mark_no_weight_decay

Size = tuple[int, int]


class DropPath(nn.Module):
    """Drop a residual branch for whole samples while training (stochastic depth), and scale up those that stay."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Return x with each sample zeroed with probability `rate`."""
        if not self.training or self.rate == 0:
            return x
        keep = 1 - self.rate
        return x * x.new_empty([x.shape[0]] + [1] * (x.dim() - 1)).bernoulli_(keep) / keep


class ConvBlock(nn.Module):
    """Residual pair of 3x3 convolutions with batch normalisation, on feature maps."""

    def __init__(self, channels: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.GELU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Return a feature map of the same shape."""
        return x + self.drop_path(self.branch(x))


class NoMixer(nn.Module):
    """The identity, in the place of a scan: it makes the gated block a gated convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor, size: Size) -> Tensor:
        """Return the tokens as they are."""
        return x


class SSM(nn.Module):
    """Selective state-space model (Mamba): a scan whose step size, B and C are computed from its input.

    Args:
        channels: Channels of the tokens.
        num_states: N, states a channel.
        rank: Width of the bottleneck through which the step size is computed; None for ceil(channels / 16).
        backend: What the operators run on, a name from `dfmamba.ops.available_backends`; None as they choose.

    Raises:
        ValueError: The backend is unknown or not available.
    """

    NO_WEIGHT_DECAY = ("A_log", "D", "delta_bias")
    STEP_SIZE_RANGE = (1e-3, 1e-1)  # softplus(delta_bias) starts log-uniform in here, as in Mamba (arXiv 2312.00752)

    def __init__(self, channels: int, num_states: int = 8, rank: int | None = None, backend: str | None = None) -> None:
        super().__init__()
        check_backend(backend)
        self.backend = backend
        self.num_states = num_states
        self.rank = rank or math.ceil(channels / 16)
        self.project_input = nn.Linear(channels, self.rank + 2 * num_states, bias=False)
        self.project_delta = nn.Linear(self.rank, channels, bias=False)
        self.delta_bias = nn.Parameter(torch.empty(channels))
        self.A_log = nn.Parameter(torch.empty(channels, num_states))
        self.D = nn.Parameter(torch.empty(channels))
        mark_no_weight_decay(self)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start as Mamba does: A = -1 ... -N, D = 1, small varied step sizes."""
        low, high = (math.log(bound) for bound in self.STEP_SIZE_RANGE)
        with torch.no_grad():
            step = torch.empty_like(self.delta_bias).uniform_(low, high).exp()
            self.delta_bias.copy_(step + torch.log(-torch.expm1(-step)))  # the inverse of softplus
            states = torch.arange(1, self.num_states + 1, dtype=self.A_log.dtype, device=self.A_log.device)
            self.A_log.copy_(states.log().expand_as(self.A_log))
            self.D.fill_(1)
            nn.init.uniform_(self.project_delta.weight, -(self.rank**-0.5), self.rank**-0.5)

    def scan_arguments(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return delta, A, B, C of the scan, computed from the tokens (batch, L, channels)."""
        bottleneck, B, C = self.project_input(x).split([self.rank, self.num_states, self.num_states], -1)
        return self.project_delta(bottleneck), -self.A_log.float().exp(), B, C

    def forward(self, x: Tensor, size: Size) -> Tensor:
        """Return the scanned tokens, (batch, L, channels)."""
        delta, A, B, C = self.scan_arguments(x)
        return operators.run_selective_scan(x, delta, A, B, C, self.D, self.delta_bias, self.backend)

    def multiply_adds(self, length: int) -> int:
        """Return the multiply-adds of the scan for `length` tokens."""
        return scan_multiply_adds((1, length, *self.D.shape), self.A_log.shape)


class DSSM(SSM):
    """Deformable state-space model: the scan reads its input at learned points around every position (Eq. 3).

    It starts as a plain SSM: offsets 0, and weight 1 at the centre anchor only.

    Args:
        channels: Channels of the tokens.
        num_states: N, states a channel.
        rank: As for `SSM`.
        num_anchors: K, an odd square: 1, 9 or 25.
        group_channels: Channels that share offsets and weights.
        offset_bound: If given, offsets are kept within +-bound pixels by bound * tanh(o / bound).
        norm_scan_input: Scan LayerNorm(x + u) instead of u, as an early experiment of the authors did.
        backend: As for `SSM`.

    Raises:
        ValueError: `group_channels` does not divide `channels`, `num_anchors` is not an odd square, or the backend is
            unknown or not available.
    """

    def __init__(
        self,
        channels: int,
        num_states: int = 8,
        rank: int | None = None,
        num_anchors: int = 9,
        group_channels: int = 64,
        offset_bound: float | None = None,
        norm_scan_input: bool = False,
        backend: str | None = None,
    ) -> None:
        if channels % group_channels:
            raise ValueError(f"group_channels: expected a divisor of the {channels} channels, got {group_channels}")
        if math.isqrt(num_anchors) ** 2 != num_anchors or num_anchors % 2 == 0:
            raise ValueError(f"num_anchors: expected an odd square (1, 9, 25), got {num_anchors}")
        self.num_anchors = num_anchors
        self.groups = channels // group_channels
        self.offset_bound = offset_bound
        super().__init__(channels, num_states, rank, backend)
        self.predict_offset = nn.Linear(channels, self.groups * num_anchors * 2)
        self.predict_weight = nn.Linear(channels, self.groups * num_anchors)
        self.scan_norm = nn.LayerNorm(channels) if norm_scan_input else None
        self.reset_sampling()

    def reset_sampling(self) -> None:
        """Start undeformed: offsets 0, weight 1 at the centre anchor and 0 elsewhere."""
        with torch.no_grad():
            for layer in (self.predict_offset, self.predict_weight):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)
            self.predict_weight.bias.view(self.groups, self.num_anchors)[:, self.num_anchors // 2] = 1

    def reset_parameters(self) -> None:
        """Reset the scan, and the sampling once it has been built."""
        super().reset_parameters()
        if hasattr(self, "predict_weight"):
            self.reset_sampling()

    def sampling_arguments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return offset (batch, L, groups, K, 2) in pixels and weight (batch, L, groups, K), computed from x."""
        return self.shape_sampling(self.predict_offset(x), self.predict_weight(x))

    def shape_sampling(self, offset: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Bound the offsets, and split the last axis of what has been predicted into groups and anchors."""
        if self.offset_bound is not None:
            offset = self.offset_bound * torch.tanh(offset / self.offset_bound)
        offset = offset.unflatten(-1, (self.groups, self.num_anchors, 2))
        return offset, weight.unflatten(-1, (self.groups, self.num_anchors))

    def forward(self, x: Tensor, size: Size) -> Tensor:
        """Return the scanned tokens, (batch, L, channels); `size` is (H, W)."""
        offset, weight = self.sampling_arguments(x)
        delta, A, B, C = self.scan_arguments(x)
        if self.scan_norm is None:
            return operators.run_dssm(x, offset, weight, delta, A, B, C, self.D, self.delta_bias, size, self.backend)
        u = self.scan_norm(x + operators.run_deform_sample(x, offset, weight, size, self.backend))
        return operators.run_selective_scan(u, delta, A, B, C, None, self.delta_bias, self.backend) + self.D * x

    def multiply_adds(self, length: int) -> int:
        """Return those of the sampling and of the scan."""
        x = (1, length, *self.D.shape)
        return sample_multiply_adds(x, (1, length, self.groups, self.num_anchors)) + super().multiply_adds(length)


class TokenConv(nn.Module):
    """Depthwise convolution along the token sequence, which keeps its length.

    Args:
        channels: Channels of the tokens.
        kernel_size: Tokens a kernel covers.
        causal: Whether a token sees earlier tokens only (Mamba's own) or as many on both sides ('same' padding).
    """

    def __init__(self, channels: int, kernel_size: int = 3, causal: bool = False) -> None:
        super().__init__()
        before = kernel_size - 1 if causal else (kernel_size - 1) // 2
        # A convolution pads both ends alike, so that some kernels give tokens too many; `first` is the first to keep.
        self.padding = max(before, kernel_size - 1 - before)
        self.first = self.padding - before
        self.conv = nn.Conv1d(channels, channels, kernel_size, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return tokens of the same shape, (batch, L, channels)."""
        length = x.shape[1]
        # Convolved as a map of one row in channels-last memory: tokens go in and come out without a transposition.
        row = x.transpose(1, 2).unsqueeze(2)  # (batch, channels, 1, L)
        row = F.conv2d(row, self.conv.weight.unsqueeze(2), self.conv.bias, padding=(0, self.padding), groups=x.shape[2])
        return row.squeeze(2).transpose(1, 2)[:, self.first : self.first + length]


class FeedForward(nn.Sequential):
    """Two linear layers with a GELU between, hidden width `ratio` times the channels."""

    def __init__(self, channels: int, ratio: float) -> None:
        hidden = int(channels * ratio)
        super().__init__(nn.Linear(channels, hidden), nn.GELU(), nn.Linear(hidden, channels))


MIXERS: dict[str, type[nn.Module]] = {"gated": NoMixer, "mamba": SSM, "dssm": DSSM}


class GatedBlock(nn.Module):
    """Gated token block around a mixer, with an optional feed-forward network.

    Args:
        channels: Channels of the tokens.
        block: The mixer: 'gated' (none), 'mamba' (SSM) or 'dssm'.
        expand: Inner width over `channels`.
        ffn_ratio: Hidden width of the feed-forward network over `channels`; 0 leaves the network out.
        conv_kernel: Tokens that the depthwise convolution covers.
        conv_causal: Whether that convolution looks backwards only.
        drop_path: Rate at which the residual branches are dropped while training.
        **mixer: Further arguments of `SSM` or `DSSM`.

    Raises:
        ValueError: An argument of the mixer does not fit.
    """

    def __init__(
        self,
        channels: int,
        block: str = "dssm",
        expand: float = 1.0,
        ffn_ratio: float = 4.0,
        conv_kernel: int = 3,
        conv_causal: bool = False,
        drop_path: float = 0.0,
        **mixer: Any,
    ) -> None:
        super().__init__()
        inner = int(channels * expand)
        self.norm = nn.LayerNorm(channels)
        self.project_in: nn.Module = nn.Linear(channels, 2 * inner, bias=False)
        self.conv = TokenConv(inner, conv_kernel, conv_causal)
        self.mixer = MIXERS[block](inner, **mixer)
        self.project_out: nn.Module = nn.Linear(inner, channels, bias=False)
        self.drop_path = DropPath(drop_path)
        self.ffn = nn.Sequential(nn.LayerNorm(channels), FeedForward(channels, ffn_ratio)) if ffn_ratio else None

    def forward(self, x: Tensor, size: Size) -> Tensor:
        """Return tokens of the same shape, (batch, L, channels); `size` is (H, W)."""
        z1, z2 = self.project_in(self.norm(x)).chunk(2, -1)
        z1 = self.mixer(F.silu(self.conv(z1)), size)
        x = x + self.drop_path(self.project_out(z1 * F.silu(z2)))
        return x if self.ffn is None else x + self.drop_path(self.ffn(x))


def init_weights(module: nn.Module) -> None:
    """Initialise one module; for `nn.Module.apply`, which comes to the parts first and to their SSM last."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d) and module.groups == 1:  # depthwise ones keep torch's start
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, SSM):
        module.reset_parameters()
