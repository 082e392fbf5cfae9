"""Left-out samples in a real training: logged, joined over processes, kept in checkpoints, told in the result."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.multiprocessing
from mmcv.transforms import BaseTransform
from mmengine.dataset import ConcatDataset, RepeatDataset
from mmengine.registry import DATASETS, TRANSFORMS
from toy_project import ToyHands

from dfmamba.datasets import HandDataset
from dfmamba.datasets.annotation_index import AnnotationColumns
from dfmamba.datasets.skipped_samples import IMAGE_DAMAGED, IMAGE_MISSING
from dfmamba.engine import ReproducibleRunner
from dfmamba.engine.hooks import SkippedSamplesHook
from dfmamba.engine.hooks.skipped_samples import KEY
from dfmamba.engine.inner_datasets import inner_datasets
from dfmamba.engine.report import data_fingerprint, is_synthetic, write_result
from dfmamba.evaluation.report import SYNTHETIC_NOTE
from dfmamba.skeleton import ONE_HAND, mmpose_metainfo
from dfmamba.visualization.colors import joint_colors

MISSING, DAMAGED = (1, 4, 6, 9, 17), (0, 3, 8, 12)
LEFT_OUT = "9 of 19 samples left out: image missing 5, image cut short, damaged or of an unknown format 4"


@DATASETS.register_module()
class ToyFiles(HandDataset):
    """19 images and one record that is no number; the samples are those of `ToyHands`."""

    METAINFO = mmpose_metainfo(ONE_HAND, "toy", joint_colors(ONE_HAND))

    def load_annotations(self):
        path = self.require("ann_file", self.ann_file)
        index = self.open_index(
            "toy-files",
            1,
            [path],
            lambda: AnnotationColumns({"number": np.array(path.read_text().split(), dtype=np.int64)}, {"no number": 1}),
        )
        self.index = index
        return np.arange(len(index.columns["number"])), dict(index.skipped)

    def make_sample(self, row):
        number = int(self.index.columns["number"][row])
        return {"img_path": f"{self.data_prefix['img']}/{number}.png", "id": number}


@TRANSFORMS.register_module()
class LoadToy(BaseTransform):
    """As mmpose's LoadImage and PackPoseInputs."""

    def transform(self, results):
        assert cv2.imread(results["img_path"]) is not None
        return ToyHands(20)[results["id"]]


@pytest.fixture
def files(tmp_path):
    """The data set's arguments."""
    root = tmp_path / "data"
    (root / "images").mkdir(parents=True)
    (root / "numbers.txt").write_text(" ".join(map(str, range(19))))
    for number in set(range(19)) - set(MISSING):
        path = root / f"images/{number}.png"
        cv2.imwrite(str(path), np.random.default_rng(number).integers(0, 256, (16, 18, 3), dtype=np.uint8))
        if number in DAMAGED:
            path.write_bytes(path.read_bytes()[:-60])
    return {
        "data_root": str(root),
        "ann_file": "numbers.txt",
        "data_prefix": {"img": "images"},
        "faulty": "skip",
        "pipeline": [{"type": "LoadToy"}],
    }


@pytest.fixture
def config(toy_config, files):
    """The toy config on these files, with two workers."""
    toy_config.train_dataloader.dataset = {"type": "ToyFiles", **files}
    toy_config.train_dataloader.num_workers = 2
    toy_config.custom_hooks = [*toy_config.custom_hooks, {"type": "SkippedSamplesHook"}]
    return toy_config


def train(config, name, **changes):
    config = config.copy()
    config.merge_from_dict({"work_dir": f"{config.work_dir}_{name}", **changes})
    config.experiment_name = f"{config.experiment_name}_{name}"
    runner = ReproducibleRunner.from_cfg(config)
    runner.train()
    return runner, "".join(path.read_text() for path in Path(runner.log_dir).glob("*.log"))


def hub_of(path):
    return torch.load(path, weights_only=True)["message_hub"]["runtime_info"][KEY]


