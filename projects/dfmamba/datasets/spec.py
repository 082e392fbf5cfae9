"""What the package knows about each data set, in one place: the registry that every tool, table and test runs over.

A data set is a folder here, `dfmamba.datasets.<name>`, and one line in `PACKAGES`:

    annotations.py  the parser of the official annotation files
    dataset.py      the adapter, from its rows to the sample contract (`dfmamba.datasets.base`)
    protocol.py     the published protocol, pure numpy
    metric.py       the same as an mmengine metric
    results.py      the files in which people exchange predictions, and the annotation files as ground truth
    spec.py         `SPEC`, which names all of this

A data set of another package calls `register_data_set(SPEC)` instead. docs/data.md says what an adapter gives.

This module and the `spec.py` files import nothing but the standard library: what a spec names is loaded at its first
use, so that scoring a file needs no mmpose and reading a data set draws no pictures.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dfmamba.evaluation.protocol import Protocol
    from dfmamba.evaluation.result_files import ResultFiles
    from dfmamba.synthesis.output import Layout

PACKAGES = ("interhand26m", "rhp", "nyu", "dexycb", "assemblyhands", "own_data")


@dataclass(frozen=True)
class Demo:
    """The demo of a data set, see `tools/run_demo.py`.

    Attributes:
        config: Name in configs/demo, without the ending.
        train: Number of training images.
        test: Number of test images.
        error: Main number of the protocol, in the table of metrics.
        constant: The best constant pose in the same protocol.
        test_split: Name of the split that is tested.
    """

    config: str
    train: int
    test: int
    error: str
    constant: str
    test_split: str = "test"


@dataclass(frozen=True)
class Option:
    """What a file does not say about itself, as a keyword of its reader and an option of `tools/score.py`.

    Attributes:
        name: The keyword; `--name` on the command line, with hyphens.
        help: What it says, with its default.
        default: Taken where nothing is said. False makes a flag of it.
        choices: The values that are allowed; empty for any text.
    """

    name: str
    help: str
    default: Any = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class DatasetSpec:
    """A data set. Objects are named `module:attribute`.

    Attributes:
        name: In commands, folders and result files.
        title: Name and release.
        content: What its synthetic twin shows, for the help of `tools/make_dataset.py`.
        parsers: Functions that read the official annotation files.
        adapters: The classes registered with mmpose; the first is the usual one.
        functions: The protocol as functions over arrays, which `dfmamba.evaluation` offers.
        metric_name: The class registered with mmpose, which `dfmamba.evaluation` offers, too.
        protocol_name: A `dfmamba.evaluation.protocol.Protocol`.
        results_name: A `dfmamba.evaluation.result_files.ResultFiles`.
        pred_formats: What files of predictions can be.
        gt_formats: What ground truth can be read from, beside files in these formats.
        joints: Joint set and order in the sample, and how the official files differ.
        root: What depths are relative to.
        unit: Of the official files.
        crop: The rule of the crop.
        writer: Function that writes a synthetic set in the official layout; a `LAYOUT` stands beside it. None without.
        pred_options: What a file of predictions does not say.
        gt_options: What the official annotation leaves open.
        demo: Its demo; None without one.
    """

    name: str
    title: str
    content: str
    parsers: tuple[str, ...]
    adapters: tuple[str, ...]
    functions: tuple[str, ...]
    metric_name: str
    protocol_name: str
    results_name: str
    pred_formats: str
    gt_formats: str
    joints: str
    root: str
    unit: str
    crop: str
    writer: str | None = None
    pred_options: tuple[Option, ...] = ()
    gt_options: tuple[Option, ...] = ()
    demo: Demo | None = None

    @cached_property
    def protocol(self) -> "Protocol":
        """The published protocol."""
        return resolve_name(self.protocol_name)

    @cached_property
    def results(self) -> "ResultFiles":
        """The files in which results are exchanged."""
        return resolve_name(self.results_name)

    @property
    def write(self) -> Callable[..., Counter[tuple[str, str]] | None]:
        """The writer of synthetic sets."""
        return resolve_name(_required(self, self.writer))

    @property
    def writer_layout(self) -> "Layout":
        """What the writer imitates."""
        return resolve_name(_required(self, self.writer).partition(":")[0] + ":LAYOUT")

    def register(self) -> None:
        """Import the adapters and the metric, which registers them with mmpose."""
        for name in (*self.adapters, self.metric_name):
            resolve_name(name)


def _required(spec: DatasetSpec, writer: str | None) -> str:
    if writer is None:
        raise ValueError(f"data set {spec.name!r}: expected a writer of synthetic sets, got none")
    return writer


_registered: dict[str, DatasetSpec] = {}


def register_data_set(spec: DatasetSpec) -> None:
    """Add a data set to the registry.

    Raises:
        ValueError: Another one has this name.
    """
    if _registered.get(spec.name, spec) != spec:
        raise ValueError(f"data set {spec.name!r}: expected a name that is free, and it is {_registered[spec.name]}")
    _registered[spec.name] = spec


def data_sets() -> Mapping[str, DatasetSpec]:
    """Return all data sets by name, ours first."""
    return dict(_registered)


def data_set(name: str) -> DatasetSpec:
    """Return a data set by name.

    Raises:
        ValueError: There is none of this name.
    """
    if name not in _registered:
        raise ValueError(f"data set: expected one of {', '.join(_registered)}, got {name!r}")
    return _registered[name]


def public_names(package: str) -> dict[str, str]:
    """Return what `dfmamba.datasets` or `dfmamba.evaluation` offers of the data sets: name to place."""
    places: list[str] = []
    for spec in _registered.values():
        if package == "datasets":
            places += [*spec.parsers, *spec.adapters]
        else:
            places += [*spec.functions, spec.metric_name]
    return {place.partition(":")[2]: place for place in places}


for package in PACKAGES:
    register_data_set(import_module(f"dfmamba.datasets.{package}.spec").SPEC)
