"""Which parameters weight decay must leave alone, beside the vectors (biases, norms) that everyone's rules leave out.

A class names them in `NO_WEIGHT_DECAY`, because pulling them towards 0 means nothing: A_log = 0 is a decay of 1, not
none; positions and their embeddings have no scale to keep small.
"""

from torch import nn


def mark_no_weight_decay(module: nn.Module) -> None:
    """Mark the parameters that a module's class names as Mamba's code does, with `_no_weight_decay = True`."""
    for name in module.NO_WEIGHT_DECAY:  # type: ignore[union-attr]
        module.get_parameter(name)._no_weight_decay = True  # type: ignore[attr-defined]


def no_weight_decay(model: nn.Module) -> set[str]:
    """Return the names of those parameters of a model, in the form of timm's method of that name.

    Asked are the classes of all parts, and parts of timm's. The marks are not: copying a model loses them.
    """
    names: set[str] = set()
    for prefix, part in model.named_modules():
        own = {name for name in getattr(part, "NO_WEIGHT_DECAY", ()) if part._parameters.get(name) is not None}
        if part is not model and hasattr(part, "no_weight_decay"):
            own |= set(part.no_weight_decay())
        names |= {f"{prefix}.{name}" if prefix else name for name in own}
    return names
