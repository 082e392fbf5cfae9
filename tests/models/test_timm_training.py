"""Our models in timm's way of training: optimizers, averages, checkpoints, freezing, and the loop itself."""

import pytest
import torch
from torch import nn

timm = pytest.importorskip("timm")
timm_models = pytest.importorskip("dfmamba.models.timm_models")

from timm import loss, optim, scheduler, utils  # noqa: E402

NANO = timm.list_models("*_nano", module="timm_models")
every_nano = pytest.mark.parametrize("name", NANO)
every_model = pytest.mark.parametrize("name", timm.list_models(module="timm_models"))


def group_of(optimizer, model):
    """Return the optimizer's group of each parameter by name, and check that there is one of each."""
    groups = {id(parameter): group for group in optimizer.param_groups for parameter in group["params"]}
    assert len(groups) == sum(len(group["params"]) for group in optimizer.param_groups) == len(list(model.parameters()))
    return {name: groups[id(parameter)] for name, parameter in model.named_parameters()}


def by_prefix(values, keys):
    """Return for each key the value of the prefix that it starts with."""
    return {key: next(value for prefix, value in values.items() if key.startswith(prefix)) for key in keys}


@every_model
def test_a_group_for_each_block(name):
    model = timm.create_model(name, device="meta")
    groups = timm.models.group_parameters(model, model.group_matcher(), reverse=True)
    assert groups.keys() == dict(model.named_parameters()).keys()
    expected, depth = {}, 0
    for number, stage in enumerate(model.stages):
        for index in range(len(stage.blocks)):
            depth += 1
            expected[f"stages.{number}.blocks.{index}."] = depth
            if index == 0:
                expected[f"stages.{number}.downsample."] = depth
    expected |= {"stem.": 0, "norm.": depth, "head.": depth + 1}
    assert groups == by_prefix(expected, groups)
    coarse = timm.models.group_parameters(model, model.group_matcher(coarse=True), reverse=True)
    stages = {f"stages.{number}.": number + 1 for number in range(len(model.stages))}
    expected = stages | {"stem.": 0, "norm.": len(stages), "head.": len(stages) + 1}
    assert coarse == by_prefix(expected, coarse)


@every_nano
@pytest.mark.parametrize("layer_decay", [None, 0.5])
def test_weight_decay_leaves_out_what_it_must(name, layer_decay):
    model = timm.create_model(name, num_classes=3)
    optimizer = optim.create_optimizer_v2(model, "adamw", lr=1e-3, weight_decay=0.05, layer_decay=layer_decay)
    for key, group in group_of(optimizer, model).items():
        scan = key.rsplit(".", 1)[-1] in ("A_log", "D", "dt_bias")
        one_axis = model.get_parameter(key).ndim <= 1
        assert group["weight_decay"] == (0 if scan or one_axis else 0.05), key


@every_nano
def test_learning_rates_fall_with_the_depth(name):
    model = timm.create_model(name, num_classes=3)
    optimizer = optim.create_optimizer_v2(model, "adamw", lr=1e-3, weight_decay=0.05, layer_decay=0.5)
    groups = group_of(optimizer, model)
    blocks = [
        f"stages.{number}.blocks.{index}."
        for number, stage in enumerate(model.stages)
        for index in range(len(stage.blocks))
    ]
    for depth, prefix in enumerate(["stem.", *blocks, "head."]):
        scales = {group["lr_scale"] for key, group in groups.items() if key.startswith(prefix)}
        assert scales == {0.5 ** (len(blocks) + 1 - depth)}, prefix


@every_nano
def test_parts_can_be_frozen(name):
    model = timm.create_model(name, num_classes=3)
    utils.freeze(model, ["stem", "stages.0"])
    model.train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    optimizer = optim.create_optimizer_v2(model, "sgd", lr=0.1, weight_decay=0.05)
    model(torch.randn(4, 3, 32, 32)).square().sum().backward()
    optimizer.step()
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert changed
    assert not [key for key in changed if key.startswith(("stem.", "stages.0."))]
    assert any(key.startswith("stages.1.") for key in changed)


@pytest.mark.slow
@every_nano
def test_the_loop_of_timms_training_script(name, tmp_path):
    """Train on SYNTHETIC images, noise in two brightnesses, with warm-up, clipping, an average and checkpoints."""
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=2, drop_path_rate=0.1).train()
    average = utils.ModelEmaV3(model, decay=0.5)
    optimizer = optim.create_optimizer_v2(model, "adamw", lr=2e-3, weight_decay=0.05, layer_decay=0.9)
    plan, _ = scheduler.create_scheduler_v2(optimizer, "cosine", num_epochs=4, warmup_epochs=1, warmup_lr=1e-4)
    criterion = loss.LabelSmoothingCrossEntropy(0.1)
    saver = utils.CheckpointSaver(
        model, optimizer, model_ema=average, checkpoint_dir=str(tmp_path), decreasing=True, recovery_dir=str(tmp_path)
    )
    labels = torch.arange(8) % 2
    x = torch.randn(8, 3, 32, 32) + labels.view(-1, 1, 1, 1)
    losses = []
    for epoch in range(4):
        for update in range(2):
            result = criterion(model(x), labels)
            optimizer.zero_grad()
            result.backward()
            utils.dispatch_clip_grad(timm.models.model_parameters(model), 5.0)
            optimizer.step()
            average.update(model)
            plan.step_update(2 * epoch + update + 1, losses[-1] if losses else None)
            losses.append(result.item())
        plan.step(epoch + 1, losses[-1])
        saver.save_checkpoint(epoch, metric=losses[-1])
    assert losses[-1] < losses[0] - 0.1

    last = str(tmp_path / "last.pth.tar")
    resumed = timm.create_model(name, num_classes=2)
    again = optim.create_optimizer_v2(resumed, "adamw", lr=2e-3, weight_decay=0.05, layer_decay=0.9)
    assert timm.models.resume_checkpoint(resumed, last, again) == 4
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in resumed.state_dict().items())
    for source, expected in (
        (timm.create_model(name, num_classes=2, checkpoint_path=last), average.module),
        (timm.create_model(name, num_classes=2), model),
    ):
        if expected is model:
            timm.models.load_checkpoint(source, last, use_ema=False)
        assert torch.equal(source.eval()(x), expected.eval()(x))


def test_batch_norm_can_be_frozen_or_synchronised():
    model = timm.create_model("dfmamba_nano", num_classes=3)
    synchronised = timm.layers.convert_sync_batchnorm(model)
    assert any(isinstance(module, nn.SyncBatchNorm) for module in synchronised.modules())
    frozen = timm.layers.freeze_batch_norm_2d(timm.create_model("dfmamba_nano", num_classes=3))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in frozen.modules())
    assert frozen(torch.randn(2, 3, 32, 32)).shape == (2, 3)
