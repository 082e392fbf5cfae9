"""How far a trained DSSM deforms: where its points lie and what they weigh, measured while a model runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dfmamba.ops.reference import sampling_points

from .layers.dssm import DSSM


@dataclass(frozen=True)
class Deformation:
    """Of one DSSM layer on one batch.

    Attributes:
        map_size: (H, W) of the layer's map.
        mean_offset_px: Mean length of the offsets, in pixels of that map.
        largest_offset_px: The longest one.
        off_the_map: Share of points more than half a pixel outside, which read less than half of what is inside, or 0.
        off_the_undeformed_map: The same share if all offsets were 0: anchors at the border look out, too.
        center_weight: Mean absolute weight of the anchor in the middle.
        other_weight: Mean over positions and groups of the summed absolute weights of all other anchors.
    """

    map_size: tuple[int, int]
    mean_offset_px: float
    largest_offset_px: float
    off_the_map: float
    off_the_undeformed_map: float
    center_weight: float
    other_weight: float

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for a JSON file."""
        return asdict(self)


def deformation_of(offset: Tensor, weight: Tensor, size: tuple[int, int]) -> Deformation:
    """Measure offsets (B, L, G, K, 2) in pixels and weights (B, L, G, K) on a map of `size` (H, W), L = H W."""
    offset, weight = offset.detach().float(), weight.detach().float().abs()
    length, center = offset.norm(dim=-1), weight.shape[-1] // 2

    def share_outside(points: Tensor) -> float:
        limit = points.new_tensor(size) - 0.5
        return float(((points < -0.5) | (points > limit)).any(dim=-1).float().mean())

    return Deformation(
        size,
        float(length.mean()),
        float(length.max()),
        share_outside(sampling_points(offset, size)),
        share_outside(sampling_points(torch.zeros_like(offset[:1]), size)),
        float(weight[..., center].mean()),
        float((weight.sum(-1) - weight[..., center]).mean()),
    )


@contextmanager
def watch_deformation(model: nn.Module) -> Iterator[dict[str, Deformation]]:
    """Yield a dict that each forward pass inside the block fills: the name of each DSSM layer, and what it did last.

    A layer computes its offsets once more for it; results and gradients of the model stay as they are.
    """
    seen: dict[str, Deformation] = {}

    def watch(name: str, layer: DSSM) -> Any:
        def hook(_: nn.Module, inputs: tuple[Tensor, tuple[int, int]], __: Tensor) -> None:
            x, size = inputs
            with torch.no_grad():
                seen[name] = deformation_of(*layer.sampling_arguments(x), size)

        return layer.register_forward_hook(hook)

    handles = [watch(name, layer) for name, layer in model.named_modules() if isinstance(layer, DSSM)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
