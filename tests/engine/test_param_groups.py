"""Merged parameter groups train as those that mmengine makes, and go on from checkpoints with these."""

import copy

import pytest
import torch
from mmengine.optim import OptimWrapperDict, build_optim_wrapper
from torch import nn

from dfmamba.engine.param_groups import MergedGroups, group_sizes
from dfmamba.engine.runner import ReproducibleRunner

OPTIMIZERS = [
    {"type": "AdamW", "lr": 0.01, "weight_decay": 0.1},
    {"type": "AdamW", "lr": 0.01, "weight_decay": 0.1, "fused": True},
    {"type": "SGD", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.1},
]
# The first layer has its own rate, the other biases and the norm do not decay: three kinds of settings.
PARAMWISE = {"bias_decay_mult": 0.0, "norm_decay_mult": 0.0, "custom_keys": {"0.": {"lr_mult": 0.1}}}


def new_training(optimizer):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.GELU(), nn.Linear(6, 6), nn.Linear(6, 3))
    return model, build_optim_wrapper(
        model, {"type": "OptimWrapper", "optimizer": {**optimizer}, "paramwise_cfg": PARAMWISE}
    )


def train(model, wrapper, steps, seed):
    generator = torch.Generator().manual_seed(seed)
    for number in range(steps):
        for group in wrapper.optimizer.param_groups:
            group["lr"] *= 0.9 + 0.01 * number  # as a schedule does
        wrapper.update_params(model(torch.randn(5, 4, generator=generator)).square().sum())


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_training_is_the_same_bit_for_bit(optimizer):
    (model, wrapper), (merged_model, merged) = new_training(optimizer), new_training(optimizer)
    MergedGroups(merged)
    assert (len(wrapper.optimizer.param_groups), len(merged.optimizer.param_groups)) == (8, 3)
    settings = {(group["lr"], group["weight_decay"]) for group in merged.optimizer.param_groups}
    assert settings == {(0.001, 0.1), (0.01, 0.0), (0.01, 0.1)}
    train(model, wrapper, 5, seed=1)
    train(merged_model, merged, 5, seed=1)
    for ours, theirs in zip(merged_model.parameters(), model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize("was_merged", [False, True])
def test_it_goes_on_from_both_kinds_of_state(optimizer, was_merged):
    model, wrapper = new_training(optimizer)
    if was_merged:
        MergedGroups(wrapper)
    train(model, wrapper, 3, seed=1)
    weights, state = copy.deepcopy((model.state_dict(), wrapper.state_dict()))
    resumed_model, resumed = new_training(optimizer)
    groups = MergedGroups(resumed)
    state = groups.of_state(state)
    assert group_sizes(state) == group_sizes(resumed.state_dict())
    resumed_model.load_state_dict(weights)
    resumed.load_state_dict(state)
    train(model, wrapper, 3, seed=2)
    train(resumed_model, resumed, 3, seed=2)
    for ours, theirs in zip(resumed_model.parameters(), model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_of_several_optimizers_each_is_merged():
    (_, first), (_, second) = new_training(OPTIMIZERS[0]), new_training(OPTIMIZERS[2])
    before = OptimWrapperDict(first=first, second=second)
    old = copy.deepcopy(before.state_dict())
    groups = MergedGroups(before)
    assert {name: len(sizes) for name, sizes in group_sizes(before.state_dict()).items()} == {"first": 3, "second": 3}
    assert group_sizes(groups.of_state(old)) == group_sizes(before.state_dict())


def test_an_optimizer_of_others_stays_as_it_is():
    class Own(torch.optim.SGD):
        pass

    model, _ = new_training(OPTIMIZERS[2])
    groups = [{"params": [parameter]} for parameter in model.parameters()]
    wrapper = build_optim_wrapper(model, {"type": "OptimWrapper", "optimizer": OPTIMIZERS[2]})
    wrapper.optimizer = Own(groups, lr=0.1)
    state = wrapper.state_dict()
    assert MergedGroups(wrapper).of_state(state) is state
    assert len(wrapper.optimizer.param_groups) == 8


@pytest.mark.parametrize("state", [None, 5, {}, {"param_groups": []}, {"param_groups": [{}], "state": {}}])
def test_a_state_of_another_kind_is_left_to_the_checks(state):
    _, wrapper = new_training(OPTIMIZERS[0])
    assert MergedGroups(wrapper).of_state(state) is state


def test_the_runner_merges_and_resumes_what_was_not_merged(toy_config, monkeypatch):
    toy_config.optim_wrapper.paramwise_cfg = {"bias_decay_mult": 0.0}
    toy_config.optim_wrapper.optimizer.weight_decay = 0.1
    with monkeypatch.context() as before:
        before.setattr("dfmamba.engine.runner.MergedGroups", lambda wrapper: None)
        first = ReproducibleRunner.from_cfg(toy_config)
        first.train()
    assert len(first.optim_wrapper.optimizer.param_groups) == len(list(first.model.parameters()))
    toy_config.train_cfg.max_epochs = 3
    toy_config.resume = True
    toy_config.experiment_name += "_resumed"
    second = ReproducibleRunner.from_cfg(toy_config)
    second.train()
    assert len(second.optim_wrapper.optimizer.param_groups) == 2
    assert second.epoch == 3
    (step,) = {int(one["step"]) for one in second.optim_wrapper.optimizer.state.values()}
    assert step == second.iter
