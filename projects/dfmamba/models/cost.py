"""What a model costs: parameters and multiply-adds."""

import copy
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ..ops.cost import FLOP_FORMULAS
from ..ops.ext_loader import LOAD_ERROR

ImageShape = tuple[int, int, int]


class RawEstimator(nn.Module):
    """An estimator as a function of the images alone: backbone, neck and head, without decoding.

    Args:
        model: An estimator of mmpose's interface.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> object:
        """Return the raw outputs of the head for images (B, C, H, W)."""
        return self.model(images, None, mode="tensor")


def count_parameters(model: nn.Module) -> int:
    """Return the number of parameters, trained or not."""
    return sum(parameter.numel() for parameter in model.parameters())


def _nothing(*_: Any, **__: Any) -> int:
    """Return 0: the operators are counted by module, so that all their backends are."""
    return 0


def count_multiply_adds(model: nn.Module, image_shape: ImageShape = (3, 256, 256)) -> int:
    """Return the multiply-adds of one image (channels, height, width).

    Convolutions and matrix products are counted by torch as they run (two floating-point operations make one
    multiply-add); scan and sampling by the formulas of their `multiply_adds`. Normalisations, activations and other
    element-wise steps are not counted, as is usual.
    """
    counted = 0

    def add(module: Any, args: tuple[Any, ...], _output: Any) -> None:
        nonlocal counted
        if args and hasattr(module, "multiply_adds"):
            counted += module.multiply_adds(args[0].shape[1])

    model = copy.deepcopy(model).requires_grad_(False)  # torch's counter trips over parameters without a graph
    model.eval()  # in a line of its own: some of mmpose's backbones return None
    for module in model.modules():
        module.register_forward_hook(add)
    device = next(model.parameters()).device
    libraries = [torch.ops.dfmamba_triton] + ([torch.ops.dfmamba] if LOAD_ERROR is None else [])
    ours = {getattr(library, name): _nothing for library in libraries for name in FLOP_FORMULAS}
    # A trap: torch does not count its fused attention on the CPU, so attention runs as its matrix products.
    fastpath = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with (
            torch.no_grad(),
            sdpa_kernel(SDPBackend.MATH),
            FlopCounterMode(display=False, custom_mapping=ours) as counter,
        ):
            model(torch.zeros(1, *image_shape, device=device))
    finally:
        torch.backends.mha.set_fastpath_enabled(fastpath)
    return counter.get_total_flops() // 2 + counted
