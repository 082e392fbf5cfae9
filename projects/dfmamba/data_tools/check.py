"""Look at a data set before hours of training go into it: files, counts, skipped records, a sample of the records."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from mmpose.registry import DATASETS

from dfmamba.data_tools.sample_checks import OK, WARNING, WRONG, Finding, Samples, check_images, check_samples
from dfmamba.datasets.annotation_index import verify_index
from dfmamba.datasets.base import HandDataset
from dfmamba.datasets.spec import data_sets
from dfmamba.engine.errors import ConfigError
from dfmamba.engine.report import is_synthetic
from dfmamba.io.files import describe_usage

SPLITS = ("train", "val", "test")


@dataclass
class SplitReport:
    """What was found out about a data set of a config.

    Attributes:
        splits: The data loaders that use it.
        dataset: Its class.
        data_root: Its folder.
        synthetic: Whether `tools/make_dataset.py` made it.
        tree: What should be in the folder.
        paths: The needed files and folders, and whether they are there.
        findings: Of all checks that could be made.
        used: Number of samples; None where the annotations cannot be read.
        skipped: Records left out, by reason.
        sampled: Number of records that were looked at.
        fingerprint: Short text that logs and result files repeat.
        source: `metainfo['data_source']`, which the fingerprint is made of.
    """

    splits: list[str]
    dataset: str
    data_root: str
    synthetic: bool
    tree: str
    paths: dict[str, bool]
    findings: list[Finding] = field(default_factory=list)
    used: int | None = None
    skipped: dict[str, int] = field(default_factory=dict)
    sampled: int = 0
    fingerprint: str | None = None
    source: dict[str, Any] = field(default_factory=dict)

    @property
    def wrong(self) -> bool:
        """Whether something is wrong."""
        return any(finding.level == WRONG for finding in self.findings)


class Progress:
    """What `check_split` tells while it works; this one keeps it to itself."""

    def waiting(self, what: str) -> AbstractContextManager[object]:
        """Return a context in which something of unknown length happens."""
        return nullcontext()

    def counting(self, what: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Return a context that gives a function to call with the number of things done."""
        return nullcontext(lambda _: None)


