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
from .mlp import Mlp
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
        mlp_ratio: Hidden width of the feed-forward network over `channels`; 0 leaves the network out.
        d_conv: Tokens that the depthwise convolution covers.
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
        mlp_ratio: float = 4.0,
        d_conv: int = 3,
        conv_causal: bool = False,
        drop_path: float = 0.0,
        **mixer: Any,
    ) -> None:
        super().__init__()
        inner = int(channels * expand)
        self.norm = nn.LayerNorm(channels)
        self.in_proj: nn.Module = nn.Linear(channels, 2 * inner, bias=False)
        self.conv1d = TokenConv(inner, d_conv, conv_causal)
        self.mixer = MIXERS[block](inner, **mixer)
        self.out_proj: nn.Module = nn.Linear(inner, channels, bias=False)
        self.drop_path = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(channels) if mlp_ratio else nn.Identity()
        self.mlp = Mlp(channels, mlp_ratio) if mlp_ratio else None

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Return tokens of the same shape, (batch, L, channels); `size` is (H, W)."""
        z1, z2 = self.in_proj(self.norm(x)).chunk(2, -1)
        z1 = self.mixer(F.silu(self.conv1d(z1)), size)
        x = x + self.drop_path(self.out_proj(z1 * F.silu(z2)))
        return x if self.mlp is None else x + self.drop_path(self.mlp(self.norm2(x)))
