"""A stage of a backbone: a change of stride or width, then blocks."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .norm import unchanged_statistics


class Stage(nn.Module):
    """A downsampling, then blocks, from feature map to feature map (batch, channels, H, W).

    Args:
        downsample: From the map of the stage before to that of this one.
        blocks: Called with tokens (batch, H*W, channels) and (H, W), or with maps.
        on_tokens: Whether the blocks take tokens.
        with_cp: Recompute the blocks in the backward pass (gradient checkpointing).
    """

    on_tokens: Final[bool]  # TorchScript then compiles one of the branches only: the blocks' arguments differ

    def __init__(
        self, downsample: nn.Module, blocks: Iterable[nn.Module], on_tokens: bool = True, with_cp: bool = False
    ) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.ModuleList(blocks)
        self.on_tokens = on_tokens
        self.with_cp = with_cp

    def forward(self, x: Tensor) -> Tensor:
        """Return the map of this stage."""
        x = self.downsample(x)
        size = (x.shape[2], x.shape[3])
        if self.on_tokens:
            x = x.flatten(2).transpose(1, 2)  # (batch, channels, H, W) -> (batch, H*W, channels)
        for block in self.blocks:
            if not torch.jit.is_scripting() and self.with_cp and x.requires_grad and not torch.jit.is_tracing():
                x = recomputed(block, x, size) if self.on_tokens else recomputed(block, x)
            elif self.on_tokens:
                x = block(x, size)
            else:
                x = block(x)
        return x.transpose(1, 2).unflatten(2, size) if self.on_tokens else x


def recomputed(block: nn.Module, *args: Any) -> Tensor:
    """Return block(*args), whose inner results are computed again in the backward pass to save memory.

    The recomputation leaves the running statistics of batch normalisation alone: an iteration updates them once.
    """
    if torch.compiler.is_compiling():  # it recomputes in its own way, and traces no contexts of ours
        return checkpoint(block, *args, use_reentrant=False)
    return checkpoint(block, *args, use_reentrant=False, context_fn=partial(_contexts, block))


def _contexts(block: nn.Module) -> tuple[AbstractContextManager, AbstractContextManager]:
    """Return the contexts of the forward pass and of the recomputation."""
    return nullcontext(), unchanged_statistics(block)
