"""Where a config's values come from: worked out by hand on a small chain, and for all configs of the repository."""

from pathlib import Path

import pytest
from mmengine.config import Config

import list_configs
import print_config
from dfmamba.engine.config_origins import COMMAND_LINE, format_settings, settings_with_origin
from dfmamba.engine.errors import ConfigError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def chain(tmp_path):
    """Write a config that inherits two files, one of which inherits a third; return the folder."""
    (tmp_path / "root.py").write_text("train_cfg = dict(by_epoch=True, max_epochs=1)\nlr = 0.1\n")
    (tmp_path / "schedule.py").write_text("_base_ = 'root.py'\ntrain_cfg = dict(max_epochs=2, val_interval=1)\n")
    (tmp_path / "runtime.py").write_text(
        "log_level = 'INFO'\nenv_cfg = dict(cudnn_benchmark=True, dist_cfg=dict(backend='nccl'))\n"
        "param_scheduler = [dict(type='LinearLR', end=5), dict(type='StepLR', step_size=3)]\n"
    )
    (tmp_path / "config.py").write_text(
        "_base_ = ['schedule.py', 'runtime.py']\n"
        "train_cfg = dict(val_interval=5)\n"
        "log_level = 'INFO'\n"
        "env_cfg = dict(_delete_=True, dist_cfg=dict(backend='gloo'))\n"
        "param_scheduler = [dict(type='LinearLR', end=5), dict(type='StepLR', step_size=9)]\n"
    )
    return tmp_path


def test_each_value_has_the_file_that_set_it(chain):
    options = ["train_cfg.max_epochs=7", "env_cfg.dist_cfg.backend=gloo"]
    found = {
        key: (value, Path(origin).name) for key, value, origin, _ in settings_with_origin(chain / "config.py", options)
    }
    assert found == {
        "train_cfg.by_epoch": (True, "root.py"),
        "train_cfg.max_epochs": (7, COMMAND_LINE),
        "train_cfg.val_interval": (5, "config.py"),
        "lr": (0.1, "root.py"),
        "log_level": ("INFO", "runtime.py"),  # config.py only repeats it
        "env_cfg.dist_cfg.backend": ("gloo", "config.py"),  # the option only repeats it
        "param_scheduler.0": ({"type": "LinearLR", "end": 5}, "runtime.py"),
        "param_scheduler.1": ({"type": "StepLR", "step_size": 9}, "config.py"),
    }


def test_lines_are_read_at_a_glance(chain, monkeypatch):
    monkeypatch.chdir(chain)
    lines = format_settings(settings_with_origin("config.py", ["train_cfg.max_epochs=7"])).splitlines()
    assert "train_cfg.max_epochs = 7  # --cfg-options" in lines
    assert "train_cfg.by_epoch = True  # root.py" in lines
    assert lines[-2:] == ["# Not read by mmengine: variables that the files use", "lr = 0.1  # root.py"]


def test_a_base_of_another_package_is_named(tmp_path):
    pytest.importorskip("mmpose")
    path = tmp_path / "config.py"
    path.write_text("_base_ = 'mmpose::_base_/default_runtime.py'\nlog_level = 'ERROR'\n")
    origins = {setting.key: setting.origin for setting in settings_with_origin(path)}
    assert origins["log_level"] == str(path)
    assert origins["env_cfg.cudnn_benchmark"].endswith("mmpose/.mim/configs/_base_/default_runtime.py")


def test_a_config_in_the_other_style_is_refused(tmp_path):
    (tmp_path / "base.py").write_text("log_level = 'INFO'\n")
    path = tmp_path / "config.py"
    path.write_text("from mmengine.config import read_base\nwith read_base():\n    from .base import *\n")
    with pytest.raises(ConfigError, match=r"expected a config that inherits by _base_ = \[...\]"):
        settings_with_origin(path)


def leaves(node, prefix=""):
    """Return the values of a config by key, written apart from the code under test."""
    if isinstance(node, dict) and node:
        return {k: v for name, child in node.items() for k, v in leaves(child, f"{prefix}{name}.").items()}
    if isinstance(node, list | tuple) and any(isinstance(entry, dict) for entry in node):
        return {f"{prefix}{number}": entry for number, entry in enumerate(node)}
    return {prefix[:-1]: node}


@pytest.mark.parametrize("path", list_configs.leaves(), ids=lambda path: str(path.relative_to(ROOT)))
def test_values_are_those_of_mmengine_and_each_origin_has_its_value(path):
    pytest.importorskip("mmpose")
    settings = settings_with_origin(path)
    assert {setting.key: setting.value for setting in settings} == leaves(Config.fromfile(str(path))._cfg_dict)
    for origin in {setting.origin for setting in settings}:
        held = leaves(Config.fromfile(origin, import_custom_modules=False)._cfg_dict)
        for setting in settings:
            if setting.origin == origin and "mmpose" not in origin and "mmdet" not in origin:
                assert held[setting.key] == setting.value


def test_the_tool(chain, monkeypatch, capsys):
    monkeypatch.setattr(
        "sys.argv", ["print_config", str(chain / "config.py"), "--cfg-options", "train_cfg.max_epochs=9"]
    )
    print_config.main()
    assert "train_cfg.max_epochs = 9  # --cfg-options\n" in capsys.readouterr().out
