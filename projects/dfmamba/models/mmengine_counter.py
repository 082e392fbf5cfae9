"""Tells mmengine's `get_model_complexity_info` what our operators cost; it would count them as 0, with a warning."""

import logging
from collections import Counter
from typing import Any

from mmengine.analysis import complexity_analysis
from mmengine.logging import print_log

from ..ops import cost, torchscript


def _shape(value: Any) -> list[int]:
    return value.type().sizes()


def _count_scan(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    return Counter({"scan": cost.scan_multiply_adds(_shape(inputs[0]), _shape(inputs[2]))})


def _count_call(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """Count a call of a scripted function: ours are those of the operators that are told a size, see `torchscript`."""
    name = inputs[0].node().s("name")
    if name == torchscript.sample_of_size.__name__:
        return Counter({"sample": cost.sample_multiply_adds(_shape(inputs[1]), _shape(inputs[3]))})
    if name == torchscript.dssm_of_size.__name__:
        shapes = (_shape(inputs[number]) for number in (1, 3, 5))
        return Counter({"dssm": cost.dssm_multiply_adds(*shapes)})
    print_log(f"Unsupported operator prim::CallFunction, a call of {name}, counts as 0", "current", logging.WARNING)
    return Counter()


complexity_analysis._DEFAULT_SUPPORTED_FLOP_OPS.update(
    {"dfmamba::scan": _count_scan, "prim::CallFunction": _count_call}
)
