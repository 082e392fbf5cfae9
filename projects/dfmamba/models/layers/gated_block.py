"""The gated token block of DF-Mamba: gated convolution, Mamba and DSSM.

Source: DF-Mamba (arXiv 2512.02727), section 2.2 and Fig. 3. With X' = LayerNorm(X) and sigma = SiLU,

    Y = Linear(Z1 * Z2) + X        Z1 = mixer(sigma(Conv(Linear(X'))))        Z2 = sigma(Linear(X'))

where Conv is a depthwise convolution along the token sequence and the mixer is the identity (gated convolution), the
selective scan (Mamba) or DSSM. An optional feed-forward network follows: Y + FFN(LayerNorm(Y)).

Token maps are (batch, L, channels), L = H*W row by row.
"""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from .drop_path import DropPath
from .dssm import DSSM
from .mlp import FeedForward
from .ssm import SSM
from .token_conv import TokenConv


class NoMixer(nn.Module):
    """The identity, in the place of a scan: it makes the gated block a gated convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the tokens as they are."""
        return x


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

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Return tokens of the same shape, (batch, L, channels); `size` is (H, W)."""
        z1, z2 = self.project_in(self.norm(x)).chunk(2, -1)
        z1 = self.mixer(F.silu(self.conv(z1)), size)
        x = x + self.drop_path(self.project_out(z1 * F.silu(z2)))
        return x if self.ffn is None else x + self.drop_path(self.ffn(x))
