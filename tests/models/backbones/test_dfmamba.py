"""The backbone: what every architecture must do, what the paper fixes, and what a user may get wrong."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from dfmamba.models import DFMamba
from dfmamba.models.backbones import ARCHS
from dfmamba.models.cost import count_multiply_adds, count_parameters
from dfmamba.models.layers.conv_block import ConvBlock
from dfmamba.models.layers.gated_block import GatedBlock
from dfmamba.models.layers.vss import VSSBlock

MIXED = {
    "stem_channels": 8,
    "stages": [
        {"block": "dssm", "channels": 16, "depth": 1, "stride": 4, "num_anchors": 25, "group_channels": 8},
        {
            "block": "mamba",
            "channels": 24,
            "depth": 2,
            "stride": 8,
            "d_state": 3,
            "d_conv": 4,
            "conv_causal": True,
        },
        {"block": "conv", "channels": 24, "depth": 1, "stride": 8},
        {"block": "gated", "channels": 32, "depth": 1, "stride": 16, "mlp_ratio": 0},
    ],
}


@pytest.mark.parametrize("arch", ARCHS)
def test_every_architecture_trains_every_parameter(arch):
    torch.manual_seed(0)
    model = DFMamba(arch)
    maps = model(torch.randn(2, 3, 64, 96))
    for info, feature in zip(model.feature_info, maps, strict=True):
        assert feature.shape == (2, info["num_chs"], 64 // info["reduction"], 96 // info["reduction"])
    sum((feature * torch.randn_like(feature)).sum() for feature in maps).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not without


def test_tiny_meets_what_the_paper_fixes():
    assert count_multiply_adds(DFMamba("tiny"), (3, 256, 256)) <= 4.9e9


def test_nano_is_small():
    assert count_parameters(DFMamba("nano")) < 1.5e6


@pytest.mark.parametrize("size", [(64, 64), (50, 70), (33, 97), (128, 32)])
def test_any_input_size(size):
    maps = DFMamba("nano").eval()(torch.randn(1, 3, *size))
    for info, feature in zip(DFMamba("nano").feature_info, maps, strict=True):
        assert feature.shape[2:] == tuple(-(-extent // info["reduction"]) for extent in size)


def test_any_sequence_of_stages_builds_and_runs():
    model = DFMamba(MIXED, in_channels=1, out_indices=(0, 2, 3))
    assert [info["num_chs"] for info in model.feature_info] == [16, 24, 32]
    assert [info["reduction"] for info in model.feature_info] == [4, 8, 16]
    assert [info["module"] for info in model.feature_info] == ["stages.0", "stages.2", "stages.3"]
    maps = model(torch.randn(2, 1, 32, 48))
    assert [tuple(feature.shape[1:]) for feature in maps] == [(16, 8, 12), (24, 4, 6), (32, 2, 3)]
    assert model.stages[0].blocks[0].mixer.num_anchors == 25
    assert model.stages[1].blocks[0].conv1d.first == 0  # causal
    assert model.stages[3].blocks[0].mlp is None


@pytest.mark.parametrize("blocks", [["conv"] * 6, ["dssm"] * 6, ["gated"] * 6, ["mamba"] * 6, ["vss"] * 6])
def test_ablations_by_block_type(blocks):
    model = DFMamba("nano", blocks=blocks, group_channels=16)
    expected = {"conv": ConvBlock, "vss": VSSBlock}.get(blocks[0], GatedBlock)
    assert all(isinstance(block, expected) for stage in model.stages for block in stage.blocks)
    assert all(torch.isfinite(feature).all() for feature in model(torch.randn(2, 3, 32, 32)))


def test_vss_blocks_in_the_place_of_dssm():
    blocks = ["conv", "conv", "vss", "gated", "vss", "gated"]
    model = DFMamba("nano", blocks=blocks, d_state=1, expand=2.0, mlp_ratio=0, dt_rank=3)
    block = model.stages[2].blocks[0]
    assert (block.mixer.d_state, block.mixer.dt_rank, block.out_proj.in_features) == (1, 3, 128)
    assert block.mlp is None
    bound = model.stages[2].blocks[0].conv2d.weight.abs().max()
    assert 0.2 < bound <= 1 / 3  # a depthwise 3x3 convolution starts as torch's do


def test_indices_count_from_the_end_too():
    assert DFMamba("nano", out_indices=(1, -1)).out_indices == (1, 5)


def test_stages_behind_the_last_output_are_not_built():
    model = DFMamba("nano", out_indices=(1, 3))
    assert len(model.stages) == 4
    assert len(model(torch.randn(1, 3, 64, 64))) == 2


def test_default_outputs_are_the_last_stages_of_strides_8_16_32():
    assert DFMamba("nano").out_indices == (1, 3, 5)


def test_drop_path_grows_linearly():
    model = DFMamba("nano", drop_path_rate=0.3)
    rates = [block.drop_path.rate for stage in model.stages for block in stage.blocks]
    assert rates == pytest.approx([0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3])


@pytest.mark.parametrize("frozen", [0, 2])
def test_frozen_stages_do_not_change(frozen):
    model = DFMamba("nano", frozen_stages=frozen).train()
    parts = [model.stem, *model.stages]
    for number, part in enumerate(parts):
        assert all(p.requires_grad == (number > frozen) for p in part.parameters())
    before = {name: value.clone() for name, value in model.named_buffers()}
    model(torch.randn(2, 3, 32, 32) + 3)
    changed = {name for name, value in model.named_buffers() if not torch.equal(value, before[name])}
    assert not any(name.startswith(("stem", "stages.0", "stages.1")[: frozen + 1]) for name in changed)
    assert any(name.startswith("stages.2") for name in changed)


def test_norm_eval_keeps_the_statistics():
    model = DFMamba("nano", norm_eval=True).train()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training for norm in norms)


def test_gradient_checkpointing_changes_nothing():
    torch.manual_seed(0)
    plain = DFMamba("nano")
    saving = DFMamba("nano", with_cp=True)
    saving.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 64, 64)
    for model in (plain, saving):
        sum(feature.square().sum() for feature in model.train()(x)).backward()
    for (name, a), b in zip(plain.named_parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=name)


def test_out_norm_can_be_left_out():
    feature = DFMamba("nano")(torch.randn(1, 3, 64, 64))[1]
    assert feature.mean(1).abs().max() < 1e-5
    raw = DFMamba("nano", out_norm=False)
    assert not any("out_norms" in name for name in raw.state_dict())


def test_bfloat16_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        maps = DFMamba("nano")(torch.randn(2, 3, 64, 64))
    assert all(torch.isfinite(feature).all() for feature in maps)


WRONG = {
    "arch": ({"arch": "tinny"}, "arch: expected one of nano, tiny.*got 'tinny'"),
    "blocks": ({"blocks": ["conv"]}, "blocks: expected one for each of the 6 stages, got 1"),
    "block": ({"blocks": ["conv"] * 5 + ["attention"]}, "stage 5: expected a block of conv.*got 'attention'"),
    "number": ({"out_indices": 3}, "out_indices: expected a sequence of stages, such as .* got 3"),
    "text": ({"out_indices": "12"}, "out_indices: expected a sequence of stages, such as .* got '12'"),
    "index": ({"out_indices": (1, 6)}, "out_indices: expected stages from 0 to 5, got 6"),
    "order": ({"out_indices": (3, 1)}, "out_indices: expected different stages in rising order"),
    "frozen": ({"frozen_stages": 7}, "frozen_stages: expected -1 .none. to 6, got 7"),
    "stride": (
        {"arch": {"stem_channels": 8, "stages": [dict(MIXED["stages"][0], stride=16)]}},
        "stage 0: expected a stride of 4 or 8, got 16",
    ),
    "missing": ({"arch": {"stem_channels": 8, "stages": [{"block": "conv"}]}}, "stage 0 lacks channels, depth, stride"),
    "no stages": ({"arch": {"dims": (8, 8, 8, 8)}}, "arch: lacks stages, stem_channels"),
    "option": (
        {"arch": {"stem_channels": 8, "stages": [dict(MIXED["stages"][2], stride=4, num_anchors=9)]}},
        "stage 0: a conv block has no option 'num_anchors'",
    ),
    "groups": ({"arch": "nano", "group_channels": 48}, "group_channels: expected a divisor of the 64 channels, got 48"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_are_named(case):
    arguments, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        DFMamba(**{"arch": "nano", **arguments})


def test_registered_in_the_root_registry():
    registry = pytest.importorskip("mmengine.registry")
    model = registry.MODELS.build({"type": "DFMamba", "arch": "nano"})
    assert isinstance(model, DFMamba)


def test_init_cfg_loads_weights(tmp_path):
    pytest.importorskip("mmengine")
    source = DFMamba("nano")
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    model = DFMamba("nano", init_cfg={"type": "Pretrained", "checkpoint": str(tmp_path / "weights.pth")})
    model.init_weights()
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in source.state_dict().items())


TORCH_ALONE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("mmengine", "mmcv", "mmpose", "mmdet", "numpy", "cv2", "timm", "torchvision"):
            raise ImportError(name)

for name in list(sys.modules):
    assert not name.startswith("mm")
import torch
sys.meta_path.insert(0, Refuse())
from dfmamba.models import DFMamba
import dfmamba.ops
model = DFMamba("nano").eval()
assert [tuple(f.shape) for f in model(torch.zeros(1, 3, 64, 64))][0] == (1, 32, 8, 8)
try:
    DFMamba("nano", init_cfg={"type": "Pretrained"})
except ValueError as error:
    assert "mmengine" in str(error)
else:
    raise AssertionError("init_cfg was swallowed")
print("works")
"""


@pytest.mark.slow
def test_torch_alone_is_enough():
    done = subprocess.run([sys.executable, "-c", TORCH_ALONE], capture_output=True, text=True)
    assert done.stdout.strip() == "works", done.stderr


def test_scan_and_sampling_are_counted():
    # One DSSM block without FFN on a 16x16 map of a 64x64 image, counted by hand.
    stage = {"block": "dssm", "channels": 16, "depth": 1, "stride": 4, "group_channels": 16, "d_state": 2, "dt_rank": 1}
    model = DFMamba({"stem_channels": 8, "stages": [stage]}, mlp_ratio=0)
    stem = 32 * 32 * 8 * 3 * 9 + 16 * 16 * 16 * 8 * 9
    linear = 256 * 16 * (32 + 5 + 1 + 9 * 3 + 16) + 256 * 16 * 3  # in, x, delta, sampling, out; then the token conv
    scan, sampling = 256 * 16 * (4 * 2 + 2), 256 * 16 * 9 * 4
    assert count_multiply_adds(model, (3, 64, 64)) == stem + linear + scan + sampling
