"""Our models under timm: each use that timm documents or tests, for every model that we register."""

import copy
import io

import pytest
import torch
from torch import nn

from dfmamba.models.backbones import DFMamba, TimmBackbone

timm = pytest.importorskip("timm")
timm_models = pytest.importorskip("dfmamba.models.timm_models")

REGISTERED = {
    f"{family}_{arch}": (backbone, arch)
    for family, (backbone, archs, _) in timm_models.FAMILIES.items()
    for arch in archs
}
NANO = [name for name in REGISTERED if name.endswith("_nano")]
every_model = pytest.mark.parametrize("name", REGISTERED)
every_nano = pytest.mark.parametrize("name", NANO)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def images(batch=2, channels=3, height=64, width=96):
    """Return SYNTHETIC images: noise."""
    return torch.randn(batch, channels, height, width)


def raw_maps(name, model, x):
    """Return the map of every level for a classifier's weights as the backbone itself gives them."""
    backbone, arch = REGISTERED[name]
    strides = [info["reduction"] for info in backbone(arch, out_indices=(-1,)).stage_info]
    last = tuple(max(i for i, stride in enumerate(strides) if stride == level) for level in (4, 8, 16, 32))
    backbone = backbone(arch, out_indices=last, out_norm=False).train(model.training)
    weights = model.state_dict()
    backbone.load_state_dict({key: weights[key] for key in backbone.state_dict()})
    return backbone(x)


# --- The registry and what it says of each model ---


def test_every_architecture_of_every_backbone_is_registered():
    assert sorted(timm.list_models(module="timm_models")) == sorted(REGISTERED)
    assert not timm.list_models("*mamba_nano", pretrained=True)
    assert sorted(timm_models.__all__) == sorted(REGISTERED)
    assert timm_models.dfmamba_nano(num_classes=3).num_classes == 3


@every_model
def test_the_model_is_what_its_cfg_says(name):
    model = timm.create_model(name, device="meta").eval()
    cfg, weights = model.default_cfg, model.state_dict()
    assert all(value.is_meta for value in weights.values())
    assert cfg["architecture"] == name
    assert weights[cfg["classifier"] + ".weight"].shape == (cfg["num_classes"], model.num_features)
    assert weights[cfg["first_conv"] + ".weight"].shape[1] == model.in_chans == 3
    assert cfg["first_conv"] == next(key for key, part in model.named_modules() if isinstance(part, nn.Conv2d))


@every_nano
def test_the_last_map_has_the_size_that_the_cfg_says(name):
    model = timm.create_model(name).eval()
    cfg = model.default_cfg
    features = model.forward_features(torch.zeros(1, *cfg["input_size"]))
    assert features.shape == (1, model.num_features, *cfg["pool_size"])


def test_without_weights_pretrained_is_refused():
    with pytest.raises(RuntimeError, match="No pretrained weights exist for dfmamba_nano"):
        timm.create_model("dfmamba_nano", pretrained=True)


@every_nano
def test_every_parameter_trains(name):
    model = timm.create_model(name, num_classes=42).train()
    outputs = model(images())
    (outputs * torch.randn_like(outputs)).sum().backward()
    assert outputs.shape == (2, 42)
    assert not [key for key, parameter in model.named_parameters() if parameter.grad is None]


# --- Features in front of the classifier: timm's page "Feature Extraction", first half ---


@every_nano
def test_unpooled_features_can_be_had_in_three_ways(name):
    model = timm.create_model(name, num_classes=5).eval()
    x = images()
    features = model.forward_features(x)
    assert features.shape == (2, model.num_features, 2, 3)
    without = timm.create_model(name, num_classes=0, global_pool="").eval()
    without.load_state_dict(model.state_dict(), strict=False)
    assert torch.equal(without(x), features)
    model.reset_classifier(0, "")
    assert torch.equal(model(x), features)
    assert model.num_classes == 0
    assert model.head_hidden_size == model.num_features


@every_nano
def test_pooled_features_can_be_had_in_two_ways(name):
    model = timm.create_model(name, num_classes=5).eval()
    x = images()
    pooled = model.forward_features(x).mean((2, 3))
    without = timm.create_model(name, num_classes=0).eval()
    without.load_state_dict(model.state_dict(), strict=False)
    torch.testing.assert_close(without(x), pooled)
    torch.testing.assert_close(model.forward_head(model.forward_features(x), pre_logits=True), pooled)
    model.reset_classifier(0)
    torch.testing.assert_close(model(x), pooled)


