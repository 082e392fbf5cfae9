"""The tools as a user calls them: processes, exit codes, files."""

import json
import os
import pickle
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import tool_process

ROOT = Path(__file__).resolve().parents[2]
TOY = ROOT / "tests" / "engine" / "toy_config.py"
pytestmark = pytest.mark.slow


def call(tool: str, *arguments, code: int = 0) -> str:
    done = tool_process.run(ROOT / "tools" / f"{tool}.py", *arguments, imports=[TOY.parent], merge=True)
    assert done.returncode == code, done.stdout
    return done.stdout


@pytest.fixture
def call_here(monkeypatch, capfd):
    """Like `call`, in this process: quicker where much is to be tried."""

    def run(tool: str, *arguments, code: int) -> str:
        script = str(ROOT / "tools" / f"{tool}.py")
        monkeypatch.syspath_prepend(str(TOY.parent))
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(script, run_name="__main__")
        output = "".join(capfd.readouterr())
        assert stop.value.code == code, output
        return output

    return run


@pytest.fixture(scope="module")
def work_dir(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    call("train", TOY, "--work-dir", folder)
    return folder


def test_training_leaves_checkpoints_and_a_curve(work_dir):
    for name in ("epoch_1.pth", "epoch_2.pth", "loss_curve.png", "toy_config.py"):
        assert (work_dir / name).is_file()
    assert list(work_dir.glob("best_toy_error_px_*.pth"))


def test_resume_goes_on_from_the_last_checkpoint(work_dir, tmp_path):
    output = call("train", TOY, "--work-dir", tmp_path, "--resume", work_dir / "epoch_1.pth", "--no-validate")
    assert "resumed epoch: 1, iter: 4" in output
    assert "Epoch(train) [2]" in output
    assert "Epoch(train) [1]" not in output
    assert "Epoch(val)" not in output


def test_testing_prints_one_table_and_writes_json_and_a_sheet(work_dir, tmp_path):
    output = call(
        "test",
        TOY,
        work_dir / "epoch_2.pth",
        "--work-dir",
        tmp_path,
        "--out",
        tmp_path / "sub" / "r.json",
        "--num-overlays",
        4,
    )
    table = re.findall(r"^toy/error_px +\d+\.\d{4}$", output, re.MULTILINE)
    assert len(table) == 1
    result = json.loads((tmp_path / "sub" / "r.json").read_text())
    assert f"{result['metrics']['toy/error_px']:.4f}" in table[0]
    assert result["data"] == {"dataset": "ToyHands", "num_samples": 8, "synthetic": False}
    assert len(result["checkpoint"]["sha256"]) == 64
    assert result["versions"]["torch"] == torch.__version__.split("+")[0]
    assert (tmp_path / "contact_sheet.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        ([TOY.with_name("toy_confg.py")], ["no config file", "toy_config.py"]),
        ([TOY, "--cfg-options", "modle.width=3"], ["unknown key 'modle.width'", "model.width"]),
        ([TOY, "--cfg-options", "model.type=ToyModl"], ["model.type: nothing is registered as 'ToyModl'", "ToyModel"]),
        ([TOY, "--cfg-options", "model.width=big"], ["TypeError"]),
        ([TOY, "--resume", "no/such/epoch_1.pth"], ["no checkpoint"]),
        ([TOY, "--auto-scale-lr"], ["lacks auto_scale_lr"]),
        ([ROOT / "configs" / "_base_" / "default_runtime.py"], ["lacks model"]),
    ],
)
def test_a_users_mistake_is_one_message_and_exit_code_2(call_here, tmp_path, arguments, messages):
    output = call_here("train", *arguments, "--work-dir", tmp_path, code=2)
    assert "tools/train.py: " in output
    assert "Traceback" not in output
    for message in messages:
        assert message in output


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("modle.width=3", "tools/train.py: --cfg-options: unknown key 'modle.width': the config has no 'modle'."),
        ("train_dataloader.dataset.fault=zero_weights", "tools/train.py: first batch: all 42 entries of"),
    ],
)
def test_the_message_ends_a_real_process_without_a_traceback(tmp_path, option, message):
    output = call("train", TOY, "--work-dir", tmp_path, "--cfg-options", option, code=2)
    assert message in output
    assert "Traceback" not in output


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize(("flag", "message"), [(["--amp"], "needs a GPU"), (["--launcher", "pytorch"], "torchrun")])
def test_what_needs_a_gpu_says_so(call_here, tmp_path, flag, message):
    assert message in call_here("train", TOY, *flag, "--work-dir", tmp_path, code=2)


class Evil:
    def __reduce__(self):
        return os.system, ("echo evil",)


def test_bad_checkpoints_are_refused(call_here, work_dir, tmp_path):
    evil, wrong = tmp_path / "evil.pth", tmp_path / "wrong.pth"
    with evil.open("wb") as file:
        pickle.dump({"state_dict": Evil()}, file)
    torch.save({"state_dict": {"layer.weight": torch.zeros(2, 2)}}, wrong)
    for checkpoint, message in [
        (evil, "names posix.system, which is no plain data; nothing of the file was run"),
        (wrong, "0 of 2 weights loaded; 1 of another shape, not loaded (layer.weight: (2, 2) instead of"),
        (work_dir / "epoch_3.pth", "epoch_2.pth"),
    ]:
        output = call_here("test", TOY, checkpoint, "--work-dir", tmp_path, code=2)
        assert message in output
        assert "evil\n" not in output
        assert "Traceback" not in output


@pytest.mark.parametrize("tool", ["train", "test", "env_check"])
def test_help_needs_no_environment(tool):
    script = ROOT / "tools" / f"{tool}.py"
    done = subprocess.run([sys.executable, "-S", str(script), "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if tool != "env_check":
        assert "(default:" in done.stdout


@pytest.mark.parametrize("tool", ["train", "test"])
def test_outside_the_environment_the_message_names_make_setup(tool):
    arguments = ["c.py"] if tool == "train" else ["c.py", "x.pth"]
    done = subprocess.run(
        [sys.executable, "-S", str(ROOT / "tools" / f"{tool}.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )
    assert done.returncode != 0
    assert "make setup" in done.stderr
    assert ".venv/bin/python" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
