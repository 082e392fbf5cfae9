"""Weights of a file into a model, with an account of what was loaded, what was not, and why."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from mmengine.logging import MMLogger
from mmengine.model import is_model_wrapper
from mmengine.model.weight_init import PretrainedInit, update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from dfmamba.engine.errors import ConfigError

# Keys under which published files keep their weights: mmengine's, timm's and Mamba's, those of moving averages.
WEIGHT_KEYS = ("state_dict", "model", "model_state_dict", "state_dict_ema", "model_ema")
# Prefixes that other programs put before all names, and how a whole model names its backbone.
PREFIXES = ("module.", "model.", "_orig_mod.", "backbone.")
SHOWN = 4


@dataclass
class Fit:
    """What became of a file's weights.

    Attributes:
        loaded: How many of the model's weights the file had.
        total: How many the model has.
        adapted: First layers whose input channels were summed or spread.
        missing: The model's weights that the file lacks.
        misshapen: Those that it has in another shape.
        unused: The file's weights that the model does not have.
        renamed: How the file's names were changed, as text; empty if they were not.
    """

    loaded: int
    total: int
    adapted: list[str]
    missing: list[str]
    misshapen: list[str]
    unused: list[str]
    renamed: str

    @property
    def is_whole(self) -> bool:
        """Whether every weight of the model came from the file."""
        return self.loaded == self.total and not self.adapted

    def describe(self) -> str:
        """Return the account in one line."""
        parts = [f"{self.loaded} of {self.total} weights loaded{self.renamed}"]
        kinds = {
            "adapted to other input channels": self.adapted,
            "of another shape, not loaded": self.misshapen,
            "not in the file": self.missing,
            "in the file but not in the model": self.unused,
        }
        parts += [f"{len(names)} {kind} ({_some(names)})" for kind, names in kinds.items() if names]
        return "; ".join(parts)


def weights_in(content: Mapping[str, Any], source: str) -> "OrderedDict[str, Tensor]":
    """Return the weights of a checkpoint: those under a known key, or the file's own if it holds nothing else.

    Raises:
        ConfigError: There are none.
    """
    found = next((content[key] for key in WEIGHT_KEYS if isinstance(content.get(key), Mapping)), content)
    weights = OrderedDict((str(name), value) for name, value in found.items() if isinstance(value, Tensor))
    if not weights:
        raise ConfigError(
            f"{source}: holds no weights: expected a dict of tensors, or one under {WEIGHT_KEYS}, got "
            f"the keys {[str(key) for key in list(content)[:8]]}"
        )
    metadata = getattr(found, "_metadata", None)
    if metadata is not None:
        weights._metadata = metadata  # type: ignore[attr-defined]  # versions of the layers, which torch reads
    return weights


def load_weights(model: nn.Module, content: Mapping[str, Any], source: str, whole: bool = False) -> Fit:
    """Load what fits of a checkpoint into a model, on every device alike.

    Names may lack or have a prefix of `PREFIXES` (`module.`, `backbone.`). A first layer for another number of
    channels is adapted: three channels become one by their sum, one becomes three by a third each.

    Args:
        model: The model, wrapped or not.
        content: A checkpoint, as `open_checkpoint` returns it.
        source: Where it comes from, for messages.
        whole: Every weight must be there as it is.

    Raises:
        ConfigError: Nothing fits; not all fits, though `whole` is asked for; or a weight is NaN or infinite.
    """
    if is_model_wrapper(model):
        model = cast(nn.Module, model.module)
    own = model.state_dict()
    weights, renamed = _best_names(weights_in(content, source), own)
    refuse_non_finite(weights, source)
    adapted = {} if whole else _adapt_first_layer(weights, own)
    misshapen = [
        f"{name}: {tuple(weights[name].shape)} instead of {tuple(value.shape)}"
        for name, value in own.items()
        if name in weights and name not in adapted and weights[name].shape != value.shape
    ]
    fitting = OrderedDict(
        (name, adapted.get(name, value))
        for name, value in weights.items()
        if name in adapted or name not in own or value.shape == own[name].shape
    )
    fitting._metadata = getattr(weights, "_metadata", OrderedDict())  # type: ignore[attr-defined]
    missing = [name for name in own if name not in weights]
    unused = [name for name in weights if name not in own]
    fit = Fit(len(own) - len(missing) - len(misshapen), len(own), list(adapted), missing, misshapen, unused, renamed)
    if whole and not fit.is_whole:
        raise ConfigError(
            f"{source}: does not fit the model: {fit.describe()}. Does the checkpoint belong to this "
            "config and these --cfg-options?"
        )
    if fit.loaded == 0:
        raise ConfigError(
            f"{source}: no weight fits the model: {fit.describe()}. Is it the checkpoint of another model?"
        )
    model.load_state_dict(fitting, strict=False)
    return fit


def refuse_non_finite(weights: Mapping[str, Tensor], source: str) -> None:
    """Refuse weights that are NaN or infinite.

    Raises:
        ConfigError: There are some; the first is named.
    """
    for name, value in weights.items():
        if (value.is_floating_point() or value.is_complex()) and not torch.isfinite(value).all():
            bad = int((~torch.isfinite(value)).sum())
            raise ConfigError(
                f"{source}: {bad} of {value.numel()} numbers of the weight {name} are NaN or infinite. "
                "The training that wrote it has diverged."
            )


def _best_names(
    weights: "OrderedDict[str, Tensor]", own: Mapping[str, Tensor]
) -> tuple["OrderedDict[str, Tensor]", str]:
    """Return the weights under the names that fit best, and how these were made."""
    candidates: dict[str, Callable[[str], str]] = {"": str}
    for prefix in PREFIXES:
        candidates[f" (names without '{prefix}')"] = partial(_without, prefix)
        candidates[f" (names with '{prefix}' before them)"] = prefix.__add__

    def fits(rename: Callable[[str], str]) -> int:
        return sum(rename(name) in own and own[rename(name)].shape == value.shape for name, value in weights.items())

    text, rename = max(candidates.items(), key=lambda item: fits(item[1]))  # the first, unchanged, if none is better
    renamed = OrderedDict((rename(name), value) for name, value in weights.items())
    if not text:
        renamed._metadata = getattr(weights, "_metadata", OrderedDict())  # type: ignore[attr-defined]
    return renamed, text


def _without(prefix: str, name: str) -> str:
    return name.removeprefix(prefix)


def _adapt_first_layer(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the first convolution with its weights summed or spread, if only its input channels differ, 3 and 1."""
    name = next((name for name, value in own.items() if value.ndim == 4), None)
    if name is None or name not in weights or weights[name].ndim != 4:
        return {}
    there, wanted = weights[name], own[name]
    channels = there.shape[1], wanted.shape[1]
    if there[:, :1].shape != wanted[:, :1].shape or channels not in ((3, 1), (1, 3)):
        return {}
    return {name: there.sum(1, keepdim=True) if channels == (3, 1) else there.expand(-1, 3, -1, -1) / 3}


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


@WEIGHT_INITIALIZERS.register_module(name="Pretrained", force=True)
class CheckedPretrained(PretrainedInit):
    """mmengine's `init_cfg=dict(type='Pretrained', checkpoint=..., prefix=...)`, which says what it loaded.

    Args:
        checkpoint: Path or address of the file.
        prefix: Take only the weights whose names begin with it, and take it off.
        map_location: Where the tensors are loaded.

    Raises:
        ConfigError: Nothing fits, see `load_weights`.
    """

    def __call__(self, module: nn.Module) -> None:
        """Load the weights into a module."""
        content = CheckpointLoader.load_checkpoint(self.checkpoint, self.map_location)
        if self.prefix is not None:
            prefix = self.prefix.rstrip(".") + "."
            weights = weights_in(content, self.checkpoint)
            content = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
            if not content:
                raise ConfigError(
                    f"{self.checkpoint}: no weight's name begins with {prefix!r}, such as {_some(list(weights))}"
                )
        fit = load_weights(module, content, self.checkpoint)
        MMLogger.get_current_instance().info(f"{type(module).__name__} from {self.checkpoint}: {fit.describe()}")
        if hasattr(module, "_params_init_info"):
            update_init_info(module, init_info=self._get_init_info())