POOLINGS = {
    "avg": lambda x: x.mean((2, 3)),
    "max": lambda x: x.amax((2, 3)),
    "avgmax": lambda x: (x.mean((2, 3)) + x.amax((2, 3))) / 2,
    "catavgmax": lambda x: torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1),
}


@every_nano
@pytest.mark.parametrize("pooling", POOLINGS)
def test_poolings(name, pooling):
    made = timm.create_model(name, num_classes=5, global_pool=pooling).eval()
    changed = timm.create_model(name, num_classes=7).eval()
    changed.reset_classifier(5, pooling)
    changed.load_state_dict(made.state_dict())
    x = images()
    pooled = POOLINGS[pooling](made.forward_features(x))
    expected = pooled @ made.get_classifier().weight.T + made.get_classifier().bias
    torch.testing.assert_close(made(x), expected)
    torch.testing.assert_close(changed(x), expected)
    assert made.head_hidden_size == changed.head_hidden_size == pooled.shape[1]


def test_classes_without_pooling_are_a_map():
    model = timm.create_model("dfmamba_nano", num_classes=5, global_pool="").eval()
    x = images()
    features, fc = model.forward_features(x), model.get_classifier()
    expected = features.movedim(1, 3) @ fc.weight.flatten(1).T + fc.bias
    torch.testing.assert_close(model(x), expected.movedim(3, 1))


def test_a_new_classifier_keeps_pooling_device_type_and_mode():
    model = timm.create_model("dfmamba_nano", num_classes=5, global_pool="max", drop_rate=0.5, dtype=torch.float64)
    model.reset_classifier(3)
    assert model.head.training
    assert model.head.drop.p == 0.5
    model.eval().reset_classifier(3)
    assert not model.head.drop.training
    x = images().double()
    expected = model.forward_features(x).amax((2, 3)) @ model.head.fc.weight.T
    torch.testing.assert_close(model(x), expected)  # the new bias is 0
    assert 0.015 < model.head.fc.weight.std() < 0.025
    model.to("meta").reset_classifier(4)
    assert model.get_classifier().weight.is_meta
    assert model.num_classes == 4
    model.reset_classifier(-1)  # none, as for timm
    assert isinstance(model.get_classifier(), nn.Identity)


def test_dropout_stands_before_the_classifier():
    model = timm.create_model("dfmamba_nano", num_classes=3, drop_rate=0.5).train()
    features = model.forward_head(torch.ones(1, 128, 2, 2), pre_logits=True)
    assert set(features.flatten().tolist()) == {0.0, 2.0}


def test_unknown_poolings_are_named():
    model = timm.create_model("dfmamba_nano")
    message = r"global_pool: expected '', 'avg', 'max', 'avgmax' or .*, got 'mean'"
    with pytest.raises(ValueError, match=message):
        model.reset_classifier(3, "mean")
    with pytest.raises(ValueError, match=message):
        timm.create_model("dfmamba_nano", global_pool="mean")
    assert model(images()).shape == (2, 1000)


# --- Levels: timm's page "Feature Extraction", second half ---


@every_model
def test_four_levels_one_a_stride(name):
    features = timm.create_model(name, features_only=True, device="meta")
    assert features.feature_info.reduction() == [4, 8, 16, 32]
    family, arch = name.rsplit("_", 1)
    table = timm_models.FAMILIES[family][1][arch]
    dims = table.get("dims") or {stage["stride"]: stage["channels"] for stage in table["stages"]}.values()
    assert features.feature_info.channels() == list(dims)


# What is asked for, and the levels that this means.
INDICES = {(0, 1, 2, 3): [0, 1, 2, 3], (1, 3): [1, 3], (-1,): [3], (1, -2): [1, 2], (3, 1): [1, 3], 2: [2, 3]}


@every_nano
@pytest.mark.parametrize("feature_cls", ["getter", "list", "dict", "hook", "fx"])
def test_every_feature_class_gives_the_backbones_maps(name, feature_cls):
    x = images()
    for indices, levels in INDICES.items():
        if feature_cls != "getter" and indices in [(3, 1)]:
            continue  # timm's own description has the order asked for there, and the maps that of the model
        torch.manual_seed(0)
        model = timm.create_model(name, num_classes=5).eval()
        torch.manual_seed(0)
        features = timm.create_model(name, features_only=True, feature_cls=feature_cls, out_indices=indices).eval()
        maps = features(x)
        maps = list(maps.values()) if feature_cls == "dict" else maps
        expected = [raw_maps(name, model, x)[level] for level in levels]
        torch.testing.assert_close(list(maps), expected)
        assert features.feature_info.reduction() == [4 * 2**level for level in levels]
        assert features.feature_info.channels() == [feature.shape[1] for feature in expected]
        assert features.feature_info.module_name() == [model.feature_info[level]["module"] for level in levels]


