"""Metric dictionaries as plain-text tables."""

from collections.abc import Mapping

SUBSETS = ("single", "two", "all")
INTERHAND_COLUMNS = {
    "macro": "MPJPE_rr_macro_{subset}_mm",
    "micro": "MPJPE_rr_micro_{subset}_mm",
    "constant pose": "constant_pose_macro_{subset}_mm",
    "samples": "samples_{subset}",
}


def format_interhand_table(metrics: Mapping[str, float]) -> str:
    """Lay out what `InterHandMPJPE` returns: one row for single hands, two hands and all.

    Args:
        metrics: The dictionary of the metric or of a whole evaluation; a prefix that ends with '/' is ignored, other
            entries too. What is missing or NaN is shown as '-'.

    >>> print(format_interhand_table({"interhand/MPJPE_rr_macro_single_mm": 8.104, "interhand/samples_single": 12}))
    root-relative MPJPE, mm    macro  micro  constant pose  samples
    single                      8.10      -              -       12
    two                            -      -              -        -
    all                            -      -              -        -
    """
    values = {name.rsplit("/", 1)[-1]: value for name, value in metrics.items()}
    rows = [["root-relative MPJPE, mm", *INTERHAND_COLUMNS]]
    for subset in SUBSETS:
        cells = [values.get(name.format(subset=subset)) for name in INTERHAND_COLUMNS.values()]
        rows.append([subset, *(_cell(value, column) for value, column in zip(cells, INTERHAND_COLUMNS, strict=True))])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join([row[0].ljust(widths[0] + 2), *map(str.rjust, row[1:], widths[1:])]) for row in rows)


def _cell(value: float | None, column: str) -> str:
    """Return the text of a number: two digits after the point, or none for numbers of samples."""
    if value is None or value != value:
        return "-"
    return f"{value:.0f}" if column == "samples" else f"{value:.2f}"
