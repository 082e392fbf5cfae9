"""No checkpoint file can run code, and what is refused is named."""

import contextlib
import functools
import pickle

import pytest
import torch
from hostile_checkpoints import HOSTILE
from mmengine.runner.checkpoint import CheckpointLoader, load_checkpoint
from torch import nn

from dfmamba.engine.checkpoint_file import open_checkpoint
from dfmamba.engine.checkpoint_folder import newest_checkpoint
from dfmamba.engine.errors import ConfigError
from dfmamba.engine.weights import CheckedPretrained

pytestmark = pytest.mark.filterwarnings("ignore:Detected pickle protocol")


@pytest.fixture(scope="module")
def runner(tmp_path_factory):
    """A runner of the toy project with its optimizer built, as it is when checkpoints are loaded."""
    import toy_project  # noqa: F401
    from training_case import TOY

    from dfmamba.engine import ReproducibleRunner, load_config

    config = load_config(TOY)
    config.work_dir = str(tmp_path_factory.mktemp("work"))
    runner = ReproducibleRunner.from_cfg(config)
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
    return runner


def resume(runner, path):
    runner.resume(str(path))


def resume_automatically(runner, path):
    (path.parent / "last_checkpoint").write_text(str(path))
    found = newest_checkpoint(path.parent)
    assert found is not None
    runner.resume(str(found))


def load_from(runner, path):
    runner.load_checkpoint(str(path))


def init_cfg(runner, path):
    CheckedPretrained(str(path))(nn.Linear(3, 2))


def test_tool(runner, path):
    runner.load_checkpoint(str(path), strict=True)


test_tool.__test__ = False


def other_libraries(runner, path):
    load_checkpoint(nn.Linear(3, 2), str(path), strict=True)


WAYS_TO_LOAD = [resume, resume_automatically, load_from, init_cfg, test_tool, other_libraries]


@pytest.mark.parametrize("load", WAYS_TO_LOAD)
@pytest.mark.parametrize("name", HOSTILE)
def test_no_code_runs(runner, tmp_path, load, name):
    canary, path = tmp_path / "canary", tmp_path / "epoch_1.pth"
    path.write_bytes(HOSTILE[name](canary))
    with pytest.raises((ConfigError, RuntimeError)):
        load(runner, path)
    assert not canary.exists()


@pytest.mark.parametrize("name", [name for name in HOSTILE if name not in ("code as config text", "getattr of os")])
def test_the_files_are_hostile_indeed(tmp_path, name):
    """The list tests something: loaded carelessly, the files run code or name what only code needs."""
    if "getattr" in name:
        pytest.skip("reads what it could call next")
    canary, path = tmp_path / "canary", tmp_path / "epoch_1.pth"
    path.write_bytes(HOSTILE[name](canary))
    for load in (lambda: torch.load(path, weights_only=False), lambda: pickle.loads(path.read_bytes())):
        with contextlib.suppress(Exception):  # after the call the content is of no use
            load()
    if name in ("functools.partial", "operator.methodcaller", "torch.load inside"):
        return  # harmless until its result is used
    assert canary.exists()


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("os.system in a file of torch.save", "posix.system"),
        ("os.system, protocol 4", "posix.system"),
        ("os.system, protocol 0", "posix.system"),
        ("eval", "eval"),
        ("INST opcode", "os.system"),
        ("functools.partial", "functools.partial"),
    ],
)
def test_what_is_refused_is_named_with_the_way_out(tmp_path, name, named):
    path = tmp_path / "x.pth"
    path.write_bytes(HOSTILE[name](tmp_path / "canary"))
    with pytest.raises(ConfigError) as caught:
        open_checkpoint(path)
    assert f"names {named}, which is no plain data; nothing of the file was run" in str(caught.value)
    assert "weights.pth" in str(caught.value)


def test_names_that_others_have_allowed_are_not_allowed_here(tmp_path):
    path = tmp_path / "x.pth"
    path.write_bytes(HOSTILE["functools.partial"](tmp_path / "canary"))
    allowed = torch.serialization.get_safe_globals()
    torch.serialization.add_safe_globals([functools.partial])
    try:
        with pytest.raises(ConfigError, match=r"functools\.partial"):
            open_checkpoint(path)
        assert len(torch.serialization.get_safe_globals()) == len(allowed) + 1  # and they are as before
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(allowed)


def test_files_of_mmengine_itself_are_read(tmp_path):
    """With its loss history, NumPy's arrays and numbers, as `CheckpointHook` writes them."""
    import numpy as np
    from mmengine.logging import HistoryBuffer

    path = tmp_path / "epoch_1.pth"
    dataset_meta = {"sigmas": np.arange(3.0), "n": np.int64(7)}
    torch.save(
        {
            "state_dict": {"a": torch.ones(2)},
            "meta": {"dataset_meta": dataset_meta},
            "message_hub": {"log_scalars": {"train/loss": HistoryBuffer([3.0, 2.0], [1, 2])}},
        },
        path,
    )
    content = CheckpointLoader.load_checkpoint(str(path))
    assert content["meta"]["dataset_meta"]["sigmas"].tolist() == [0.0, 1.0, 2.0]
    assert content["meta"]["dataset_meta"]["n"] == 7
    history = content["message_hub"]["log_scalars"]["train/loss"]
    assert history["history_values"].tolist() == [3.0, 2.0]
    assert history["history_counts"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: b"", "the file is empty"),
        (lambda data: data[:-200], "not a whole checkpoint"),
        (lambda data: data[: len(data) // 2], "not a whole checkpoint"),
        (lambda data: data.replace(b"\x00\x00\x80\x3f" * 8, b"\x00\x00\x80\x40" * 8, 1), "checksums are wrong"),
        (lambda data: b"<html>404</html>", "not a whole checkpoint"),
    ],
)
def test_damaged_files_get_one_line(tmp_path, damage, message):
    path = tmp_path / "epoch_1.pth"
    torch.save({"state_dict": {"a": torch.ones(100)}}, path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ConfigError, match=message) as caught:
        open_checkpoint(path)
    assert len(str(caught.value).splitlines()) == 1
