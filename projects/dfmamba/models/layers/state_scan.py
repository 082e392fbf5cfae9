"""The selective scan as its states, for models that work on the states before they are read out."""

from torch import Tensor

from . import operators


def scan_states(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, delta_bias: Tensor, backend: str | None = None
) -> Tensor:
    """Return the states h_t = exp(d_t A) h_(t-1) + d_t B_t u_t with d_t = softplus(delta_t + delta_bias).

    `dfmamba.ops.selective_scan` returns y = C . h and has one B for all channels. A channel with one state, whose B is
    multiplied into u beforehand and whose C is 1, returns h itself. So every state goes into the operator as a channel
    of its own, all in one call. With N = 1, which VMamba and Spatial-Mamba have, that costs one product; with larger N
    it takes N times the memory of u.

    Args:
        u: (batch, L, *channels); the axes `channels` may be several, such as (directions, channels).
        delta: (batch, L, *channels).
        A: (*channels, N), negative.
        B: Broadcast to (batch, L, *channels, N).
        delta_bias: (*channels,).
        backend: As in `dfmamba.ops.selective_scan`.

    Returns:
        h, (batch, L, *channels, N), in the dtype of u, or in the autocast dtype.
    """
    inputs = u.unsqueeze(-1) * B
    delta = delta.unsqueeze(-1).expand(inputs.shape).flatten(2)
    bias = delta_bias.unsqueeze(-1).expand(A.shape).flatten()
    ones = inputs.new_ones((inputs.shape[0], inputs.shape[1], 1))
    h = operators.run_selective_scan(inputs.flatten(2), delta, A.reshape(-1, 1), ones, ones, None, bias, backend)
    return h.view(inputs.shape)


def read_states(h: Tensor, C: Tensor, d_state: int) -> Tensor:
    """Return y = C . h, the sum over the last axis; h is (batch, L, *channels, N), C broadcasts to it."""
    y = h * C
    return y.squeeze(-1) if d_state == 1 else y.sum(-1)
