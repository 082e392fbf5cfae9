"""The four directions in which VMamba (arXiv 2401.10166) reads a map, and the way back.

0: row by row, 1: column by column, 2 and 3: the same backwards. Tokens of a map are (batch, L, ...), L = H*W, row by
row.
"""

import torch
from torch import Tensor

NUM_DIRECTIONS = 4


def cross_scan(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Put the tokens into the order of their direction.

    Args:
        x: (batch, L, 4, channels), where x[:, :, k] are the tokens for direction k, row by row.
        size: (H, W).

    Returns:
        (batch, L, 4, channels), where [:, t, k] is the t-th token that direction k reads.
    """
    rows, columns, rows_back, columns_back = x.unbind(2)
    columns, columns_back = _transpose(columns, size), _transpose(columns_back, size)
    return torch.stack((rows, columns, rows_back.flip(1), columns_back.flip(1)), 2)


def cross_merge(y: Tensor, size: tuple[int, int]) -> Tensor:
    """Put the tokens of all directions back row by row and add them up.

    Args:
        y: (batch, L, 4, channels), where y[:, t, k] is the t-th token of direction k.
        size: (H, W).

    Returns:
        (batch, L, channels), row by row.
    """
    rows, columns, rows_back, columns_back = y.unbind(2)
    columns = columns + columns_back.flip(1)
    return rows + rows_back.flip(1) + _transpose(columns, (size[1], size[0]))


def _transpose(tokens: Tensor, size: tuple[int, int]) -> Tensor:
    """Return tokens (batch, H*W, channels) of a map of this size column by column."""
    return tokens.unflatten(1, size).transpose(1, 2).flatten(1, 2)
