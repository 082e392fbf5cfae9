"""Two processes on the CPU, with gloo: the same metrics as one, and one message when something is wrong."""

import json
import os
import re
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
import torch.distributed.run
from mmengine.config import Config

import tool_process
from dfmamba.engine import ConfigError
from dfmamba.engine.distributed import TIMEOUT_S, join_processes

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
TOY = FOLDER / "toy_config.py"
TORCHRUN = ["--standalone", "--nproc_per_node=2"]
without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


def run(tool, *arguments, cwd, torchrun=False):
    """Run a tool in one process, or by torchrun in two; return exit code, standard output and standard error."""
    command = [ROOT / "tools" / f"{tool}.py", *arguments]
    if torchrun:
        command = [torch.distributed.run.__file__, *TORCHRUN, *command, "--launcher", "pytorch"]
    done = tool_process.run(*command, cwd=cwd, imports=[FOLDER, ROOT / "tools"], limit_s=300)
    return done.returncode, done.stdout, done.stderr


def run_two(tool, *arguments, cwd, launcher="pytorch"):
    """Run a tool in two processes that know each other as a launcher tells them to; return codes, outputs, errors.

    torchrun starts an interpreter for each, which takes its time: one test does it so.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(probe.getsockname()[1])}
    names = {
        "pytorch": ("RANK", "LOCAL_RANK", "WORLD_SIZE"),
        "slurm": ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS"),
    }

    def start(rank):
        env = {**address, **dict(zip(names[launcher], (rank, rank, "2"), strict=True))}
        command = [ROOT / "tools" / f"{tool}.py", *arguments, "--launcher", launcher]
        return tool_process.run(*command, env=env, imports=[FOLDER, ROOT / "tools"], cwd=cwd, limit_s=300)

    with ThreadPoolExecutor(2) as threads:
        done = list(threads.map(start, "01"))
    return [one.returncode for one in done], "".join(one.stdout for one in done), "".join(one.stderr for one in done)


def messages(stderr):
    """Return our own messages."""
    return re.findall(r"^tools/\w+\.py: .*$", stderr, re.MULTILINE)


@pytest.mark.slow
@without_gpu
def test_two_processes_train_and_give_the_metrics_of_one(tmp_path):
    """Of 7 samples one process gets 4, the other one 3."""
    options = ["--cfg-options", "num_samples=7"]
    code, out, err = run("train", TOY, "--work-dir", tmp_path / "work", *options, cwd=tmp_path, torchrun=True)
    assert code == 0, err
    assert out.count("training done") == 1
    results = []
    for number, run_test in enumerate((run, run_two)):
        file = tmp_path / f"{number}.json"
        test = ["test", TOY, tmp_path / "work" / "epoch_2.pth", "--work-dir", tmp_path / f"of{number}", "--out", file]
        code, out, err = run_test(*test, *options, cwd=tmp_path)
        assert code in (0, [0, 0]), err
        assert len(re.findall(r"^toy/error_px", out, re.MULTILINE)) == 1
        results.append(json.loads(file.read_text()))
    assert results[0]["metrics"] == results[1]["metrics"]
    assert results[1]["data"]["num_samples"] == 7


@pytest.mark.slow
@without_gpu
def test_two_processes_learn_what_one_learns_from_twice_the_batch(tmp_path):
    """DDP takes the mean of the gradients: two of two samples are one of four. Eight samples, in order."""
    shared = ["train_dataloader.sampler.shuffle=False", "train_cfg.max_epochs=1", "optim_wrapper.optimizer.type=SGD"]
    weights = []
    for number, (run_training, batch) in enumerate(((run, 4), (run_two, 2))):
        folder = tmp_path / str(number)
        options = ["--cfg-options", *shared, f"train_dataloader.batch_size={batch}"]
        code, _, err = run_training("train", TOY, "--work-dir", folder, *options, cwd=tmp_path)
        assert code in (0, [0, 0]), err
        weights.append(torch.load(folder / "epoch_1.pth")["state_dict"])
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value)


@pytest.mark.slow
@without_gpu
@pytest.mark.parametrize("option", ["modle.width=3", "train_dataloader.dataset.fault=zero_weights"])
def test_a_mistake_that_all_find_is_told_once(tmp_path, option):
    arguments = ["--work-dir", tmp_path / "work", "--cfg-options", option]
    code, _, err = run("train", TOY, *arguments, cwd=tmp_path, torchrun=True)
    assert code != 0
    assert len(messages(err)) == 1
    assert "tools/train.py" not in "".join(re.findall(r'^  File ".*', err, re.MULTILINE))  # torchrun's are there


@pytest.mark.slow
@without_gpu
@pytest.mark.parametrize(("how", "rank"), [("killed", 1), ("data", 1), ("bug", 0)])
def test_the_end_of_one_process_ends_the_run(tmp_path, how, rank):
    config = tmp_path / "config.py"
    config.write_text(
        f"_base_ = [{str(TOY)!r}]\n"
        "custom_imports = dict(imports=['toy_project', 'failing_process', 'dfmamba.engine'])\n"
        f"train_dataloader = dict(dataset=dict(type='FailingHands', how={how!r}, rank={rank}))\n"
    )
    code, _, err = run("train", config, "--work-dir", tmp_path / "work", cwd=tmp_path, torchrun=True)
    assert code != 0
    told = messages(err)
    lost = [message for message in told if f"process {1 - rank} lost contact" in message]
    assert len(lost) <= 1  # none where torchrun was quicker
    assert [message for message in told if message not in lost] == (
        ["tools/train.py: a.json: record 3: broken"] if how == "data" else []
    )
    assert len(re.findall(r"^\[rank0\]: ZeroDivisionError: a bug", err, re.MULTILINE)) == (how == "bug")
    assert "gloo" not in err


@pytest.mark.slow
def test_the_end_of_a_run_does_not_hang(tmp_path):
    """Freed by the model's wrapper, the group hung once in some hundred runs; here it ends 300 times."""
    script = tmp_path / "script.py"
    script.write_text(
        "import gc, sys, torch\n"
        "from torch import distributed\n"
        "from dfmamba.engine.distributed import leave_processes\n"
        "gc.freeze()  # makes the collections quick\n"
        "for number in range(300):\n"
        "    store = distributed.FileStore(f'store_{number}', 2)\n"
        "    distributed.init_process_group('gloo', store=store, rank=int(sys.argv[1]), world_size=2)\n"
        "    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(3, 3))\n"
        "    distributed.all_gather_object([None, None], ['metrics'])\n"
        "    distributed.all_gather([torch.zeros(10000), torch.zeros(10000)], torch.ones(10000))\n"
        "    model = [model]\n"
        "    model.append(model)  # freed by the garbage collector, as a runner is\n"
        "    del model\n"
        "    leave_processes()\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT / "projects"), "OMP_NUM_THREADS": "1"}
    started = [subprocess.Popen([sys.executable, str(script), rank], env=env, cwd=tmp_path) for rank in "01"]
    try:
        assert [process.wait(timeout=120) for process in started] == [0, 0]
    finally:
        for process in started:
            process.kill()


@pytest.fixture
def alone(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("launcher", "message"),
    [
        ("pytorch", "RANK, WORLD_SIZE, LOCAL_RANK of a launcher, got none. Start with: torchrun"),
        ("slurm", "SLURM_PROCID, .* started by srun"),
        ("mpi", "OMPI_COMM_WORLD_RANK, .* mpirun"),
    ],
)
def test_a_process_that_no_launcher_started(alone, launcher, message):
    with pytest.raises(ConfigError, match=message):
        join_processes(Config({"launcher": launcher}))


@pytest.mark.slow
@without_gpu
def test_processes_that_slurm_starts_train_together(tmp_path):
    """With the variables that srun sets; there is no Slurm here."""
    options = ["--work-dir", "work", "--cfg-options", "train_cfg.max_epochs=1"]
    codes, out, err = run_two("train", TOY, *options, cwd=tmp_path, launcher="slurm")
    assert codes == [0, 0], err
    assert out.count("training done") == 1


@without_gpu
@pytest.mark.parametrize("launcher", ["slurm", "mpi"])
def test_without_gpus_other_launchers_need_an_address(alone, launcher):
    names = {"slurm": ("SLURM_PROCID", "SLURM_NTASKS"), "mpi": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE")}
    for name, value in zip(names[launcher], ("0", "1"), strict=True):
        alone.setenv(name, value)
    with pytest.raises(ConfigError, match="MASTER_ADDR and MASTER_PORT"):
        join_processes(Config({"launcher": launcher}))


@without_gpu
def test_batch_norms_over_processes_need_gpus(alone):
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR"):
        alone.setenv(name, "0")
    alone.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="sync_bn"):
        join_processes(Config({"launcher": "pytorch", "sync_bn": "torch"}))


def test_fewer_gpus_than_processes_are_refused(alone):
    for name, value in {"RANK": "3", "LOCAL_RANK": "3", "WORLD_SIZE": "4", "MASTER_ADDR": "localhost"}.items():
        alone.setenv(name, value)
    alone.setattr(torch.cuda, "is_available", lambda: True)
    alone.setattr(torch.cuda, "device_count", lambda: 2)
    config = Config({"launcher": "pytorch"})
    with pytest.raises(ConfigError, match="got process 4 and 2 GPUs"):
        join_processes(config)
    assert config.env_cfg.dist_cfg.timeout == TIMEOUT_S
