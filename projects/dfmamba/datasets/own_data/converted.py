"""What a converter gives: the content of a JSON file of one's own data, and what it left out."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dfmamba.datasets.own_data.json_file import write_file
from dfmamba.errors import DataError


@dataclass(frozen=True)
class Converted:
    """The content of a file.

    Attributes:
        joint_order: One of `JOINT_ORDERS`.
        unit: 'mm' or 'm'; None without depths.
        images: The entries of the images with a hand, in the form of `dfmamba.datasets.own_data.json_file`.
        left_out: Numbers of images and hands that are not in it, by reason.
    """

    joint_order: str
    unit: str | None
    images: list[dict[str, Any]]
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def num_hands(self) -> int:
        """Number of hands."""
        return sum(len(image["hands"]) for image in self.images)

    def write(self, path: Path, source: Path) -> None:
        """Write the file; `source` is named in its comment.

        Raises:
            DataError: There is no hand in it.
        """
        if not self.images:
            raise DataError(
                f"{source}: expected a hand with a labelled joint, got none: left out {dict(self.left_out)}"
            )
        write_file(path, self.joint_order, self.images, self.unit, f"converted from {source.name}")
