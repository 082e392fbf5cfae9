"""A training that was killed, stopped or out of disk, and resumed, equals the undisturbed one bit for bit."""

import signal
from pathlib import Path

import pytest
import torch
from training_case import OPTIONS, TOY, finish, train

from dfmamba.engine.faults import WRITE_STAGES, Fault
from dfmamba.engine.soak import differences, find_unreadable

pytestmark = pytest.mark.slow
LOOPS = {
    "epochs": {},
    "iterations, endless sampler": {
        "config": TOY.with_name("toy_iter_config.py"),
        "options": (*OPTIONS[1:-1], "train_dataloader.sampler.type=InfiniteSampler"),
    },
    "iterations, sampler with an end": {"config": TOY.with_name("toy_iter_config.py"), "options": OPTIONS[1:-1]},
    "gradients of three batches": {"options": (*OPTIONS, "optim_wrapper.accumulative_counts=3")},
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The work folder of an undisturbed training, by the name of the loop; each is trained once."""
    folder, done = tmp_path_factory.mktemp("undisturbed"), {}

    def get(loop: str = "epochs") -> Path:
        if loop not in done:
            done[loop] = folder / f"run{len(done)}"
            assert train(done[loop], **LOOPS[loop]) == 0, done[loop].with_suffix(".log").read_text()[-3000:]
        return done[loop]

    return get


def test_two_trainings_are_equal_and_another_seed_is_not(undisturbed, tmp_path):
    assert train(tmp_path / "run", options=(*OPTIONS, "randomness.seed=1")) == 0
    found = differences(undisturbed(), tmp_path / "run")
    assert "epoch_3.pth: state_dict" in found
    assert "epoch_3.pth: train/loss" in found


# Of the 13 writes of the training: 0 to 4 are the first epoch's state, pointer, best, state and pointer again.
@pytest.mark.parametrize(("write", "stage"), [(0, 0), (1, 1), (2, 2), (3, 0), (6, 2)])
def test_a_kill_inside_a_write_loses_nothing(undisturbed, tmp_path, write, stage):
    work_dir = tmp_path / "run"
    assert train(work_dir, fault=Fault("kill", write=write, stage=WRITE_STAGES[stage])) == -signal.SIGKILL
    assert find_unreadable(work_dir, had_state=write > 0) == []
    finish(work_dir)
    assert differences(undisturbed(), work_dir) == []
    assert not list(work_dir.glob("*.tmp"))


@pytest.mark.parametrize(
    ("loop", "number", "iteration"),
    [
        ("epochs", signal.SIGKILL, 7),
        ("epochs", signal.SIGTERM, 6),
        ("epochs", signal.SIGINT, 8),
        ("iterations, endless sampler", signal.SIGTERM, 6),
        ("iterations, sampler with an end", signal.SIGKILL, 7),
        ("gradients of three batches", signal.SIGKILL, 7),
        ("gradients of three batches", signal.SIGTERM, 7),
    ],
)
def test_a_signal_in_training_loses_nothing(undisturbed, tmp_path, loop, number, iteration):
    work_dir = tmp_path / "run"
    code = train(work_dir, fault=Fault("signal", at_iter=iteration, signal_number=number), **LOOPS[loop])
    assert code == (-number if number == signal.SIGKILL else 128 + number)
    if number != signal.SIGKILL:
        output = work_dir.with_suffix(".log").read_text()
        assert "saving at the next step, then stopping" in output
        assert "Go on with --resume" in output
        assert "Traceback" not in output
        assert list(work_dir.glob("*.pth"))
    finish(work_dir, **LOOPS[loop])
    assert differences(undisturbed(loop), work_dir) == []


def test_a_full_disk_is_one_line_and_loses_nothing(undisturbed, tmp_path):
    work_dir = tmp_path / "run"
    assert train(work_dir, fault=Fault("full disk", max_file_bytes=100_000)) == 2
    last = work_dir.with_suffix(".log").read_text().strip().splitlines()[-1]
    assert last.startswith("tools/train.py: ")
    assert "File too large" in last
    assert "epoch_1.pth" in last
    assert find_unreadable(work_dir, had_state=False) == []
    finish(work_dir)
    assert differences(undisturbed(), work_dir) == []


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize(
    ("options", "messages"),
    [
        (("model.width=4",), ["does not fit the model", "layer.weight: (63, 192) instead"]),
        (
            ("optim_wrapper.optimizer.type=SGD", "optim_wrapper.optimizer.lr=0.1", "param_scheduler=[]"),
            ["does not fit"],
        ),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_one_line_and_touches_nothing(undisturbed, tmp_path, options, messages):
    work_dir = undisturbed()
    before = files_of(work_dir)
    log = work_dir.with_suffix(".log")
    log.write_text("")
    assert train(work_dir, "--resume", options=(*OPTIONS, "train_cfg.max_epochs=4", *options)) == 2
    output = log.read_text()
    assert "Traceback" not in output
    assert output.strip().splitlines()[-1].startswith("tools/train.py: ")
    assert all(message in output for message in messages)
    assert files_of(work_dir) == before


def test_what_lacks_a_state_is_refused_with_the_way_out(undisturbed, tmp_path):
    best = next(undisturbed().glob("best_*.pth"))
    assert train(tmp_path / "run", "--resume", str(best)) == 2
    last = (tmp_path / "run.log").read_text().strip().splitlines()[-1]
    assert "cannot be resumed from, it lacks optimizer, param_schedulers" in last
    assert "load_from" in last


def test_another_number_of_processes_is_refused(undisturbed, tmp_path):
    content = torch.load(undisturbed() / "epoch_3.pth")
    content["meta"]["num_processes"] = 2
    torch.save(content, tmp_path / "epoch_3.pth")
    assert train(tmp_path / "run", "--resume", str(tmp_path / "epoch_3.pth")) == 2
    last = (tmp_path / "run.log").read_text().strip().splitlines()[-1]
    assert "was written by 2 processes, this training has 1" in last


def test_a_finished_training_and_changed_settings_are_said(undisturbed, tmp_path):
    state = undisturbed() / "epoch_3.pth"
    options = (*OPTIONS, "optim_wrapper.optimizer.lr=0.5", "train_dataloader.batch_size=4")
    assert train(tmp_path / "run", "--resume", str(state), options=options) == 0
    output = (tmp_path / "run.log").read_text()
    assert "nothing is left to train" in output
    assert "optim_wrapper.optimizer.lr was 0.01, is 0.5 now: 0.01 holds, it is part of the checkpoint's state" in output
    assert "train_dataloader.batch_size was 2, is 4 now: 4 holds" in output


def test_fine_tuning_says_what_was_loaded(undisturbed, tmp_path):
    source = next(undisturbed().glob("best_*.pth"))
    options = (*OPTIONS, f"load_from={source}", "train_cfg.max_epochs=1")
    assert train(tmp_path / "run", options=options) == 0
    assert f"Load checkpoint from {source}: 2 of 2 weights loaded" in (tmp_path / "run.log").read_text()
    torch.save({"state_dict": {"other": torch.ones(1)}}, tmp_path / "other.pth")
    options = (*OPTIONS, f"load_from={tmp_path / 'other.pth'}")
    assert train(tmp_path / "run2", options=options) == 2
    assert "no weight fits the model" in (tmp_path / "run2.log").read_text().strip().splitlines()[-1]


def test_a_diverged_training_keeps_its_last_good_state(tmp_path):
    work_dir = tmp_path / "run"
    assert train(work_dir, options=(*OPTIONS, "train_cfg.max_epochs=1")) == 0
    state = work_dir / "epoch_1.pth"
    content = torch.load(state)
    content["optimizer"]["param_groups"][0]["lr"] = float("nan")
    torch.save(content, state)
    assert train(work_dir, "--resume") == 2
    last = work_dir.with_suffix(".log").read_text().strip().splitlines()[-1]
    assert "of the weight layer.weight are NaN or infinite" in last
    assert "older checkpoints are kept" in last
    assert state.is_file()
