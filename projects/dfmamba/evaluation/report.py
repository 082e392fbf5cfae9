"""Scores as plain-text tables and as JSON."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dfmamba.datasets.spec import data_sets
from dfmamba.evaluation.detnet_protocol import PROTOCOL as DETNET
from dfmamba.evaluation.protocol import Protocol
from dfmamba.io.atomic import write_atomically

SYNTHETIC_NOTE = "SYNTHETIC.txt"  # at the root of what dfmamba.synthesis writes
PARTS_OF_ONE = ("AUC", "success", "handedness")  # names of metrics without a unit begin so


def format_scores(protocol: Protocol, metrics: Mapping[str, Any]) -> str:
    """Lay out what a protocol gives: its table, and below how much better it is than the best constant pose.

    Args:
        protocol: Of a data set, or DetNet's.
        metrics: Of the protocol's metric or a whole evaluation; a prefix that ends with '/' is ignored, other entries
            too. What is missing or NaN is shown as '-'.

    >>> from dfmamba.evaluation import PROTOCOLS
    >>> print(format_scores(PROTOCOLS["interhand26m"], {"interhand/MPJPE_rr_macro_all_mm": 8.104,
    ...     "interhand/constant_pose_macro_all_mm": 20.26, "interhand/samples_all": 12, "interhand/MRRPE_mm": 31.0}))
    root-relative MPJPE, mm                   macro  micro  constant-pose baseline  samples
    single                                        -      -                       -        -
    two                                           -      -                       -        -
    all                                        8.10      -                   20.26       12
    MRRPE, mm                                 31.00
    better than the constant-pose baseline      60%
    """
    values = {name.rsplit("/", 1)[-1]: value for name, value in metrics.items()}
    columns = list(dict.fromkeys(column for row in protocol.table.values() for column in row))
    rows = [[protocol.title, *columns]]
    for label, row in protocol.table.items():
        rows.append([label, *(_cell(row.get(column, ""), values) for column in columns)])
    rows += [[label, _cell(name, values)] for label, name in protocol.notes.items() if name in values]
    error, constant = values.get(protocol.main, np.nan), values.get(protocol.constant, np.nan)
    if np.isfinite(error) and np.isfinite(constant) and constant > 0:
        rows.append(["better than the constant-pose baseline", f"{1 - error / constant:.0%}"])
    widths = [max(len(row[place]) for row in rows if place < len(row)) for place in range(len(rows[0]))]
    return "\n".join("  ".join([row[0].ljust(widths[0] + 2), *map(str.rjust, row[1:], widths[1:])]) for row in rows)


def _cell(name: str, values: Mapping[str, Any]) -> str:
    """Return the text of a metric: a count, a fraction with four digits, or mm with two."""
    value = values.get(name)
    if value is None or value != value:
        return "-"
    if isinstance(value, int | np.integer):
        return str(value)
    return f"{value:.4f}" if name.startswith(PARTS_OF_ONE) else f"{value:.2f}"


def format_metrics(metrics: Mapping[str, Any]) -> str:
    """Lay out the metrics of an evaluation: the tables of our protocols, told by their prefix; any others in lines.

    >>> print(format_metrics({"toy/error_px": 12.5, "toy/AUC": np.float64(0.91), "toy/count": 7}))
    metric           value
    ------------ ---------
    toy/error_px   12.5000
    toy/AUC         0.9100
    toy/count            7
    """
    groups: dict[str, dict[str, Any]] = {}
    for name, value in metrics.items():
        prefix = name.rpartition("/")[0]
        groups.setdefault(prefix if _protocol_with(prefix) else "", {})[name] = value
    return "\n\n".join(map(_format_group, groups, groups.values())) or format_table({})


def _format_group(prefix: str, metrics: Mapping[str, Any]) -> str:
    """Lay out the metrics with a prefix; a longer prefix than the protocol's goes above the table."""
    protocol = _protocol_with(prefix)
    if protocol is None:
        return format_table(metrics)
    return (f"{prefix}\n" if prefix != protocol.prefix else "") + format_scores(protocol, metrics)


def _protocol_with(prefix: str) -> Protocol | None:
    """Return the protocol with a prefix, or with one that it continues, as `dexycb_small` does `dexycb`."""
    return next(
        (
            protocol
            for protocol in (*(spec.protocol for spec in data_sets().values()), DETNET)
            if prefix == protocol.prefix or prefix.startswith(f"{protocol.prefix}_")
        ),
        None,
    )


def format_table(metrics: Mapping[str, Any]) -> str:
    """Lay out metrics line by line, name and value; units are in the names."""
    rows = [
        (name, f"{value:.4f}" if isinstance(value, float | np.floating) else str(value))
        for name, value in metrics.items()
    ]
    left = max([len("metric"), *(len(name) for name, _ in rows)])
    right = max([9, *(len(value) for _, value in rows)])
    lines = [f"{'metric':<{left}} {'value':>{right}}", f"{'-' * left} {'-' * right}"]
    return "\n".join([*lines, *(f"{name:<{left}} {value:>{right}}" for name, value in rows)])


def is_synthetic(path: str | Path) -> bool:
    """Say whether a file or folder is of a data set that `tools/make_dataset.py` made, which leaves a note in its root.

    What counts is the path as it is given and, where links are part of it, the one that they lead to.
    """
    absolute = Path(path).absolute()
    places = {place for start in (absolute, absolute.resolve()) for place in (start, *start.parents)}
    return any((place / SYNTHETIC_NOTE).is_file() for place in places)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file, and missing folders; NaN and infinity become null."""
    write_atomically(path, json.dumps(_plain(content), indent=2, allow_nan=False) + "\n")


def _plain(value: Any) -> Any:
    """Make a value fit for JSON."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
