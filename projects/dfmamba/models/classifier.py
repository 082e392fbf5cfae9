"""A backbone as an image classifier in the shape that timm gives its models. Importing this needs timm.

Its parts are `stem`, `stages`, `norm` and `head`; parameters of stem and stages have the backbone's names. What else
timm asks of a model is here, too: other heads, features of several levels, groups of layers.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Any

import torch
from timm.layers import ClassifierHead, get_device_dtype
from torch import Tensor, nn

from .backbones.staged import StagedBackbone, fix_size_for_inductor
from .checkpoint_keys import load_old_keys
from .layers.weight_decay import no_weight_decay

WITHOUT = {"frozen_stages": -1, "norm_eval": False, "init_cfg": None}  # what is left to timm's own tools


class ImageClassifier(nn.Module):
    """Stem and stages of a backbone, a layer normalisation, then timm's head: pooling, dropout and a linear layer.

    A level is the last map of a stride, so that levels have the strides 4, 8, 16 and 32 however many stages there are.
    Indices count levels, not stages: those of `forward_intermediates`, `prune_intermediate_layers` and `feature_info`,
    and with timm's `features_only=True` its `out_indices`.

    Args:
        backbone: Gives its parts away. Its last returned map is classified.
        num_classes: Length of the result; 0 for the pooled features themselves.
        global_pool: 'avg', 'max', 'avgmax' (their mean), 'catavgmax' (both, one behind the other) or another name that
            timm's `SelectAdaptivePool2d` takes; '' for none: then the map comes out, or with classes a map of logits.
        drop_rate: Rate of the dropout before the linear layer.

    Attributes:
        feature_info: For each level dict(num_chs=channels, reduction=stride, module=name of its stage).
        num_features: Channels of the last map.
        head_hidden_size: Length of the pooled features.

    Raises:
        ValueError: timm has no such pooling, or the backbone freezes parts, which timm does with `timm.utils.freeze`.
    """

    def __init__(
        self, backbone: StagedBackbone, num_classes: int = 1000, global_pool: str = "avg", drop_rate: float = 0.0
    ) -> None:
        super().__init__()
        for option, default in WITHOUT.items():
            given = getattr(backbone, option, default)
            if given != default:
                raise ValueError(
                    f"{option}: expected {default} for a model of timm, got {given!r}; use "
                    "timm.utils.freeze, timm.layers.freeze_batch_norm_2d or checkpoint_path"
                )
        load_old_keys(self)
        self.stem = backbone.stem
        self.stages = nn.Sequential(*backbone.stages)
        self.norm = backbone.out_norms[-1]
        last_of_stride = {info["reduction"]: number for number, info in enumerate(backbone.stage_info)}
        self.level_stages = list(last_of_stride.values())
        self.feature_info: list[dict[str, Any]] = [dict(backbone.stage_info[number]) for number in self.level_stages]
        self.num_features: int = self.feature_info[-1]["num_chs"]
        self.in_chans: int = next(part.in_channels for part in self.stem.modules() if isinstance(part, nn.Conv2d))
        self.drop_rate = drop_rate
        self.reset_classifier(num_classes, global_pool)

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Put a new head in place; `global_pool` is as for the constructor, or None to keep the pooling."""
        if global_pool is None:
            global_pool = self.head.global_pool.pool_type  # type: ignore[has-type]
        try:
            head = ClassifierHead(
                self.num_features,
                num_classes,
                global_pool,
                self.drop_rate,
                use_conv=not global_pool,
                **get_device_dtype(self.stem),
            )
        except AssertionError as error:
            raise ValueError(
                f"global_pool: expected '', 'avg', 'max', 'avgmax' or 'catavgmax', got {global_pool!r}"
            ) from error
        if num_classes > 0:
            nn.init.trunc_normal_(head.fc.weight, std=0.02)
            nn.init.zeros_(head.fc.bias)
        self.num_classes = num_classes
        self.head = head.train(self.training)
        self.head_hidden_size = head.num_features

    def get_classifier(self) -> nn.Module:
        """Return the linear layer."""
        return self.head.fc

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last map, normalised, (batch, num_features, H, W)."""
        return self.norm(self.stages(self._stem(x)))

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Return the logits of a map, (batch, num_classes), or the features in front of the linear layer."""
        return self.head(x, pre_logits=pre_logits)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of images, (batch, num_classes)."""
        return self.forward_head(self.forward_features(x))

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | Sequence[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Return the maps of some levels by rising stride; unless `intermediates_only` in a pair, behind the last map.

        Args:
            x: Images (batch, in_chans, height, width).
            indices: Levels from 0 (from the end if negative) in any order; a number for as many last ones; None for
                all.
            norm: Normalise the map of the last level, as it is for the classifier.
            stop_early: Leave out the stages behind the last level asked for; the last map is then that of this level.
            output_fmt: Layout of the maps of levels: 'NCHW' or 'NHWC'.
            intermediates_only: Leave out the last map.

        Raises:
            ValueError: `output_fmt` is another, or there is no such level.
        """
        if output_fmt not in ("NCHW", "NHWC"):
            raise ValueError(f"output_fmt: expected 'NCHW' or 'NHWC', got {output_fmt!r}")
        levels = self._take(indices)
        wanted, final = [self.level_stages[level] for level in levels], self.level_stages[-1]
        last = wanted[-1] if stop_early else final
        x, maps = self._stem(x), []
        for number, stage in enumerate(islice(self.stages, last + 1)):
            x = stage(x)
            if number in wanted:
                level = self.norm(x) if norm and number == final else x
                maps.append(level.permute(0, 2, 3, 1) if output_fmt == "NHWC" else level)
        if intermediates_only:
            return maps
        return self.norm(x) if last == final else x, maps

    def prune_intermediate_layers(
        self, indices: int | Sequence[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Drop what `forward_intermediates` does not need for these levels; return their numbers in rising order."""
        levels = self._take(indices)
        cut = levels[-1] < len(self.level_stages) - 1
        self.level_stages = self.level_stages[: levels[-1] + 1]
        self.stages = nn.Sequential(*list(self.stages)[: self.level_stages[-1] + 1])
        self.num_features = self.feature_info[levels[-1]]["num_chs"]
        if prune_norm or cut:
            self.norm = nn.Identity()
        if prune_head or cut:
            self.reset_classifier(0, "")
        return levels

    def _stem(self, x: Tensor) -> Tensor:
        """Return the map of the stem, channels-last in memory as the token blocks leave theirs."""
        if not torch.jit.is_scripting() and self.training:
            fix_size_for_inductor(x)
        return self.stem(x.contiguous(memory_format=torch.channels_last))

    def _take(self, indices: int | Sequence[int] | None) -> list[int]:
        """Return the numbers of the levels that `indices` means, in rising order."""
        every = range(len(self.level_stages))
        chosen: Sequence[int] = every if indices is None else () if isinstance(indices, int) else indices
        if isinstance(indices, int) and 0 < indices <= len(every):
            chosen = every[-indices:]
        try:
            levels = sorted({every[index] for index in chosen})
        except IndexError:
            levels = []
        if not levels:
            raise ValueError(f"indices: expected some of the levels 0 to {every[-1]}, or how many, got {indices}")
        return levels

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute the blocks in the backward pass to save memory, or do not."""
        for stage in self.stages:
            stage.with_cp = enable  # type: ignore[assignment]

    def no_weight_decay(self) -> set[str]:
        """Return the names of parameters that weight decay must leave alone, beside vectors."""
        return no_weight_decay(self)

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return patterns that sort parameters by depth, for a learning rate that falls with it."""
        blocks: list[tuple[str, tuple[int, ...] | None]] = [(r"^stages\.(\d+)", None)]
        if not coarse:
            blocks = [(r"^stages\.(\d+)\.downsample", (0,)), (r"^stages\.(\d+)\.blocks\.(\d+)", None)]
        return {"stem": r"^stem", "blocks": [*blocks, (r"^norm", (99999,))]}  # timm's mark for: with those before
