"""A learning rate that falls with depth: the parts near the image are changed least."""

from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from ..models.layers.weight_decay import no_weight_decay
from .errors import ConfigError


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class BackboneLayerDecayConstructor(DefaultOptimWrapperConstructor):
    """Multiplies the rate of a parameter at depth d of the backbone's L layers by layer_decay_rate^(L - 1 - d).

    For every backbone with `get_layer_depth(name, prefix)`: ours, and those of mmpretrain. (mmpose's
    `LayerDecayOptimWrapperConstructor` reads the depth from the names of its ViT and puts ours into three groups.)
    Neck and head have the full rate. Vectors, biases and what `no_weight_decay` names do not decay.

        optim_wrapper = dict(
            constructor='BackboneLayerDecayConstructor',
            optimizer=dict(type='AdamW', lr=5e-4, weight_decay=0.05),
            paramwise_cfg=dict(layer_decay_rate=0.8))

    Other keys of `paramwise_cfg` do what they do in mmengine's `DefaultOptimWrapperConstructor`.

    Raises:
        ConfigError: No `layer_decay_rate` in (0, 1], or a backbone that does not know its layers.
    """

    def add_params(self, params: list[dict], module: nn.Module, prefix: str = "", **options: Any) -> None:
        """Add a group for each parameter of the module, its rate scaled by depth."""
        super().add_params(params, module, prefix, **options)  # calls this one for the parts
        if prefix:
            return
        rate = self.paramwise_cfg.get("layer_decay_rate")
        if not isinstance(rate, int | float) or not 0 < rate <= 1:
            raise ConfigError(f"optim_wrapper.paramwise_cfg.layer_decay_rate: expected a number in (0, 1], got {rate}")
        backbone = getattr(module, "backbone", None)
        if backbone is None or not hasattr(backbone, "get_layer_depth"):
            raise ConfigError(
                f"optim_wrapper.constructor: {type(self).__name__} needs a backbone with "
                f"`get_layer_depth`, as ours have; got {type(backbone).__name__}"
            )
        exempt, names = no_weight_decay(module), {parameter: name for name, parameter in module.named_parameters()}
        for group in params:
            (parameter,) = group["params"]
            depth, num_layers = backbone.get_layer_depth(names[parameter], "backbone.")
            group["lr"] = group.get("lr", self.base_lr) * rate ** (num_layers - 1 - depth)
            if parameter.ndim <= 1 or names[parameter] in exempt:
                group["weight_decay"] = 0.0
