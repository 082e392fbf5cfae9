"""Folding for inference: the same function of the image with fewer and faster steps."""

import copy
from collections.abc import Iterable
from itertools import pairwise
from typing import Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .layers import operators
from .layers.dssm import DSSM
from .layers.fused_linear import FusedLinear, joined
from .layers.gated_block import GatedBlock

# Classes of torchvision, timm and mmpose in which the output of conv1 goes to bn1, and so on.
_RESNET_PARTS = {"ResNet", "BasicBlock", "Bottleneck"}

Model = TypeVar("Model", bound=nn.Module)


@runtime_checkable
class Foldable(Protocol):
    """A module that knows itself how to do with fewer steps."""

    def fold(self) -> None:
        """Change this module, which is a copy for inference, into what computes the same in fewer steps."""


@torch.no_grad()
def fold_for_inference(model: Model, packed: bool = True) -> Model:
    """Return a copy of a model that computes the same with fewer and faster steps, for inference only.

    Folded are: batch normalisation into the convolution before it, in `Sequential`s, and in the ResNets of torchvision,
    timm and mmpose, so that a comparison with them is fair; the three projections that DSSM computes from its input
    into one; A = -exp(A_log) into a constant; A2J's transformer (see `FoldedA2JTransformer`); and whatever a module of
    your own does in its method `fold`. Results differ from the model's by rounding.

    Where torch was built with oneDNN, the linear layers of these parts run there on the CPU in float32 with packed
    weights, together with a GELU or ReLU behind them: torch itself calls MKL, which is slower on AMD processors. With
    packed weights the copy can be neither saved, copied, moved to another device or type, nor compiled.

    Args:
        model: A backbone, or any model around it.
        packed: Pack weights where that can be. Say False for `torch.compile`, which packs them itself, or autocast.

    Returns:
        The copy, in evaluation mode and without gradients. Keep the model for all else.
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
        elif isinstance(module, Foldable):
            module.fold()
    for module in model.modules():
        if packed and isinstance(module, FusedLinear) and module.can_pack:
            module.pack()
        if isinstance(module, nn.Conv2d):  # in the layout of the backbone's maps
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
    return model


class FoldedDSSM(nn.Module):
    """`DSSM` with one projection in the place of three, and a constant A; it takes the mixer over."""

    def __init__(self, mixer: DSSM) -> None:
        super().__init__()
        layers = (mixer.x_proj, mixer.offset_proj, mixer.weight_proj)
        self.widths = [mixer.dt_rank, mixer.d_state, mixer.d_state, *(layer.out_features for layer in layers[1:])]
        self.project = FusedLinear(joined(*layers))
        self.dt_proj = FusedLinear(mixer.dt_proj)
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
    block.in_proj, block.out_proj = FusedLinear(block.in_proj), FusedLinear(block.out_proj)
    if block.mlp is not None:
        block.mlp.fc1, block.mlp.act = FusedLinear(block.mlp.fc1, "gelu"), nn.Identity()
        block.mlp.fc2 = FusedLinear(block.mlp.fc2)
