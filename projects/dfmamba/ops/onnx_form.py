"""The operators as `torch.onnx.export` shall write them: short graphs of ONNX's standard operators.

Points are sampled by GridSample. The scan is one node, `dfmamba::SelectiveScan`, that a function in the same file
defines by ONNX's Scan; `add_functions` puts it there. So every runtime for ONNX can run it, and nothing is unrolled.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from .reference import sampling_points

if TYPE_CHECKING:
    import onnx

DOMAIN, OPSET = "dfmamba", 20
# d is the step size behind softplus; h has (batch, channels, N), the slices of a and b in the loop, too.
SELECTIVE_SCAN = f"""
<opset_import: ["" : {OPSET}], domain: "{DOMAIN}">
SelectiveScan (u, d, A, B, C) => (y) {{
    last = Constant <value_ints: ints = [-1]> ()
    row = Constant <value_ints: ints = [2]> ()
    d4 = Unsqueeze (d, last)
    exponent = Mul (d4, A)
    decay = Exp (exponent)
    du = Mul (d, u)
    input = Unsqueeze (du, last)
    B4 = Unsqueeze (B, row)
    C4 = Unsqueeze (C, last)
    shape = Shape (exponent)
    of_state = Constant <value_ints: ints = [0, 2, 3]> ()
    state_shape = Gather (shape, of_state)
    start = ConstantOfShape (state_shape)
    state, y4 = Scan <
        num_scan_inputs: int = 4,
        scan_input_axes: ints = [1, 1, 1, 1],
        scan_output_axes: ints = [1],
        body: graph = step (float[b, c, n] h, float[b, c, n] a, float[b, c, k] x, float[b, k, n] to, float[b, n, k] of)
            => (float[b, c, n] next, float[b, c, k] out) {{
            kept = Mul (a, h)
            new = MatMul (x, to)
            next = Add (kept, new)
            out = MatMul (next, of)
        }}
    > (start, decay, input, B4, C4)
    y = Squeeze (y4, last)
}}
"""


def deform_sample(x: Tensor, offset: Tensor, weight: Tensor, size: Sequence[int]) -> Tensor:
    """Gather the scan input on a map of two axes, as `dfmamba.ops.deform_sample` does, with GridSample."""
    batch, length, channels = x.shape
    groups = offset.shape[2]
    height, width = size
    points = sampling_points(offset, size).flip(-1)  # x, y in px
    extent = torch.tensor([width, height], dtype=points.dtype, device=points.device)
    grid = ((2 * points + 1) / extent - 1).transpose(1, 2).reshape(batch * groups, length, -1, 2)
    maps = x.transpose(1, 2).reshape(batch * groups, channels // groups, height, width)
    sampled = F.grid_sample(maps, grid, padding_mode="zeros", align_corners=False)  # (batch * groups, c, L, K)
    shares = weight.transpose(1, 2).reshape(batch * groups, 1, length, -1)
    return (sampled * shares).sum(-1).reshape(batch, channels, length).transpose(1, 2)


def selective_scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, delta_bias: Tensor | None
) -> Tensor:
    """Run the selective scan as a node of its own; shapes as in `dfmamba.ops.selective_scan`."""
    d = F.softplus(delta if delta_bias is None else delta + delta_bias)
    y: Tensor = torch.onnx.ops.symbolic(
        f"{DOMAIN}::SelectiveScan", (u, d, A, B, C), dtype=u.dtype, shape=u.shape, version=1
    )
    return y if D is None else y + D * u


def dssm(
    x: Tensor,
    offset: Tensor,
    weight: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    size: Sequence[int],
) -> Tensor:
    """Scan the sampled input and add the skip of the undeformed one."""
    y = selective_scan(deform_sample(x, offset, weight, size), delta, A, B, C, None, delta_bias)
    return y if D is None else y + D * x


def add_functions(model: "onnx.ModelProto") -> None:
    """Define our operators in a model that uses them."""
    from onnx import helper, parser

    model.functions.append(parser.parse_function(SELECTIVE_SCAN))
    if all(opset.domain != DOMAIN for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
