"""The data sets that a data loader reads, without what joins, repeats or selects from them."""

from typing import Any


def inner_datasets(dataset: Any) -> list[Any]:
    """Return the data sets inside wrappers, each once; a data set that is no wrapper is returned itself.

    Wrappers have the data sets that they read in `datasets` (`ConcatDataset` of mmengine and torch, mmpose's
    `CombinedDataset`) or `dataset` (`RepeatDataset`, `ClassBalancedDataset`, torch's `Subset`).
    """
    inner = getattr(dataset, "datasets", None)
    if not isinstance(inner, list | tuple):
        inner = [getattr(dataset, "dataset", None)]
    found: list[Any] = []
    for one in inner:
        if hasattr(one, "__getitem__") and hasattr(one, "__len__") and not isinstance(one, str | dict | list | tuple):
            found += [leaf for leaf in inner_datasets(one) if not any(leaf is other for other in found)]
    return found or [dataset]
