"""Folding for inference: the same function of the image with fewer and faster steps."""

import copy
from collections.abc import Iterable
from itertools import pairwise
from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .layers import operators
from .layers.dssm import DSSM
from .layers.gated_block import GatedBlock

# Classes of torchvision, timm and mmpose in which the output of conv1 goes to bn1, and so on.
_RESNET_PARTS = {"ResNet", "BasicBlock", "Bottleneck"}
_TYPICAL_TOKENS = 256  # oneDNN chooses the layout of packed weights for about this number of rows


def fold_for_inference(model: nn.Module) -> nn.Module:
    """Return a copy of a model that computes the same with fewer and faster steps, for inference only.

    Folded are: batch normalisation into the convolution before it, in `Sequential`s, and in the ResNets of torchvision,
    timm and mmpose, so that a comparison with them is fair; the three projections that DSSM computes from its
    input into one; A = -exp(A_log) into a constant. On the CPU in float32, where torch was built with oneDNN, the
    linear layers of the token blocks run there with packed weights, those in front of a GELU together with it: torch
    itself calls MKL, which is about half as fast on AMD processors. Results differ from the model's by rounding.

    The copy has no gradients, and with packed weights it can be neither saved, copied nor moved to another device or
    type: keep the model.

    Args:
        model: A backbone, or any model around it.
    """
    model = copy.deepcopy(model)
    model.eval()  # no chain of calls: mmpose's backbones return None
    model.requires_grad_(False)
    for module in list(model.modules()):
        if isinstance(module, nn.Sequential):
            _fold_batch_norms(module, pairwise(name for name, _ in module.named_children()))
        elif type(module).__name__ in _RESNET_PARTS:
            _fold_batch_norms(module, [(f"conv{number}", f"bn{number}") for number in (1, 2, 3)])
        elif isinstance(module, GatedBlock):
            _fold_block(module)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):  # in the layout of the backbone's maps
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
    return model


def can_pack(layer: nn.Module) -> TypeGuard[nn.Linear]:
    """Return whether this is a linear layer that oneDNN can run with packed weights."""
    return (
        isinstance(layer, nn.Linear)
        and layer.weight.device.type == "cpu"
        and layer.weight.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


class PackedLinear(nn.Module):
    """A linear layer of oneDNN with packed weights and, if asked for, a GELU behind it; (..., in) to (..., out)."""

    def __init__(self, linear: nn.Linear, gelu: bool = False) -> None:
        super().__init__()
        # These are the operators that torch's own compiler emits for linear layers on the CPU.
        self.weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), _TYPICAL_TOKENS)
        self.bias = linear.bias
        self.activation = "gelu" if gelu else "none"

    def forward(self, x: Tensor) -> Tensor:
        """Return the projected tokens."""
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, self.activation, [], "none")


class FoldedDSSM(nn.Module):
    """`DSSM` with one projection in the place of three, and a constant A; it takes the mixer over."""

    def __init__(self, mixer: DSSM) -> None:
        super().__init__()
        layers = (mixer.x_proj, mixer.offset_proj, mixer.weight_proj)
        self.widths = [mixer.dt_rank, mixer.d_state, mixer.d_state, *(layer.out_features for layer in layers[1:])]
        weight = torch.cat([layer.weight for layer in layers])
        bias = torch.cat(
            [weight.new_zeros(len(layer.weight)) if layer.bias is None else layer.bias for layer in layers]
        )
        self.project = _pack(_linear(weight, bias))
        self.dt_proj = _pack(mixer.dt_proj)
        self.A = nn.Parameter(-mixer.A_log.float().exp(), requires_grad=False)
        self.mixer = mixer
        del mixer.x_proj, mixer.offset_proj, mixer.weight_proj, mixer.dt_proj, mixer.A_log

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the scanned tokens, (batch, L, channels); `size` is (H, W)."""
        bottleneck, B, C, offset, weight = self.project(x).split(self.widths, -1)
        sampling = self.mixer.shape_sampling(offset, weight)
        delta = self.dt_proj(bottleneck)
        return operators.run_dssm(
            x, *sampling, delta, self.A, B, C, self.mixer.D, self.mixer.dt_bias, size, self.mixer.backend
        )


def _fold_batch_norms(module: nn.Module, pairs: Iterable[tuple[str, str]]) -> None:
    """Fold batch normalisations into the convolutions in front of them; pairs of names that are not such are left."""
    for conv_name, norm_name in pairs:
        conv, norm = getattr(module, conv_name, None), getattr(module, norm_name, None)
        if isinstance(conv, nn.Conv2d) and type(norm) is nn.BatchNorm2d:  # timm's subclass has an activation in it
            setattr(module, conv_name, fuse_conv_bn_eval(conv, norm).requires_grad_(False))
            setattr(module, norm_name, nn.Identity())


def _fold_block(block: GatedBlock) -> None:
    """Fold what a token block holds."""
    if isinstance(block.mixer, DSSM) and block.mixer.scan_norm is None:
        block.mixer = FoldedDSSM(block.mixer)
    block.in_proj, block.out_proj = _pack(block.in_proj), _pack(block.out_proj)
    if block.mlp is not None:
        if can_pack(block.mlp.fc1):
            block.mlp.fc1, block.mlp.act = PackedLinear(block.mlp.fc1, gelu=True), nn.Identity()
        block.mlp.fc2 = _pack(block.mlp.fc2)


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """Return a layer with this weight (out, in) and bias (out,)."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    layer.weight, layer.bias = (nn.Parameter(tensor, requires_grad=False) for tensor in (weight, bias))
    return layer


def _pack(layer: nn.Module) -> nn.Module:
    """Return a packed layer, or the layer itself where that cannot be."""
    return PackedLinear(layer) if can_pack(layer) else layer
