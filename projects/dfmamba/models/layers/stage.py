"""A stage of a backbone: a change of stride or width, then blocks."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .norm import unchanged_statistics


class Stage(nn.Module):
    """A downsampling, then blocks, from feature map to feature map (batch, channels, H, W).

    Args:
        downsample: From the map of the stage before to that of this one.
        blocks: Called with maps.

    Attributes:
        with_cp: Whether the blocks are computed again in the backward pass (gradient checkpointing).
    """

    def __init__(self, downsample: nn.Module, blocks: Iterable[nn.Module]) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.ModuleList(blocks)
        self.with_cp = False

    def forward(self, x: Tensor) -> Tensor:
        """Return the map of this stage."""
        x = self.downsample(x)
        for block in self.blocks:
            if not torch.jit.is_scripting() and self.with_cp and x.requires_grad and not torch.jit.is_tracing():
                x = recomputed(block, x)
            else:
                x = block(x)
        return x


class TokenStage(Stage):
    """A stage whose blocks are called with tokens (batch, H*W, channels), row by row, and the map's size (H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the map of this stage."""
        x = self.downsample(x)
        size = (x.shape[2], x.shape[3])
        x = x.flatten(2).transpose(1, 2)  # (batch, channels, H, W) -> (batch, H*W, channels)
        for block in self.blocks:
            if not torch.jit.is_scripting() and self.with_cp and x.requires_grad and not torch.jit.is_tracing():
                x = recomputed(block, x, size)
            else:
                x = block(x, size)
        return x.transpose(1, 2).unflatten(2, size)


def recomputed(block: nn.Module, *args: Any) -> Tensor:
    """Return block(*args), whose inner results are computed again in the backward pass to save memory.

    The recomputation leaves the running statistics of batch normalisation alone: an iteration updates them once.
    """
    if torch.compiler.is_compiling():  # it recomputes in its own way, and traces no contexts of ours
        return checkpoint(block, *args, use_reentrant=False)
    return checkpoint(block, *args, use_reentrant=False, context_fn=partial(_contexts, block))


def _contexts(block: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Return the contexts of the forward pass and of the recomputation."""
    return nullcontext(), unchanged_statistics(block)
