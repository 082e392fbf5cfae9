"""What the tests of the configs share: all configs, and small SYNTHETIC data for each."""

from pathlib import Path

from mmengine.dataset import pseudo_collate
from mmpose.registry import DATASETS

import dfmamba.register  # noqa: F401
import list_configs
from dfmamba.datasets.spec import data_sets

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
LEAVES = [path for path in list_configs.leaves() if path.parent.name != "mixing"]  # those: test_mixing.py


def named(path):
    """Return a config's name below configs/."""
    return str(path.relative_to(CONFIGS))


def data_set_of(adapter):
    """Return the name of the data set that a class loads."""
    return next(name for name, spec in data_sets().items() if any(one.endswith(f":{adapter}") for one in spec.adapters))


def build_dataset(cfg, dataloader, synthetic_set):
    """Build the data set of a data loader over synthetic files."""
    config = cfg[dataloader].dataset
    config = config.get("dataset", config)  # a repeated data set holds another, joined ones hold several
    config = config.get("datasets", [config])[0]
    kept = {
        key: config[key]
        for key in ("type", "split", "pipeline", "test_mode", "setup", "ann_file", "centers")
        if key in config and not (config.type == "InterHand26MDataset" and key == "ann_file")
    }
    return DATASETS.build({**kept, "data_root": str(synthetic_set(data_set_of(config.type)))})


def batch_of(cfg, dataloader, synthetic_set, model):
    """Return a data loader's data set over synthetic files, and a batch of two of its samples."""
    dataset = build_dataset(cfg, dataloader, synthetic_set)
    samples = pseudo_collate([dataset[0], dataset[len(dataset) - 1]])
    return dataset, model.data_preprocessor(samples, training=dataloader.startswith("train"))