@pytest.mark.slow
def test_one_line_after_each_epoch_and_at_the_end(config):
    runner, log = train(config, "whole")
    assert log.count(f" - training: {LEFT_OUT}\n") == 2
    assert log.count(f" - the whole training: {LEFT_OUT}\n") == 1
    assert len(re.findall("samples left out", log)) == 3
    (part,) = hub_of(f"{runner.work_dir}/epoch_1.pth")
    assert part["skipped"] == {IMAGE_MISSING: 5, IMAGE_DAMAGED: 4}
    assert part["num_samples"] == 19
    assert part["rows"] == {IMAGE_MISSING: list(MISSING), IMAGE_DAMAGED: list(DAMAGED)}


@pytest.mark.slow
def test_a_training_that_leaves_nothing_out_says_so_once(config):
    good = sorted(set(range(19)) - {*MISSING, *DAMAGED})
    _, log = train(config, "good", **{"train_dataloader.dataset.indices": good})
    assert re.findall(r"(\w+): (.*samples left out.*)", log) == [("training", "0 of 10 samples left out")]


@pytest.mark.slow
def test_resumed_training_goes_on_counting(config, files):
    whole, _ = train(config, "whole")
    for path in (f"{files['data_root']}/images/{number}.png" for number in MISSING):  # the images have come
        cv2.imwrite(path, np.zeros((16, 18, 3), np.uint8))
    first = f"{whole.work_dir}/epoch_1.pth"
    resumed, log = train(config, "resumed", resume=True, load_from=first)
    assert f"the whole training: {LEFT_OUT}\n" in log
    assert hub_of(f"{resumed.work_dir}/epoch_2.pth") == hub_of(f"{whole.work_dir}/epoch_2.pth")
    _, log = train(config, "other", resume=True, load_from=first, **{"train_dataloader.dataset.indices": 18})
    assert "the whole training: 4 of 18 samples left out: image cut short, damaged or of an unknown format 4\n" in log


@pytest.mark.slow
def test_checkpoint_in_the_midst_of_an_epoch_has_the_marks(config):
    config.train_cfg = {"by_epoch": False, "max_iters": 5, "val_interval": 100}
    config.param_scheduler = None
    runner, _ = train(
        config,
        "iterations",
        **{
            "default_hooks.checkpoint": {"by_epoch": False, "interval": 4, "save_best": None},
            "train_dataloader.sampler": {"type": "InfiniteSampler", "shuffle": False},
            "log_processor.by_epoch": False,
        },
    )
    (part,) = hub_of(f"{runner.work_dir}/iter_4.pth")
    assert set(part["rows"][IMAGE_DAMAGED]) >= {0, 3}


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"message_hub": None},
        {"message_hub": {"runtime_info": {KEY: 5}}},
        {"message_hub": {"runtime_info": {KEY: ["x", {"skipped": 1}]}}},
    ],
)
def test_checkpoint_of_others(content):
    hook = SkippedSamplesHook()
    hook.after_load_checkpoint(None, content)
    assert hook.of_checkpoint == []


@pytest.mark.slow
def test_result_of_a_test(config, files, tmp_path):
    trained, _ = train(config, "trained")
    good = sorted(set(range(19)) - {*MISSING, *DAMAGED})
    config.test_dataloader.dataset = {"type": "ToyFiles", **files, "test_mode": True, "indices": good}
    config.load_from = f"{trained.work_dir}/epoch_2.pth"
    config.experiment_name += "_test"
    runner = ReproducibleRunner.from_cfg(config)
    metrics = runner.test()
    hook = next(hook for hook in runner.hooks if isinstance(hook, SkippedSamplesHook))
    write_result(
        tmp_path / "r.json", metrics, "c.py", config.load_from, runner.test_dataloader.dataset, [], hook.of_checkpoint
    )
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["data"]["num_records"] == 20
    assert result["data"]["skipped"] == {"no number": 1}
    assert result["data"]["skipped_samples"] == {}
    (part,) = result["trained_on"]
    assert part == {
        "fingerprint": trained.train_dataloader.dataset.metainfo["data_source"]["fingerprint"],
        "num_samples": 19,
        "skipped": {IMAGE_MISSING: 5, IMAGE_DAMAGED: 4},
    }