@every_nano
def test_what_stands_behind_the_last_level_is_not_kept(name):
    features = timm.create_model(name, features_only=True, out_indices=(0, 2), in_chans=1)
    assert [tuple(feature.shape[2:]) for feature in features(images(channels=1))] == [(16, 24), (4, 6)]
    stages = {key.split(".")[2] for key in features.state_dict() if key.startswith("model.stages.")}
    assert len(stages) == features.model.level_stages[-1] + 1 == int(features.feature_info[2]["module"][-1]) + 1
    assert not [key for key in features.state_dict() if key.startswith(("model.norm", "model.head"))]


def test_the_last_level_can_be_normalised():
    features = timm.create_model("dfmamba_nano", features_only=True, feature_cfg={"norm": True}).eval()
    x = images()
    assert torch.equal(features(x)[-1], features.model.forward_features(x))
    assert features(x)[-1].mean(1).abs().max() < 1e-5


@every_nano
def test_intermediates(name):
    model = timm.create_model(name, num_classes=5).eval()
    x = images()
    expected = raw_maps(name, model, x)
    final, maps = model.forward_intermediates(x)
    assert torch.equal(final, model.forward_features(x))
    torch.testing.assert_close(maps, list(expected))
    for indices, levels in INDICES.items():
        only = model.forward_intermediates(x, indices=indices, intermediates_only=True)
        torch.testing.assert_close(only, [expected[level] for level in levels])
    assert torch.equal(model.forward_intermediates(x, indices=[0])[0], final)
    *before, normed = model.forward_intermediates(x, norm=True, intermediates_only=True)
    assert torch.equal(normed, final)
    torch.testing.assert_close(before, list(expected[:3]))
    last = model.forward_intermediates(x, indices=[0, 3], output_fmt="NHWC", intermediates_only=True)[-1]
    torch.testing.assert_close(last, expected[3].permute(0, 2, 3, 1))
    model.set_grad_checkpointing()
    assert torch.equal(model.forward_intermediates(x)[0], final)


@every_nano
def test_intermediates_can_stop_early(name):
    model = timm.create_model(name).eval()
    ran = []
    for number, stage in enumerate(model.stages):
        stage.register_forward_hook(lambda *_, number=number: ran.append(number))
    early, maps = model.forward_intermediates(images(), indices=[2, 0], stop_early=True)
    assert torch.equal(early, maps[1])
    assert ran == list(range(model.level_stages[2] + 1))
    final, maps = model.forward_intermediates(images(), indices=[3], stop_early=True)
    assert torch.equal(final, model.norm(maps[0]))


@pytest.mark.parametrize("indices", [(4,), (-5,), 5, 0, -1, ()])
def test_levels_that_there_are_not_are_named(indices):
    model = timm.create_model("dfmamba_nano")
    for ask in (
        lambda: model.forward_intermediates(images(), indices=indices),
        lambda: model.prune_intermediate_layers(indices),
    ):
        with pytest.raises(ValueError, match=r"indices: expected some of the levels 0 to 3, or how many, got "):
            ask()


def test_unknown_layouts_are_named():
    with pytest.raises(ValueError, match="output_fmt: expected 'NCHW' or 'NHWC', got 'NLC'"):
        timm.create_model("dfmamba_nano").forward_intermediates(images(), output_fmt="NLC")


@every_nano
@pytest.mark.parametrize(("norm", "head"), [(False, False), (True, False), (False, True)])
def test_pruning_to_the_last_level_keeps_what_it_is_told_to(name, norm, head):
    model = timm.create_model(name, num_classes=5).eval()
    kept, features = model.get_classifier(), model.stages(model.stem(images(1)))
    assert model.prune_intermediate_layers([-1, 1], prune_norm=norm, prune_head=head) == [1, 3]
    assert isinstance(model.norm, nn.Identity) == norm
    assert (model.get_classifier() is kept) != head
    assert len(model.stages) == model.level_stages[-1] + 1
    assert features.shape[1] == model.num_features


