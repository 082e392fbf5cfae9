"""Linear layers for inference: together with the activation behind them, and on the CPU run by oneDNN."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_TYPICAL_TOKENS = 256  # oneDNN chooses the layout of packed weights for about this number of rows
_ACTIVATIONS = {"none": nn.Identity, "relu": nn.ReLU, "gelu": nn.GELU}


class FusedLinear(nn.Module):
    """A linear layer and the activation behind it; (..., in) to (..., out).

    Args:
        linear: The layer, an `nn.Linear`.
        activation: 'none', 'relu' or 'gelu'.
    """

    def __init__(self, linear: nn.Module, activation: str = "none") -> None:
        super().__init__()
        assert isinstance(linear, nn.Linear)
        self.weight: Tensor = linear.weight
        self.bias = linear.bias
        self.activation = activation
        self.activate = _ACTIVATIONS[activation]()
        self.is_packed = False

    @property
    def can_pack(self) -> bool:
        """Whether oneDNN can run it."""
        return (
            self.weight.device.type == "cpu"
            and self.weight.dtype == torch.float32
            and torch.backends.mkldnn.is_available()
            and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        )

    def pack(self) -> None:
        """Keep the weights in oneDNN's layout from now on, which only oneDNN can read."""
        packed = torch.ops.mkldnn._reorder_linear_weight(self.weight.detach(), _TYPICAL_TOKENS)
        del self.weight
        self.weight, self.is_packed = packed, True

    def forward(self, x: Tensor) -> Tensor:
        """Return the projected tokens."""
        if self.is_packed:  # the operator that torch's own compiler emits for linear layers on the CPU
            return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, self.activation, [], "none")
        return self.activate(F.linear(x, self.weight, self.bias))


def fused_mlp(layers: nn.Module) -> nn.Module:
    """Return a `Sequential` of linear layers with ReLU between them as fused layers; any other module as it is."""
    if not isinstance(layers, nn.Sequential):
        return layers
    linears = [layer for layer in layers if isinstance(layer, nn.Linear)]
    return nn.Sequential(*(FusedLinear(layer, "relu") for layer in linears[:-1]), FusedLinear(linears[-1]))


def joined(*layers: nn.Linear) -> nn.Linear:
    """Return one linear layer for several of the same input: its output is theirs, one behind the other."""
    weight = torch.cat([layer.weight for layer in layers])
    bias = torch.cat([weight.new_zeros(len(layer.weight)) if layer.bias is None else layer.bias for layer in layers])
    return linear_of(weight, bias)


def linear_of(weight: Tensor, bias: Tensor) -> nn.Linear:
    """Return a layer with this weight (out, in) and bias (out,), without gradients."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    layer.weight, layer.bias = (nn.Parameter(tensor, requires_grad=False) for tensor in (weight, bias))
    return layer
