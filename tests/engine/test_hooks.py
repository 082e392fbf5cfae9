import re
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from dfmamba.engine import BatchError, ReproducibleRunner
from dfmamba.engine.hooks import LossCurveHook, ProgressHook, loss_curve
from dfmamba.engine.plain_values import from_plain, to_plain


def train(config, name: str, **changes) -> ReproducibleRunner:
    config = config.copy()
    config.merge_from_dict(changes)
    config.experiment_name = f"{config.experiment_name}_{name}"
    runner = ReproducibleRunner.from_cfg(config)
    runner.train()
    return runner


def log_of(runner: ReproducibleRunner) -> str:
    return "".join(path.read_text() for path in Path(runner.log_dir).glob("*.log"))


@pytest.fixture
def trained(toy_config) -> ReproducibleRunner:
    return train(toy_config, "trained")


@pytest.mark.slow
def test_the_loss_curve_is_a_picture_with_curves_in_it(trained):
    picture = cv2.imread(f"{trained.work_dir}/loss_curve.png")
    assert picture.shape[0] > 500  # two panels
    colours, counts = np.unique(picture.reshape(-1, 3), axis=0, return_counts=True)
    assert len(colours) > 50
    red = np.array([40, 39, 214])  # matplotlib's tab:red, in BGR: the validation metric
    assert counts[(colours == red).all(axis=1)].sum() > 100


def test_the_loss_curve_is_renewed_after_a_pause_and_at_the_end(monkeypatch):
    hook, drawn = LossCurveHook(), []
    monkeypatch.setattr(hook, "_draw", drawn.append)
    for now_s in (100, 101, 109, 111, 120, 122):
        monkeypatch.setattr(loss_curve, "time", SimpleNamespace(monotonic=lambda now_s=now_s: now_s))
        hook.after_train_epoch(now_s)
    assert drawn == [100, 111, 122]
    hook.after_train("end")
    assert drawn[-1] == "end"


def test_the_checkpoint_opens_with_plain_torch_load(trained):
    checkpoint = torch.load(f"{trained.work_dir}/epoch_2.pth", weights_only=True)
    assert len(checkpoint["message_hub"]["log_scalars"]["train/loss"]["history_values"]) == 8
    assert checkpoint["message_hub"]["runtime_info"]["steps_of_validation"] == [4]
    assert checkpoint["meta"]["cfg"] == trained.cfg.pretty_text


@pytest.mark.slow
def test_resuming_gives_the_same_weights_as_not_stopping(toy_config, tmp_path):
    toy_config.train_cfg.max_epochs = 4
    toy_config.default_hooks.checkpoint.max_keep_ckpts = -1
    whole = train(toy_config, "whole", work_dir=str(tmp_path / "whole"))
    halfway = str(tmp_path / "whole" / "epoch_2.pth")
    resumed = train(toy_config, "resumed", work_dir=str(tmp_path / "resumed"), resume=True, load_from=halfway)
    assert "resumed epoch: 2, iter: 8" in log_of(resumed)
    assert "metainfo from the resumed checkpoint is different" not in log_of(resumed)
    expected = whole.model.state_dict()
    assert all(torch.equal(weight, expected[name]) for name, weight in resumed.model.state_dict().items())
    assert not torch.equal(torch.load(halfway)["state_dict"]["layer.weight"], expected["layer.weight"])
    history = resumed.message_hub.get_scalar("train/loss").data[0]
    np.testing.assert_array_equal(history, whole.message_hub.get_scalar("train/loss").data[0])


def test_the_first_batch_is_described_once(trained):
    log = log_of(trained)
    assert log.count("first batch: 2 samples") == 1
    assert "keypoint_weights: 100.0% of 42 are not zero" in log
    assert re.search(r"camera space, mm: x -?[\d.]+ to [\d.]+, y .*, z 7\d\d\.?\d* to 8\d\d", log)
    assert "steps_of_validation" not in log


def test_zero_weights_stop_the_training(toy_config):
    with pytest.raises(BatchError, match=r"all 42 entries of 'keypoint_weights' are zero.*/toy/seq"):
        train(toy_config, "zero", **{"train_dataloader.dataset.fault": "zero_weights"})


def test_nan_targets_stop_the_training(toy_config):
    with pytest.raises(BatchError, match="'keypoint_labels' has 126 of 126 values that are NaN or infinite"):
        train(toy_config, "nan", **{"train_dataloader.dataset.fault": "nan_target"})


def test_progress_shows_epoch_loss_and_time_left_and_gives_the_log_back(toy_config, capsys):
    toy_config.custom_hooks = [{"type": "ProgressHook", "enabled": True}]
    runner = train(toy_config, "progress")
    shown = capsys.readouterr().out
    assert "epoch 2/2" in shown
    assert re.search(r"8/8", shown)
    assert "loss " in shown
    assert "left" in shown
    hook = next(hook for hook in runner.hooks if isinstance(hook, ProgressHook))
    assert hook.progress is None
    assert not any(
        type(handler.stream).__name__ == "FileProxy" for handler in runner.logger.handlers if hasattr(handler, "stream")
    )


def test_without_a_terminal_there_is_no_bar(toy_config, capsys):
    train(toy_config, "plain")
    assert "━" not in capsys.readouterr().out


@pytest.mark.parametrize(("num_samples", "tiles"), [(3, "image0.jpg image4.jpg image7.jpg"), (100, None)])
def test_the_contact_sheet_shows_samples_spread_over_the_test_set(toy_config, num_samples, tiles):
    toy_config.custom_hooks = [{"type": "ContactSheetHook", "num_samples": num_samples, "tile_px": 100}]
    runner = ReproducibleRunner.from_cfg(toy_config)
    runner.test()
    hook = next(hook for hook in runner.hooks if type(hook).__name__ == "ContactSheetHook")
    names = [caption.splitlines()[0].split("/")[-1] for caption in hook._captions]
    assert len(names) == min(num_samples, 8)
    if tiles:
        assert names == tiles.split()
    assert all(re.fullmatch(r"\d+\.\d mm", caption.splitlines()[1]) for caption in hook._captions)
    assert cv2.imread(f"{runner.work_dir}/contact_sheet.png") is not None


def test_plain_values_come_back_as_they_were():
    value = {"a": HistoryBuffer([1.0, 2.0], [1, 1]), "b": [np.arange(3), "x", None], "c": {"d": np.float32(2.5)}}
    back = from_plain(to_plain(value))
    assert back["a"].data[0].tolist() == [1.0, 2.0]
    assert back["b"][0].dtype == np.int64
    assert back["b"][1:] == ["x", None]
    assert back["c"] == {"d": 2.5}
