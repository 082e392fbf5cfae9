"""Counting by torch and by formula, against a count by hand."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import tool_process
from dfmamba.models import backbones
from dfmamba.models.cost import RawEstimator, count_multiply_adds, count_parameters
from dfmamba.models.layers.ssm import SSM
from dfmamba.ops import dssm


class Toy(nn.Module):
    """A convolution with batch normalisation, then a scan and a layer normalisation of its tokens."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4))
        self.scan = SSM(4, d_state=2, dt_rank=1)
        self.norm = nn.LayerNorm(4)

    def forward(self, x):
        x = self.conv(x)
        return self.norm(self.scan(x.flatten(2).transpose(1, 2), (x.shape[2], x.shape[3])))


def test_a_count_by_hand():
    model = Toy().train()
    pixels = 5 * 6
    matrices = pixels * (4 * 3 * 9 + 4 * 5 + 4)  # convolution, to the bottleneck with B and C, step size
    assert count_multiply_adds(model, (3, 5, 6)) == matrices + pixels * 4 * (4 * 2 + 2)
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


OPTIONS = {"DFMamba": [{}, {"norm_scan_input": True}], "VMamba": [{}], "SpatialMamba": [{}]}


@pytest.mark.parametrize(("name", "options"), [(name, options) for name, cases in OPTIONS.items() for options in cases])
def test_counters_of_torch_and_mmengine_agree_with_ours(name, options):
    analysis = pytest.importorskip("mmengine.analysis")
    model = getattr(backbones, name)("nano", **options).eval()
    x = torch.zeros(2, 3, 64, 64)
    expected = 2 * count_multiply_adds(model, (3, 64, 64))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(x)
    assert counter.get_total_flops() == 2 * expected
    analyzer = analysis.FlopAnalyzer(model, (x,))
    counts = analyzer.by_operator()
    assert "prim::CallFunction" not in analyzer.unsupported_ops()
    assert not [operator for operator in analyzer.unsupported_ops() if operator.startswith("dfmamba")]
    ours = sum(count for operator, count in counts.items() if "norm" not in operator)  # they count normalisations, too
    assert ours == pytest.approx(expected, rel=5e-3)  # mmengine has a way of its own to count einsum
    per_token = [module for module in model.modules() if hasattr(module, "multiply_adds")]
    assert counts["dssm"] + counts["scan"] + counts["sample"] == 2 * operators_cost(model, per_token)


def operators_cost(model, mixers):
    """Return what the mixers cost for an image of 64x64, from the sizes of their maps."""
    strides = {
        id(module): info["reduction"]
        for info in model.stage_info
        for module in model.get_submodule(info["module"]).modules()
    }
    return sum(mixer.multiply_adds((64 // strides[id(mixer)]) ** 2) for mixer in mixers)


def test_backward_passes_are_counted():
    x, offset, weight = torch.zeros(1, 6, 4), torch.zeros(1, 6, 2, 9, 2), torch.zeros(1, 6, 2, 9)
    delta, A, B = torch.zeros(1, 6, 4), torch.zeros(4, 3), torch.zeros(1, 6, 3)
    scan, sampling = 6 * 4 * (4 * 3 + 2), 6 * 4 * 9 * 4
    with FlopCounterMode(display=False) as counter:
        dssm(x.requires_grad_(), offset, weight, delta, A, B, B, size=(2, 3)).sum().backward()
    # Forward; backward the sampling again, the scan with its states once more, and two gradients for each product.
    assert counter.get_total_flops() == 2 * (scan + sampling) + 2 * (sampling + 3 * scan + 2 * sampling)


def test_other_scripted_functions_are_not_counted_in_silence(monkeypatch):
    analysis = pytest.importorskip("mmengine.analysis")
    said = []
    monkeypatch.setattr("dfmamba.models.mmengine_counter.print_log", lambda text, *_: said.append(text))

    class Scripted(nn.Module):
        def forward(self, x):
            return twice(x)

    assert analysis.FlopAnalyzer(Scripted(), (torch.zeros(2),)).total() == 0
    assert "a call of twice, counts as 0" in said[0]


@torch.jit.script
def twice(x):
    return 2 * x


@pytest.mark.slow
@pytest.mark.parametrize("config", ["demo/dfmamba_dexycb_demo.py", "comparison/vmamba_nano.py"])
def test_get_flops_of_mmpose_takes_our_configs(config):
    mmpose = pytest.importorskip("mmpose")
    tool = Path(mmpose.__file__).parent / ".mim" / "tools" / "analysis_tools" / "get_flops.py"
    if not tool.exists():
        pytest.skip("mmpose is installed without its tools")
    path = Path(__file__).parents[2] / "configs" / config
    done = tool_process.run(tool, path, "--input-shape", 96, 96)
    assert done.returncode == 0, done.stderr
    found = float(re.search(r"Flops: ([\d.]+)M", done.stdout).group(1)) * 1e6
    from mmengine.registry import init_default_scope
    from mmpose.registry import MODELS

    from dfmamba.engine.config import load_config

    init_default_scope("mmpose")
    model = MODELS.build(load_config(path).model)
    ours = count_multiply_adds(RawEstimator(model), (3, 96, 96))
    assert ours <= found < 1.05 * ours  # normalisations are counted there, too
