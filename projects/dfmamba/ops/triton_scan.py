"""Triton kernels of the selective scan, both directions.

A program takes one image and a block of channels, keeps their states in registers and goes through time, token after
token. Channels lie along the lanes, so that sums over states need little exchange between them. The step sizes d come
from torch's own softplus. The backward kernel goes forward once, keeping the state before every CHUNK tokens, then back
chunk by chunk, computing a chunk's states once more. Sums over channels and images are partial sums that torch adds up:
the same call gives the same bits.

Imports Triton: triton_backend.py imports it when it is needed. Loops are `while` as in triton_sampling.py.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn import functional as F

CHUNK = 16  # tokens between two states that are kept: for L = 256 there are 16, and room for the 16 of a chunk
BLOCK_C = 32  # channels of a program, the lanes of a warp

_INTEGERS = ("length", "channels", "states")


@triton.jit
def _next_state(h, d, u, A, B, is_state):
    """Return exp(d A) h + d u B, (states, channels); rows beyond N stay 0 also where d u is infinite."""
    return tl.exp(d[None, :] * A) * h + tl.where(is_state, (d * u)[None, :] * B[:, None], 0.0)


@triton.jit(do_not_specialize=_INTEGERS)
def scan_kernel(
    d,  # (batch, length, channels), as u, skip and y
    u,
    A,  # (states, channels): along the lanes
    B,  # (batch, length, states), as C
    C,
    D,  # (channels,) or None
    skip,  # what D multiplies
    y,
    length,
    channels,
    states,
    WORK: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """Run the recurrence for BLOCK_C channels of one image."""
    first = tl.program_id(0).to(tl.int64) * length
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    n = tl.arange(0, BLOCK_N)
    in_block = c < channels
    is_state = (n < states)[:, None] & in_block[None, :]
    A_ = tl.load(A + n[:, None] * channels + c[None, :], is_state, 0.0)
    h = tl.zeros([BLOCK_N, BLOCK_C], WORK)
    t = 0
    while t < length:
        at = (first + t) * channels + c
        of_state = (first + t) * states + n
        d_t = tl.load(d + at, in_block, 0.0)
        u_t = tl.load(u + at, in_block, 0.0).to(WORK)
        B_t = tl.load(B + of_state, n < states, 0.0).to(WORK)
        C_t = tl.load(C + of_state, n < states, 0.0).to(WORK)
        h = _next_state(h, d_t, u_t, A_, B_t, is_state)
        y_t = tl.sum(h * C_t[:, None], 0)
        if D is not None:
            y_t += tl.load(D + c, in_block, 0.0) * tl.load(skip + at, in_block, 0.0).to(WORK)
        tl.store(y + at, y_t, in_block)
        t += 1


@triton.jit(do_not_specialize=_INTEGERS)
def scan_backward_kernel(
    grad_y,
    d,
    u,
    A,
    B,
    C,
    D,
    skip,
    kept,  # (batch, chunks, states, channels): the state before each chunk
    scratch,  # (batch, CHUNK, states, channels): the state before each token of a chunk
    grad_d,
    grad_u,
    grad_A,  # (batch, states, channels)
    grad_B,  # (blocks, batch, length, states), as grad_C
    grad_C,
    grad_D,  # (batch, channels)
    grad_skip,  # None where D multiplies u, or is absent
    length,
    channels,
    states,
    WORK: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """Differentiate the recurrence for BLOCK_C channels of one image."""
    image = tl.program_id(0).to(tl.int64)
    block = tl.program_id(1)
    first = image * length
    c = block * BLOCK_C + tl.arange(0, BLOCK_C)
    n = tl.arange(0, BLOCK_N)
    in_block = c < channels
    is_state = (n < states)[:, None] & in_block[None, :]
    in_state = n[:, None] * channels + c[None, :]
    size = states * channels
    chunks = tl.cdiv(length, CHUNK)
    of_sums = (block * tl.num_programs(0) + image) * length  # where this program's rows of grad_B and grad_C begin
    A_ = tl.load(A + in_state, is_state, 0.0)

    h = tl.zeros([BLOCK_N, BLOCK_C], WORK)
    t = 0
    while t < length:
        if t % CHUNK == 0:
            tl.store(kept + (image * chunks + t // CHUNK) * size + in_state, h, is_state)
        d_t = tl.load(d + (first + t) * channels + c, in_block, 0.0)
        u_t = tl.load(u + (first + t) * channels + c, in_block, 0.0).to(WORK)
        B_t = tl.load(B + (first + t) * states + n, n < states, 0.0).to(WORK)
        h = _next_state(h, d_t, u_t, A_, B_t, is_state)
        t += 1
    tl.debug_barrier()  # from here on threads may read what others wrote

    D_ = tl.zeros([BLOCK_C], WORK)
    if D is not None:
        D_ = tl.load(D + c, in_block, 0.0)
    carry = tl.zeros([BLOCK_N, BLOCK_C], WORK)  # exp(d A) times the gradient of h, of the token after
    sum_A = tl.zeros([BLOCK_N, BLOCK_C], WORK)
    sum_D = tl.zeros([BLOCK_C], WORK)
    chunk = chunks - 1
    while chunk >= 0:
        start = chunk * CHUNK
        stop = tl.minimum(length, start + CHUNK)
        h = tl.load(kept + (image * chunks + chunk) * size + in_state, is_state, 0.0)
        t = start
        while t < stop:
            tl.store(scratch + (image * CHUNK + t - start) * size + in_state, h, is_state)
            d_t = tl.load(d + (first + t) * channels + c, in_block, 0.0)
            u_t = tl.load(u + (first + t) * channels + c, in_block, 0.0).to(WORK)
            B_t = tl.load(B + (first + t) * states + n, n < states, 0.0).to(WORK)
            h = _next_state(h, d_t, u_t, A_, B_t, is_state)
            t += 1
        tl.debug_barrier()
        while t > start:
            t -= 1
            at = (first + t) * channels + c
            of_state = (first + t) * states + n
            d_t = tl.load(d + at, in_block, 0.0)
            u_t = tl.load(u + at, in_block, 0.0).to(WORK)
            e = tl.load(grad_y + at, in_block, 0.0).to(WORK)
            B_t = tl.load(B + of_state, n < states, 0.0).to(WORK)
            C_t = tl.load(C + of_state, n < states, 0.0).to(WORK)
            before = tl.load(scratch + (image * CHUNK + t - start) * size + in_state, is_state, 0.0)
            # The chain rule for y_t = C_t . h_t, h_t = q + d_t u_t B_t, q = exp(d_t A) h_(t-1).
            decay = tl.exp(d_t[None, :] * A_)
            q = decay * before
            h = q + (d_t * u_t)[None, :] * B_t[:, None]
            grad_h = tl.where(is_state, e[None, :] * C_t[:, None], 0.0) + carry
            carry = decay * grad_h
            sum_A += grad_h * d_t[None, :] * q
            along_B = tl.sum(grad_h * B_t[:, None], 0)
            grad_u_t = d_t * along_B
            if D is not None:
                sum_D += e * tl.load(skip + at, in_block, 0.0).to(WORK)
                if grad_skip is None:
                    grad_u_t += D_ * e
                else:
                    tl.store(grad_skip + at, D_ * e, in_block)
            tl.store(grad_u + at, grad_u_t, in_block)
            tl.store(grad_d + at, u_t * along_B + tl.sum(grad_h * A_ * q, 0), in_block)
            of_sum = (of_sums + t) * states + n
            tl.store(grad_B + of_sum, tl.sum(grad_h * (d_t * u_t)[None, :], 1), n < states)
            tl.store(grad_C + of_sum, tl.sum(e[None, :] * h, 1), n < states)
        tl.debug_barrier()  # before the scratch is written again
        chunk -= 1
    tl.store(grad_A + image * size + in_state, sum_A, is_state)
    if D is not None:
        tl.store(grad_D + image * channels + c, sum_D, in_block)


# --- The calls --------------------------------------------------------------------------------------------------------


def _work(u: Tensor) -> torch.dtype:
    return torch.promote_types(u.dtype, torch.float32)


def _before_softplus(u: Tensor, delta: Tensor, delta_bias: Tensor | None) -> Tensor:
    delta = delta.to(_work(u)).contiguous()
    return delta if delta_bias is None else delta + delta_bias


def _constants(u: Tensor, A: Tensor) -> dict[str, Any]:
    block_n = triton.next_power_of_2(A.shape[1])
    return {
        "WORK": tl.float64 if u.dtype == torch.float64 else tl.float32,
        "BLOCK_N": block_n,
        "BLOCK_C": BLOCK_C,
        "num_warps": max(1, min(8, block_n // 8)),  # 8 states of a channel in a thread
        "num_stages": 1,
    }


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    x: Tensor | None,
    delta_softplus: bool,
    dtype: torch.dtype,
) -> Tensor:
    """Run the scan, D multiplying x, or u where x is None; y in the given dtype. Shapes as in `dfmamba.ops.dssm`."""
    batch, length, channels = u.shape
    y = u.new_empty(u.shape, dtype=dtype)
    if y.numel() == 0:
        return y
    s = _before_softplus(u, delta, delta_bias)
    d = F.softplus(s) if delta_softplus else s
    tensors = [d, u, A.t(), B, C, D, u if x is None else x]
    scan_kernel[(batch, triton.cdiv(channels, BLOCK_C))](
        *(None if tensor is None else tensor.contiguous() for tensor in tensors),
        *(y, length, channels, A.shape[1]),
        **_constants(u, A),
    )
    return y


def selective_scan_backward(
    grad_y: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    x: Tensor | None,
    delta_softplus: bool,
) -> Any:
    """Return the gradients of u, delta, A, B, C, D, delta_bias and x; that of an absent one is empty."""
    batch, length, channels = u.shape
    states, blocks, work = A.shape[1], triton.cdiv(channels, BLOCK_C), _work(u)

    def new(*shape: int, dtype: torch.dtype = work) -> Tensor:
        return u.new_zeros(shape, dtype=dtype)

    grad_s, grad_u = new(*u.shape), new(*u.shape, dtype=u.dtype)
    grad_A = new(batch, states, channels)
    grad_B, grad_C = (new(blocks, batch, length, states) for _ in range(2))
    grad_D = new(batch, channels)
    grad_x = new(0, dtype=u.dtype) if x is None else new(*u.shape, dtype=x.dtype)
    if u.numel():
        s = _before_softplus(u, delta, delta_bias)
        d = F.softplus(s) if delta_softplus else s
        tensors = [grad_y, d, u, A.t(), B, C, D, u if x is None else x]
        kept = u.new_empty((batch, triton.cdiv(length, CHUNK), states, channels), dtype=work)
        scratch = u.new_empty((batch, CHUNK, states, channels), dtype=work)
        scan_backward_kernel[(batch, blocks)](
            *(None if tensor is None else tensor.contiguous() for tensor in tensors),
            *(kept, scratch, grad_s, grad_u, grad_A, grad_B, grad_C, grad_D),
            *(None if x is None or D is None else grad_x, length, channels, states),
            CHUNK=CHUNK,
            **_constants(u, A),
        )
        if delta_softplus:
            grad_s = torch.ops.aten.softplus_backward(grad_s, s, 1, 20)  # beta and threshold of F.softplus
    return (
        *(grad_u, grad_s.to(delta.dtype), grad_A.sum(0).t().contiguous()),
        *(grad_B.sum(0).to(B.dtype), grad_C.sum(0).to(C.dtype)),
        new(0) if D is None else grad_D.sum(0),
        new(0) if delta_bias is None else grad_s.sum((0, 1)),
        grad_x,
    )