# ---- several processes


def leave_out_some(rank, root, arguments):
    """One of two processes: each meets other samples."""
    torch.set_num_threads(1)  # others would not be there after the fork
    torch.distributed.init_process_group("gloo", init_method=f"file://{root}/meeting", rank=rank, world_size=2)
    dataset = ToyFiles(**arguments)
    for number in ((0, 1, 2), (1, 3, 5))[rank]:
        dataset[number] if number in (2, 5) else dataset.prepare_data(number)
    messages = []

    class Logger:
        info = messages.append

    class Loader:
        pass

    runner, Loader.dataset = type("Runner", (), {"logger": Logger})(), dataset
    runner.val_dataloader = Loader
    SkippedSamplesHook().after_val_epoch(runner)
    (Path(root) / f"{rank}.json").write_text(json.dumps([messages, dataset.skipped_samples.rows_by_reason()]))
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_processes_are_joined(files, tmp_path):
    torch.multiprocessing.start_processes(leave_out_some, (str(tmp_path), files), nprocs=2, start_method="fork")
    for rank in (0, 1):
        messages, rows = json.loads((tmp_path / f"{rank}.json").read_text())
        assert messages == [f"validation: 3 of 19 samples left out: {IMAGE_DAMAGED} 2, {IMAGE_MISSING} 1"]
        assert rows == {IMAGE_DAMAGED: [0, 3], IMAGE_MISSING: [1]}


# ---- wrappers


def test_data_sets_inside_wrappers(files):
    one, two = ToyFiles(**files, indices=3), ToyFiles(**files, indices=4)
    joined = torch.utils.data.ConcatDataset([RepeatDataset(one, 2), two, one])
    assert inner_datasets(torch.utils.data.Subset(joined, [0])) == [one, two]
    assert inner_datasets(one) == [one]
    plain = ToyHands()
    plain.dataset = "the name of a data set"
    assert inner_datasets(plain) == [plain]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda dataset: dataset,
        lambda dataset: RepeatDataset(dataset, 2),
        lambda dataset: ConcatDataset([dataset, dataset.get_subset(3)], ignore_keys=["data_source"]),
        lambda dataset: torch.utils.data.ConcatDataset([ToyHands(), dataset]),
        lambda dataset: torch.utils.data.Subset(RepeatDataset(dataset, 2), [0]),
    ],
)
def test_synthetic_through_wrappers(files, wrap):
    dataset = wrap(ToyFiles(**files))
    assert not is_synthetic(dataset)
    (Path(files["data_root"]) / SYNTHETIC_NOTE).touch()
    assert is_synthetic(dataset)
    assert data_fingerprint(dataset)["synthetic"]


def test_synthetic_is_known_by_any_path(files, tmp_path):
    """A data set without `data_root`, and one whose images are a link to synthetic ones."""
    bare = ToyFiles(
        data_root="", ann_file=f"{files['data_root']}/numbers.txt", data_prefix={"img": f"{files['data_root']}/images"}
    )
    (tmp_path / "real").mkdir()
    (tmp_path / "real/numbers.txt").write_text("1 2")
    (tmp_path / "real/images").symlink_to(f"{files['data_root']}/images")
    linked = ToyFiles(**{**files, "data_root": str(tmp_path / "real")})
    assert not is_synthetic(bare)
    assert not is_synthetic(linked)
    (Path(files["data_root"]) / SYNTHETIC_NOTE).touch()
    assert is_synthetic(bare)
    assert is_synthetic(linked)


def test_fingerprint_of_joined_data_sets_has_parts(files):
    one, two = ToyFiles(**files, indices=3), ToyFiles(**files, indices=[5, 6, 7, 8])
    one.prepare_data(1)
    joined = data_fingerprint(ConcatDataset([one, two], ignore_keys=["data_source"]))
    assert joined["num_samples"] == 7
    assert [part["num_samples"] for part in joined["parts"]] == [3, 4]
    assert joined["parts"][0]["skipped_samples"] == {IMAGE_MISSING: 1}
    assert joined["parts"][0]["fingerprint"] != joined["parts"][1]["fingerprint"]