@every_nano
def test_a_pruned_model_ends_with_its_last_level(name):
    model = timm.create_model(name, num_classes=5).eval()
    x = images()
    expected = raw_maps(name, model, x)
    assert model.prune_intermediate_layers([2, 1], prune_head=False) == [1, 2]
    torch.testing.assert_close(model(x), expected[2])  # no head, and no pooling
    assert model.num_features == expected[2].shape[1]
    torch.testing.assert_close(model.forward_intermediates(x, intermediates_only=True), list(expected[:3]))
    model.reset_classifier(7, "avg")
    assert model(x).shape == (2, 7)
    with pytest.raises(ValueError, match="levels 0 to 2"):
        model.forward_intermediates(x, indices=[3])


# --- Forms of a model ---


@every_nano
def test_torchscript(name):
    model = timm.create_model(name, num_classes=5, scriptable=True).eval()
    x = images()
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(model), file)
    file.seek(0)
    loaded = torch.jit.load(file)
    torch.testing.assert_close(loaded(x), model(x))
    torch.testing.assert_close(loaded(images(1, width=64)).shape, torch.Size([1, 5]))


@every_nano
def test_torchscript_of_levels(name):
    features = timm.create_model(name, features_only=True, feature_cls="list", scriptable=True).eval()
    x = images()
    torch.testing.assert_close(torch.jit.script(features)(x), features(x))


@every_nano
def test_fx_gives_any_node(name):
    model = timm.create_model(name, num_classes=5).eval()
    x = images()
    train_nodes, eval_nodes = timm.models.get_graph_node_names(model)
    assert train_nodes[-1].startswith("head")
    for extractor in (
        timm.models.create_feature_extractor,
        pytest.importorskip("torchvision").models.feature_extraction.create_feature_extractor,
    ):
        extracted = extractor(model, {"stages.1": "early", eval_nodes[-1]: "logits"}).eval()(x)
        assert torch.equal(extracted["logits"], model(x))
        torch.testing.assert_close(extracted["early"], raw_maps(name, model, x)[1])


@every_nano
def test_fx_graphs_train_and_compile_to_torchscript(name):
    model = timm.create_model(name, num_classes=42, drop_path_rate=0.1).train()
    last = timm.models.get_graph_node_names(model)[0][-1]
    graph = timm.models.create_feature_extractor(model, [last]).train()
    (outputs,) = graph(images()).values()
    assert outputs.shape == (2, 42)
    (outputs * torch.randn_like(outputs)).sum().backward()
    assert not [key for key, parameter in graph.named_parameters() if parameter.grad is None]
    x = images()
    torch.testing.assert_close(torch.jit.script(graph.eval())(x)[last], model.eval()(x))


@every_nano
def test_checkpointing_changes_no_result(name):
    plain = timm.create_model(name, num_classes=5).train()
    saving = copy.deepcopy(plain)
    saving.set_grad_checkpointing()
    calls = []
    saving.stages[1].blocks[0].register_forward_pre_hook(lambda *_: calls.append(1))
    x = images()
    for model in (plain, saving):
        model(x).square().sum().backward()
    assert len(calls) == 2  # forward and again on the way back
    for (key, a), b in zip(plain.named_parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=key)
    saving.set_grad_checkpointing(False)
    saving(x).sum().backward()
    assert len(calls) == 3


@every_nano
def test_channels_last(name):
    model = timm.create_model(name, num_classes=5).eval()
    x = images()
    expected = model(x)
    model = model.to(memory_format=torch.channels_last)
    torch.testing.assert_close(model(x.to(memory_format=torch.channels_last)), expected, rtol=1e-4, atol=1e-5)


@every_nano
def test_the_stem_works_in_the_layout_of_the_tokens(name):
    model, layouts = timm.create_model(name, num_classes=5).eval(), []
    model.stem.register_forward_pre_hook(
        lambda _, args: layouts.append(args[0].is_contiguous(memory_format=torch.channels_last))
    )
    model(images())
    model.forward_intermediates(images())
    assert layouts == [True, True]


@every_nano
@pytest.mark.parametrize("autocast", [False, True])
def test_bfloat16(name, autocast):
    model = timm.create_model(name, num_classes=5).eval()
    x = images()
    expected = model(x)
    if autocast:
        with torch.autocast("cpu", torch.bfloat16):
            result = model(x)
    else:
        torch.manual_seed(0)  # the same start
        model = timm.create_model(name, num_classes=5, dtype=torch.bfloat16).eval()
        result = model(x.bfloat16())
    assert result.dtype == torch.bfloat16
    torch.testing.assert_close(result.float(), expected, rtol=0.05, atol=0.05)


