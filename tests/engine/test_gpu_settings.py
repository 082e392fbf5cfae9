"""What a training does only where there is a GPU, tried without one: torch is told that it sees one."""

import argparse
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from dfmamba.cli.train import apply_options, parse_args
from dfmamba.engine import ReproducibleRunner
from dfmamba.engine.config import load_config

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("dfmamba_*.py"))


@pytest.fixture
def with_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")  # mmengine's logger looks


def options(amp: str | None) -> argparse.Namespace:
    return argparse.Namespace(resume=None, amp=amp, no_validate=False, auto_scale_lr=False)


@pytest.mark.parametrize(
    ("flags", "dtype", "loss_scale"),
    [(["--amp"], "float16", "dynamic"), (["--amp", "bfloat16"], "bfloat16", {"enabled": False})],
)
def test_amp_sets_the_type_and_scales_the_loss_only_in_float16(with_gpu, monkeypatch, flags, dtype, loss_scale):
    monkeypatch.setattr(sys, "argv", ["train", "config.py", *flags])
    config = Config({"optim_wrapper": {"optimizer": {"type": "Adam", "lr": 1e-3}}})
    apply_options(config, options(parse_args().amp))
    assert config.optim_wrapper.type == "AmpOptimWrapper"
    assert config.optim_wrapper.dtype == dtype
    assert config.optim_wrapper.loss_scale == loss_scale


def test_amp_keeps_the_scale_of_the_config(with_gpu):
    config = Config({"optim_wrapper": {"type": "AmpOptimWrapper", "loss_scale": 128.0}})
    apply_options(config, options("float16"))
    assert config.optim_wrapper.loss_scale == 128.0


def loader(**settings):
    settings = {"batch_size": 1, "num_workers": 0, "sampler": {"type": "DefaultSampler", "shuffle": False}, **settings}
    return ReproducibleRunner.build_dataloader({"dataset": [1, 2, 3], **settings})


def test_batches_are_pinned_where_there_is_a_gpu(with_gpu):
    assert loader().pin_memory
    assert not loader(pin_memory=False).pin_memory


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_batches_are_not_pinned_without_one():
    assert not loader().pin_memory


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_main_configs_copy_while_computing_and_fuse_the_optimizer(path):
    config = load_config(path)
    assert config.model.data_preprocessor.non_blocking
    assert config.optim_wrapper.optimizer.fused