def inner_configs(config: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the configs of the data sets that a data loader reads, without what repeats or joins them."""
    for key in ("dataset", "datasets"):
        if key in config and config["type"] in (
            "RepeatDataset",
            "ClassBalancedDataset",
            "ConcatDataset",
            "CombinedDataset",
            "MultiSourceDataset",
        ):
            inner = config[key]
            for one in inner if isinstance(inner, list | tuple) else [inner]:
                yield from inner_configs(one)
            return
    yield dict(config)


def datasets_of(config: Mapping[str, Any]) -> list[tuple[list[str], dict[str, Any]]]:
    """Return the data sets of a config's data loaders, each once, with the names of the splits that use it.

    Pipelines are left out, and reading is put off.

    Raises:
        ConfigError: The config has no data loader.
    """
    found: list[tuple[list[str], dict[str, Any]]] = []
    for split in SPLITS:
        loader = config.get(f"{split}_dataloader")
        for one in inner_configs(loader["dataset"]) if loader else ():
            reduced = {key: value for key, value in one.items() if key not in ("pipeline", "test_mode")}
            reduced |= {"lazy_init": True}
            names = next((names for names, other in found if other == reduced), None)
            if names is None:
                found.append(([split], reduced))
            elif split not in names:
                names.append(split)
    if not found:
        raise ConfigError("the config has no train_dataloader, val_dataloader or test_dataloader")
    return found


def build_dataset(config: Mapping[str, Any]) -> HandDataset:
    """Build a data set of this package without reading its annotations.

    Raises:
        ConfigError: It is of another package, or refuses its arguments.
    """
    for spec in data_sets().values():
        spec.register()
    try:
        dataset: BaseDataset = DATASETS.build(dict(config))
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{config.get('type')}: {error}") from error
    if not isinstance(dataset, HandDataset):
        raise ConfigError(f"{type(dataset).__name__}: expected one of this package's data sets (a HandDataset)")
    return dataset


def check_split(splits: list[str], dataset: HandDataset, num_samples: int, progress: Progress) -> SplitReport:
    """Check one data set.

    Args:
        splits: The data loaders that use it.
        dataset: Not yet initialised.
        num_samples: How many records are looked at, evenly spread; 0 for all.
        progress: What to tell meanwhile.
    """
    paths = {f"{key}: {path}": path.exists() for key, path in dataset.needed_paths().items()}
    report = SplitReport(
        splits, type(dataset).__name__, dataset.data_root, is_synthetic(dataset), dataset.EXPECTED_LAYOUT, paths
    )
    missing = [path for path, is_there in paths.items() if not is_there]
    if missing:
        report.findings.append(Finding("files", WRONG, f"{len(missing)} of {len(paths)} are missing: {missing[0]}"))
        return report
    report.findings.append(Finding("files", OK, f"all {len(paths)} are there"))
    try:
        with progress.waiting("reading the annotations, or their index"):
            dataset.verify_index = True  # a damaged one is rebuilt, and `_check_index` says so
            dataset.full_init()
    except (ValueError, OSError) as error:
        report.findings.append(Finding("annotations", WRONG, str(error)))
        return report
    report.used, report.skipped = len(dataset), dataset.skipped
    report.source = dict(dataset.metainfo["data_source"])
    report.fingerprint = report.source["fingerprint"]
    report.findings += [_check_index(dataset), _check_usage(dataset), _check_count(dataset, report.synthetic)]
    report.findings += _check_records(dataset, num_samples, report, progress)
    return report


def _check_index(dataset: HandDataset) -> Finding:
    """Whether the annotations in the index are those that were read from the files."""
    places = ", ".join(str(index.folder) for index in dataset.opened)
    try:
        for index in dataset.opened:
            verify_index(index)
    except (ValueError, OSError) as error:
        return Finding("index", WRONG, f"{error}. Delete {places}")
    damage = "; ".join(index.replaced for index in dataset.opened if index.replaced)
    if damage:
        return Finding("index", WARNING, f"was damaged and has been rebuilt: {damage}. Is the disk faulty?")
    if any(index.folder is None for index in dataset.opened):
        return Finding("index", WARNING, "cannot be stored, see the log: the annotations are read at every start")
    size = sum(index.num_bytes for index in dataset.opened)
    return Finding("index", OK, f"checksums agree, {size / 1e6:.1f} MB in {places}")


def _check_usage(dataset: HandDataset) -> Finding:
    """How many records are used, and why the others are not."""
    faulty = sum(count for reason, count in dataset.skipped.items() if reason.startswith("faulty"))
    text = describe_usage("records", dataset.num_records - sum(dataset.skipped.values()), dataset.skipped)
    if len(dataset) < dataset.num_records - sum(dataset.skipped.values()):
        text += f"; sample_interval and indices select {len(dataset)}"
    return Finding("annotations", WARNING if faulty else OK, text.removeprefix("records: "))


def _check_count(dataset: HandDataset, synthetic: bool) -> Finding:
    """Compare with the published number of records."""
    published = dataset.published_records()
    there = dataset.num_records - sum(dataset.skipped.get(reason, 0) for reason in dataset.UNCOUNTED)
    if published is None:
        return Finding("count", OK, f"{there} records; no number is published for this split")
    text = f"{there} records, published: {published}"
    if there == published:
        return Finding("count", OK, text)
    if synthetic:
        return Finding("count", OK, f"{text}; synthetic, so not the published number")
    return Finding("count", WARNING, f"{text}. Is it another release, or a part of it?")


def _check_records(dataset: HandDataset, num_samples: int, report: SplitReport, progress: Progress) -> list[Finding]:
    """Check records that are evenly spread over the data set."""
    total = len(dataset)
    chosen = np.unique(np.linspace(0, total - 1, min(num_samples or total, total)).round().astype(int))
    report.sampled = len(chosen)
    samples = Samples([dataset.get_data_info(int(number)) for number in chosen], dataset.joint_orders())
    findings = []
    try:
        with progress.waiting("reading what the files say a second time"):
            points_px = dataset.read_image_points(samples.samples)
    except (ValueError, KeyError, IndexError, OSError) as error:
        points_px = np.full((*samples.valid.shape, 2), np.nan)
        findings.append(Finding("second witness", WARNING, f"cannot be read: {type(error).__name__}: {error}"))
    with progress.counting("images", len(chosen)) as on_image:
        image_findings, sizes = check_images(dataset, samples, samples.image_sizes, on_image)
    return findings + image_findings + check_samples(samples, points_px, sizes)
