"""timm's models as backbones: their levels, their weights, and the sizes that papers publish."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from dfmamba.models.backbones import TimmBackbone
from dfmamba.models.cost import count_multiply_adds, count_parameters

timm = pytest.importorskip("timm")

SMALL_SWIN = {
    "model": "swin_tiny_patch4_window7_224",
    "img_size": 64,
    "embed_dim": 24,
    "depths": (1, 1, 2, 1),
    "num_heads": (1, 2, 4, 8),
}


@pytest.mark.parametrize("name", timm.list_models("test_*"))  # one small model of each large family
def test_levels_are_what_feature_info_says(name):
    model = TimmBackbone(name).eval()
    size = timm.get_pretrained_cfg(name).input_size[-1]
    for info, feature in zip(model.feature_info, model(torch.randn(2, 3, size, size)), strict=True):
        assert feature.shape == (2, info["num_chs"], size // info["reduction"], size // info["reduction"])


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_efficientnet"])
def test_levels_are_timms_own(name):
    torch.manual_seed(0)
    model, theirs = TimmBackbone(name).eval(), timm.create_model(name, features_only=True).eval()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), model.model.state_dict().values(), strict=True)))
    x = torch.randn(1, 3, 64, 64)
    expected = dict(zip(theirs.feature_info.reduction(), theirs(x), strict=True))
    for info, feature in zip(model.feature_info, model(x), strict=True):
        torch.testing.assert_close(feature, expected[info["reduction"]])


def test_swin_maps_have_channels_first():
    model = TimmBackbone(**SMALL_SWIN)
    assert [info["reduction"] for info in model.feature_info] == [8, 16, 32]
    assert [tuple(feature.shape) for feature in model(torch.randn(1, 3, 64, 64))] == [
        (1, 48, 8, 8),
        (1, 96, 4, 4),
        (1, 192, 2, 2),
    ]


def test_any_image_size_where_the_model_can():
    for arguments in (
        dict(SMALL_SWIN, dynamic_img_size=True),
        {"model": "test_vit", "dynamic_img_size": True, "pyramid": True},
    ):
        maps = TimmBackbone(**arguments)(torch.randn(1, 3, 96, 64))
        assert [tuple(feature.shape[2:]) for feature in maps] == [(12, 8), (6, 4), (3, 2)]


def test_pyramid_is_made_from_the_last_map():
    torch.manual_seed(0)
    model = TimmBackbone("test_vit", img_size=64, pyramid=True).eval()
    channels = model.model.embed_dim
    assert model.feature_info == [
        {"num_chs": channels // 2, "reduction": 8, "module": "finer"},
        {"num_chs": channels, "reduction": 16, "module": "same"},
        {"num_chs": channels, "reduction": 32, "module": "coarser"},
    ]
    x = torch.randn(1, 3, 64, 64)
    maps = model(x)
    tokens = model.model.forward_intermediates(x, indices=[-1], intermediates_only=True)[0]
    torch.testing.assert_close(maps[1], tokens)
    torch.testing.assert_close(maps[2][0, :, 1, 0], tokens[0, :, 2:4, 0:2].amax((1, 2)))


def test_out_norm_normalises_each_map():
    model = TimmBackbone("test_convnext", out_norm=True)
    for feature in model(torch.randn(1, 3, 64, 64)):
        assert feature.mean(1).abs().max() < 1e-5


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext"])
def test_loads_a_classifiers_weights(name, tmp_path):
    torch.manual_seed(0)
    classifier = timm.create_model(name).eval()
    torch.save(classifier.state_dict(), tmp_path / "weights.pth")
    model = TimmBackbone(name, checkpoint=tmp_path / "weights.pth").eval()
    model.init_weights()  # as mmengine's runner does
    size = timm.get_pretrained_cfg(name).input_size[-1]
    x = torch.randn(1, 3, size, size)
    expected = classifier.forward_intermediates(x, indices=list(model.out_indices), intermediates_only=True)
    for feature, its in zip(model(x), expected, strict=True):
        assert torch.equal(feature, its)


def test_fits_weights_to_image_size_and_channels(tmp_path):
    torch.manual_seed(0)
    classifier = timm.create_model("test_vit")
    torch.save(classifier.state_dict(), tmp_path / "weights.pth")
    model = TimmBackbone("test_vit", in_channels=1, checkpoint=tmp_path / "weights.pth", img_size=64).eval()
    kernel = classifier.patch_embed.proj.weight.sum(1, keepdim=True)
    torch.testing.assert_close(model.model.patch_embed.proj.weight, kernel)
    assert model.model.pos_embed.shape[1] < classifier.pos_embed.shape[1]
    assert model(torch.randn(1, 1, 64, 64))[0].shape[2:] == (4, 4)


def test_fits_swins_tables_to_another_window(tmp_path):
    arguments = dict(SMALL_SWIN, img_size=224)
    weights = timm.create_model(arguments.pop("model"), **arguments).state_dict()
    name = "layers.0.blocks.0.attn.relative_position_bias_table"  # (13 * 13 offsets, heads)
    weights[name] = torch.arange(13.0).repeat_interleave(13).view(-1, 1)  # rises with the offset in rows
    torch.save(weights, tmp_path / "weights.pth")
    model = TimmBackbone(**dict(SMALL_SWIN, img_size=256, window_size=8), checkpoint=tmp_path / "weights.pth")
    table = model.model.get_parameter(name).detach().view(15, 15)
    assert table[:, 4].tolist() == sorted(table[:, 4].tolist())
    torch.testing.assert_close(table[[0, 7, 14], 4], torch.tensor([0.0, 6.0, 12.0]))
    assert [feature.shape[2] for feature in model(torch.randn(1, 3, 256, 256))] == [32, 16, 8]


def test_init_cfg_loads_the_backbones_own_weights(tmp_path):
    pytest.importorskip("mmengine")
    source = TimmBackbone("test_vit", pyramid=True, out_norm=True)
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    model = TimmBackbone(
        "test_vit",
        pyramid=True,
        out_norm=True,
        init_cfg={"type": "Pretrained", "checkpoint": str(tmp_path / "weights.pth")},
    )
    model.init_weights()
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in source.state_dict().items())


def test_trains_every_parameter():
    torch.manual_seed(0)
    for arguments in ({"model": "test_convnext", "out_norm": True}, SMALL_SWIN, {"model": "test_vit", "pyramid": True}):
        model = TimmBackbone(**arguments)
        size = timm.get_pretrained_cfg(arguments["model"]).input_size[-1] if "img_size" not in arguments else 64
        maps = model(torch.randn(2, 3, size, size))
        sum((feature * torch.randn_like(feature)).sum() for feature in maps).backward()
        assert not [name for name, p in model.named_parameters() if p.grad is None]


def test_gradient_checkpointing_changes_nothing():
    torch.manual_seed(0)
    plain, saving = TimmBackbone(**SMALL_SWIN), TimmBackbone(**SMALL_SWIN, with_cp=True)
    saving.load_state_dict(plain.state_dict())
    x = torch.randn(1, 3, 64, 64)
    for model in (plain.eval(), saving.eval()):
        sum(feature.square().sum() for feature in model(x)).backward()
    for (name, a), b in zip(plain.named_parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=name)


@pytest.mark.parametrize("convert", [lambda model: model, nn.SyncBatchNorm.convert_sync_batchnorm])
def test_norm_eval_keeps_the_statistics(convert):
    model = convert(TimmBackbone("test_resnet", norm_eval=True))
    assert not model.model.bn1.training
    model.train()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm)]
    assert norms
    assert not any(norm.training for norm in norms)
    assert model.model.training


STAGES = {  # what the first two stages of one small model of a family are called, after its stem
    "test_resnet": [("conv1", "bn1"), ("layer1",), ("layer2",)],
    "test_convnext": [("stem",), ("stages.0",), ("stages.1",)],
    "test_efficientnet": [("conv_stem", "bn1"), ("blocks.0",), ("blocks.1",)],
    "test_vit": [("cls_token", "pos_embed", "patch_embed"), ("blocks.0",), ("blocks.1",)],
}


@pytest.mark.parametrize("frozen_stages", [-1, 0, 1, 2])
@pytest.mark.parametrize("name", STAGES)
def test_frozen_stages_do_not_change(name, frozen_stages):
    torch.manual_seed(0)
    model = TimmBackbone(name, frozen_stages=frozen_stages, drop_path_rate=0.5)
    before = {key: value.clone() for key, value in model.model.state_dict().items()}
    size = timm.get_pretrained_cfg(name).input_size[-1]
    maps = model(torch.randn(4, 3, size, size))
    sum((feature * torch.randn_like(feature)).sum() for feature in maps).backward()
    torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1, weight_decay=0.1).step()
    same = {key for key, value in model.model.state_dict().items() if torch.equal(value, before[key])}
    for number, parts in enumerate(STAGES[name]):
        own = {key for key in before if key.startswith(tuple(f"{part}." for part in parts)) or key in parts}
        assert own
        assert (own <= same) == (number <= frozen_stages), parts
    frozen, others = (
        [
            module
            for part in sum(stages, ())
            if part not in before  # what is in it is a parameter
            for module in model.model.get_submodule(part).modules()
        ]
        for stages in (STAGES[name][: frozen_stages + 1], STAGES[name][frozen_stages + 1 :])
    )
    for _ in range(2):
        assert not any(module.training for module in frozen)  # drop path, too
        assert all(module.training for module in [model.model, *others])
        model.eval().train()


def test_intermediate_levels_are_those_asked_for():
    """XCiT and ViT have a level for each block, all of one stride; nobody wants them all by default."""
    model = TimmBackbone("test_vit", out_indices=(1, 3)).eval()
    assert [info["module"] for info in model.feature_info] == ["blocks.1", "blocks.3"]
    size = timm.get_pretrained_cfg("test_vit").input_size[-1]
    x = torch.randn(1, 3, size, size)
    expected = model.model.forward_intermediates(x, indices=[1, 3], intermediates_only=True)
    assert all(torch.equal(a, b) for a, b in zip(model(x), expected, strict=True))
    assert len(TimmBackbone("test_vit").feature_info) == 1


PUBLISHED = {  # parameters in M and multiply-adds in G of the classifier at 224, as papers print them (ResNet: v1.5)
    "resnet50": (25.6, 4.1),
    "vit_small_patch16_224": (22.1, 4.6),
    "swin_tiny_patch4_window7_224": (28.3, 4.5),
    "convnext_tiny": (28.6, 4.5),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_classifier_has_the_published_size(name):
    with torch.device("meta"):
        classifier = timm.create_model(name)
        backbone = TimmBackbone(name)
    parameters, multiply_adds = PUBLISHED[name]
    assert count_parameters(classifier) == pytest.approx(parameters * 1e6, rel=0.01)
    assert count_multiply_adds(classifier, (3, 224, 224)) == pytest.approx(multiply_adds * 1e9, rel=0.01)
    dropped = sum(p.numel() for key, p in classifier.named_parameters() if key.startswith(("head.", "norm.", "fc.")))
    assert count_parameters(backbone) == count_parameters(classifier) - dropped


def test_says_how_much_of_a_checkpoint_fits(tmp_path, caplog):
    weights = timm.create_model("test_resnet").state_dict()
    torch.save(weights, tmp_path / "whole.pth")
    TimmBackbone("test_resnet", checkpoint=tmp_path / "whole.pth")
    assert not [record for record in caplog.records if "test_resnet" in record.message or "random" in record.message]
    torch.save({key: value for key, value in weights.items() if not key.startswith("layer4.")}, tmp_path / "part.pth")
    model = TimmBackbone("test_resnet", checkpoint=tmp_path / "part.pth")
    fourth = [key for key, value in weights.items() if key.startswith("layer4.") and value.ndim > 1]
    total = [key for key, value in weights.items() if key.split(".")[0] != "fc" and value.ndim > 1]
    assert f"{len(fourth)} of {len(total)} weights are not in it as they are" in caplog.text
    assert fourth[0] in caplog.text
    assert torch.equal(model.model.layer3[0].conv1.weight, weights["layer3.0.conv1.weight"])


class Foreign:
    """What no checkpoint may hold."""


CONTENTS = {  # what is in the file, and the message
    "of another model": (lambda: timm.create_model("test_vit").state_dict(), "none of its weights fits the model"),
    "of a wider one": (
        lambda: timm.create_model("test_resnet", stem_width=8).state_dict(),
        "test_resnet cannot be built with checkpoint: .*weights.pth: .*size mismatch for conv1",
    ),
    "no weights": (lambda: [1, 2], r"cannot be read as one \("),
    "a class": (lambda: {"a": Foreign()}, r"cannot be read as one \(RuntimeError: weights_only=True blocked .*Foreign"),
}


@pytest.mark.parametrize("case", CONTENTS)
def test_wrong_checkpoints_are_named(case, tmp_path):
    content, message = CONTENTS[case]
    torch.save(content(), tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=message) as caught:
        TimmBackbone("test_resnet", checkpoint=tmp_path / "weights.pth")
    assert "weights.pth" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_cut_short_is_named(tmp_path):
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "weights.pth")
    (tmp_path / "weights.pth").write_bytes((tmp_path / "weights.pth").read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"expected a file with weights of test_resnet, but .* cannot be read as one"):
        TimmBackbone("test_resnet", checkpoint=tmp_path / "weights.pth")


WRONG = {
    "model": ({"model": "swin_tinny_patch4_window7_224"}, "timm has no 'swin_tinny.*did you mean swin_tiny_patch4"),
    "number": (
        {"model": "test_resnet", "out_indices": 3},
        "out_indices: expected a sequence of stages, such as .* got 3",
    ),
    "text": (
        {"model": "test_resnet", "out_indices": "12"},
        "out_indices: expected a sequence of stages, such as .* got '12'",
    ),
    "index": ({"model": "test_resnet", "out_indices": (2, 5)}, "out_indices: expected stages from 0 to 4, got 5"),
    "pyramid": ({"model": "test_resnet", "pyramid": True}, r"pyramid: expected one level .*got \(2, 3, 4"),
    "frozen": ({"model": "test_resnet", "frozen_stages": 5}, r"frozen_stages: expected -1 \(none\) to 4, got 5"),
    "with_cp": ({"model": "hrnet_w18_small", "with_cp": True}, "with_cp: timm's hrnet_w18_small cannot recompute"),
    "option": (
        {"model": "test_resnet", "stem_widht": 8},
        "test_resnet cannot be built with in_chans, stem_widht: .*unexpected keyword argument 'stem_widht'",
    ),
    "value": ({"model": "test_resnet", "global_pool": "mean"}, "cannot be built with .*Invalid pool type: mean"),
    "pretrained": ({"model": "hrnet_w18_small_v3", "pretrained": True}, "timm has no 'hrnet_w18_small_v3'; did you"),
    "no weights": (
        {"model": "test_convnext3", "pretrained": True, "pretrained_cfg": {"num_classes": 1000}},
        "test_convnext3 cannot be built with .*No pretrained weights exist for test_convnext3",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_are_named(case):
    arguments, message = WRONG[case]
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        TimmBackbone(**arguments)


@pytest.mark.parametrize("path", ["nothing.pth", "~/nothing.pth"])
def test_missing_checkpoint_is_named_by_its_whole_path(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=rf"checkpoint: .*test_resnet.* {tmp_path}/nothing\.pth"):
        TimmBackbone("test_resnet", checkpoint=path)


def test_errors_that_are_not_the_users_pass_as_they_are(monkeypatch):
    def fail(*args, **options):
        raise RuntimeError("can't allocate memory")

    monkeypatch.setattr(timm, "create_model", fail)
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        TimmBackbone("test_resnet")


@pytest.mark.parametrize("missing", ["feature_info", "forward_intermediates"])
def test_models_without_levels_are_named(missing, monkeypatch):
    model = timm.create_model("test_resnet")
    if missing == "feature_info":
        del model.feature_info
    else:
        monkeypatch.delattr(type(model), missing)
    monkeypatch.setattr(timm, "create_model", lambda *args, **options: model)
    with pytest.raises(ValueError, match="model: timm's 'test_resnet' does not give its levels"):
        TimmBackbone("test_resnet")


def test_registered_in_the_root_registry():
    registry = pytest.importorskip("mmengine.registry")
    assert isinstance(registry.MODELS.build({"type": "TimmBackbone", "model": "test_resnet"}), TimmBackbone)


WITHOUT_TIMM = """
import sys
sys.modules["timm"] = None
import dfmamba.models
from dfmamba.models.backbones import TimmBackbone
try:
    TimmBackbone("resnet50")
except ImportError as error:
    print(error)
"""


def test_timm_is_optional():
    done = subprocess.run([sys.executable, "-c", WITHOUT_TIMM], capture_output=True, text=True)
    assert "pip install timm" in done.stdout, done.stderr
