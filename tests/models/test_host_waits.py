"""In a forward pass and in the loss the host never waits for a GPU: nothing is read back, no list becomes a tensor.

Either would also keep the pass out of a CUDA graph. Seen here on the CPU, by the operators that are called.
"""

import pytest
import torch
from mmengine.config import ConfigDict
from mmpose.registry import MODELS
from torch.utils._python_dispatch import TorchDispatchMode

import dfmamba.codecs
import dfmamba.models.backbones
import dfmamba.models.estimators
import dfmamba.models.heads  # noqa: F401, registers the head
from dfmamba.ops import use_backend

HEAD = {
    "type": "A2JHead",
    "num_joints": 3,
    "input_size": (64, 64),
    "embed_dims": 16,
    "num_heads": 2,
    "num_encoder_layers": 1,
    "num_decoder_layers": 2,
    "decoder": {"type": "A2JCodec", "input_size": (64, 64)},
}


class Waits(TorchDispatchMode):
    """Notes the operators behind `item`, `if tensor:` and behind `torch.tensor`, `new_tensor`."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        if operator in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.lift_fresh.default):
            self.found.append(str(operator))
        return operator(*args, **(kwargs or {}))


@pytest.mark.parametrize("wait", [lambda x: x.sum().item(), lambda x: x.new_tensor([1]), lambda _: torch.tensor([1.0])])
def test_a_wait_is_seen(wait):
    with Waits() as waits:
        wait(torch.ones(2))
    assert waits.found


@pytest.fixture
def model():
    torch.manual_seed(0)
    backbone = {"type": "DFMamba", "arch": "nano"}
    return MODELS.build(ConfigDict({"type": "HandPoseEstimator", "backbone": backbone, "head": HEAD}))


def test_forward_of_a_model_does_not_wait(model):
    with torch.no_grad(), Waits() as waits:
        model(torch.randn(2, 3, 64, 64), None, mode="tensor")
    assert waits.found == []


def test_attention_without_a_kernel_does_not_wait(model):
    maps = model.backbone(torch.randn(2, 3, 64, 64))
    with torch.no_grad(), use_backend("reference"), Waits() as waits:  # as on a GPU
        model.head(maps)
    assert waits.found == []


def test_loss_does_not_wait(model, make_samples):
    samples = make_samples(2)
    with Waits() as waits:
        losses = model(torch.randn(2, 3, 64, 64), samples, mode="loss")
    assert losses
    assert waits.found == []
