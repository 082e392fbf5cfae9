"""What a model costs: parameters and multiply-adds."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from .blocks import SSM


def count_parameters(model: nn.Module) -> int:
    """Return the number of parameters, trained or not."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_multiply_adds(model: nn.Module, image_shape: tuple[int, int, int] = (3, 256, 256)) -> int:
    """Return the multiply-adds of one image (channels, height, width).

    Convolutions and matrix products are counted by torch as they run (two floating-point operations make one
    multiply-add); scan and sampling by the formulas of their `multiply_adds`. Normalisations, activations and other
    element-wise steps are not counted, as is usual.
    """
    scans = 0

    def count_mixer(mixer: SSM, args: tuple, _output: torch.Tensor) -> None:
        nonlocal scans
        scans += mixer.multiply_adds(args[0].shape[1])

    handles = [m.register_forward_hook(count_mixer) for m in model.modules() if isinstance(m, SSM)]
    was_training = model.training
    device = next(model.parameters()).device
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model.eval()(torch.zeros(1, *image_shape, device=device))
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    return counter.get_total_flops() // 2 + scans
