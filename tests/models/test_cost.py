"""Counting by torch and by formula, against a count by hand."""

import pytest
import torch
from torch import nn

from dfmamba.models.blocks import SSM
from dfmamba.models.cost import count_as_published, count_multiply_adds, count_parameters


class Toy(nn.Module):
    """A convolution with batch normalisation, then a scan and a layer normalisation of its tokens."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4))
        self.scan = SSM(4, num_states=2, rank=1)
        self.norm = nn.LayerNorm(4)

    def forward(self, x):
        x = self.conv(x)
        return self.norm(self.scan(x.flatten(2).transpose(1, 2), (x.shape[2], x.shape[3])))


def test_both_counts_by_hand():
    model = Toy().train()
    pixels = 5 * 6
    matrices = pixels * (4 * 3 * 9 + 4 * 5 + 4)  # convolution, to the bottleneck with B and C, step size
    assert count_multiply_adds(model, (3, 5, 6)) == matrices + pixels * 4 * (4 * 2 + 2)
    assert count_as_published(model, (3, 5, 6)) == matrices + pixels * 4 * (9 * 2 + 1 + 5 + 5)
    assert model.training
    assert not model.scan._forward_hooks
    assert count_parameters(model) == (4 * 27 + 4 + 8) + (4 * 5 + 4 + 4 + 8 + 4) + 8
    assert torch.equal(model.conv[1].running_mean, torch.zeros(4))  # counting trains nothing


class Attention(nn.Module):
    """Self-attention of the pixels, of torch's own layer or of its function."""

    def __init__(self, layer):
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True, bias=False) if layer else None
        self.project = nn.Linear(3, 6, bias=False)

    def forward(self, x):
        x = self.project(x.flatten(2).transpose(1, 2))
        if self.attention is not None:
            return self.attention(x, x, x, need_weights=False)[0]
        heads = x.unflatten(2, (2, 3)).transpose(1, 2)
        return nn.functional.scaled_dot_product_attention(heads, heads, heads)


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("layer", [False, True])
def test_attention_is_counted_on_every_device(layer, device):
    pixels = 20
    products = pixels * 3 * 6 + 2 * pixels * pixels * 6 + (4 * pixels * 6 * 6 if layer else 0)
    assert count_multiply_adds(Attention(layer).to(device), (3, 4, 5)) == products
    assert torch.backends.mha.get_fastpath_enabled()