# --- Arguments of create_model ---


@every_nano
def test_arguments_that_timms_models_share(name):
    model = timm.create_model(
        name,
        in_chans=1,
        img_size=(64, 96),
        drop_rate=0.2,
        drop_path_rate=0.3,
        exportable=True,
        no_jit=True,
        device="cpu",
        num_classes=None,
    )
    assert model.in_chans == 1
    assert timm.models.get_model_input_config(model)["input_size"] == (1, 64, 96)
    assert model.head.drop.p == model.drop_rate == 0.2
    assert model.stages[0].blocks[0].drop_path.rate == 0
    assert model.stages[-1].blocks[-1].drop_path.rate == pytest.approx(0.3)
    assert model(images(channels=1, width=64)).shape == (2, 1000)  # the image size is a recommendation
    config = timm.data.resolve_model_data_config(timm.create_model(name))
    assert (config["input_size"], config["interpolation"]) == ((3, 224, 224), "bicubic")
    assert (config["mean"], config["std"]) == (timm.data.IMAGENET_DEFAULT_MEAN, timm.data.IMAGENET_DEFAULT_STD)


def test_arguments_of_the_backbone():
    model = timm.create_model("dfmamba_nano", num_anchors=25, blocks=["conv", "conv", "dssm", "vss", "dssm", "gated"])
    assert model.stages[2].blocks[0].mixer.num_anchors == 25
    assert type(model.stages[3].blocks[0]).__name__ == "VSSBlock"
    small = {
        "stem_channels": 8,
        "stages": [{"block": "conv", "channels": 8, "depth": 1, "stride": stride} for stride in (4, 8, 8)],
    }
    model = timm.create_model("dfmamba_nano", arch=small)
    assert [(info["reduction"], info["module"]) for info in model.feature_info] == [(4, "stages.0"), (8, "stages.2")]
    with pytest.raises(TypeError, match="unexpected keyword argument 'num_ankers'"):
        timm.create_model("dfmamba_nano", num_ankers=25)


@pytest.mark.parametrize("option", [{"frozen_stages": 1}, {"norm_eval": True}, {"init_cfg": {"type": "Pretrained"}}])
def test_what_timm_has_tools_for_is_left_to_them(option):
    with pytest.raises(ValueError, match=rf"{next(iter(option))}: expected .* for a model of timm, got .*freeze"):
        timm.create_model("dfmamba_nano", **option)


# --- Weights ---


@every_nano
def test_weights_are_adapted_to_channels_and_classes(name, tmp_path):
    source = timm.create_model(name)
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    model = timm.create_model(
        name, pretrained=True, in_chans=1, num_classes=5, pretrained_cfg_overlay={"file": str(tmp_path / "weights.pth")}
    )
    first = source.default_cfg["first_conv"] + ".weight"
    weights, theirs = model.state_dict(), source.state_dict()
    torch.testing.assert_close(weights[first], theirs[first].sum(1, keepdim=True))
    assert all(
        torch.equal(value, theirs[key])
        for key, value in weights.items()
        if key != first and not key.startswith("head.")
    )
    assert weights["head.fc.weight"].shape == (5, model.num_features)


@every_nano
def test_a_backbone_loads_a_classifiers_stem_and_stages(name):
    model = timm.create_model(name)
    backbone, arch = REGISTERED[name]
    missing, unexpected = backbone(arch).load_state_dict(model.state_dict(), strict=False)
    assert {key.split(".")[0] for key in missing} == {"out_norms"}
    assert {key.split(".")[0] for key in unexpected} == {"norm", "head"}


@every_nano
def test_a_folder_as_of_the_hub(name, tmp_path):
    pytest.importorskip("safetensors")
    model = timm.create_model(name, num_classes=5, global_pool="max", in_chans=1, drop_path_rate=0.1).eval()
    timm.models.save_for_hf(model, tmp_path)
    loaded = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    x = images(channels=1)
    assert torch.equal(loaded(x), model(x))


def test_there_and_back_again():
    model = TimmBackbone("dfmamba_nano", out_norm=True).eval()
    backbone = DFMamba("nano").eval()
    assert model.feature_info == backbone.feature_info
    backbone.load_state_dict(model.model.state_dict(), strict=False)
    x = images()
    for feature, expected in zip(model(x), backbone(x), strict=True):
        torch.testing.assert_close(feature, expected)
