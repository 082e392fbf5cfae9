"""How a batch travels from a worker of a data loader to the training: in one piece."""

import io
import pickle
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import FUNCTIONS
from torch import Tensor
from torch.utils.data import get_worker_info


@FUNCTIONS.register_module()
def one_piece_collate(samples: Sequence[dict[str, Any]]) -> Any:
    """Collate as mmengine's `pseudo_collate`: dictionaries to a dictionary of lists, and images stay a list.

    A sample has some ten small tensors, and torch sends each through a file descriptor and a socket of its own: for 32
    hands that took the worker longer than reading them. Here all images travel as one tensor in shared memory, all else
    as bytes.

    Args:
        samples: What the data set gives.

    Returns:
        The batch; in a worker something that becomes the batch in the process that receives it.
    """
    batch = pseudo_collate(samples)
    return batch if get_worker_info() is None else _Parcel(batch)


class _Parcel:
    """A batch on its way: pickling is packing, unpickling gives the batch itself."""

    def __init__(self, batch: Any) -> None:
        self.batch = batch

    def __reduce__(self) -> tuple[Any, ...]:
        batch, images = self.batch, None
        inputs = batch.get("inputs") if isinstance(batch, dict) else None
        if _can_be_stacked(inputs):
            images, batch = torch.stack(inputs), {**batch, "inputs": None}
        packed = io.BytesIO()
        _TensorsAsArrays(packed, protocol=pickle.HIGHEST_PROTOCOL).dump(batch)
        return _unpack, (images, packed.getvalue())


def _can_be_stacked(images: Any) -> bool:
    """Return whether these are tensors of one shape and type."""
    if not isinstance(images, list) or not all(isinstance(image, Tensor) for image in images):
        return False
    return len({(image.shape, image.dtype) for image in images}) == 1


class _TensorsAsArrays(pickle.Pickler):
    """Pickles tensors as numpy arrays, whose bytes go into the same file."""

    def reducer_override(self, value: Any) -> Any:
        if type(value) is not Tensor:
            return NotImplemented
        try:
            return torch.from_numpy, (value.numpy(),)
        except TypeError:  # numpy has no bfloat16
            return NotImplemented


def _unpack(images: Tensor | None, packed: bytes) -> Any:
    """Return the batch again."""
    batch = pickle.loads(packed)
    if images is not None:
        batch["inputs"] = list(images)
    return batch
