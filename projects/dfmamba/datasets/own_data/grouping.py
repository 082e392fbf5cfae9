"""Which hands of an image make one sample: two hands that touch, as InterHand2.6M has them, or one."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfmamba.skeleton import LEFT, RIGHT, SIDES

PAIR_CHOICES = ("touching", "always", "never")
NOBODY = -1


def group_hands(columns: Mapping[str, NDArray[Any]], pairs: str = "touching") -> NDArray[np.int64]:
    """Return the hands (S, 2) of each sample, rows of `columns` as [right, left], -1 for a hand that is not there.

    Args:
        columns: Of `parse_own_data`, N hands.
        pairs: 'touching': the right and the left hand of an image are one sample where their boxes overlap, else two.
            'always', 'never': whatever their boxes. Two hands of one side are of several persons: each hand of such an
            image is a sample of its own.

    >>> boxes = np.array([[0.0, 0, 9, 9]] * 3)
    >>> columns = {"image": np.array([0, 0, 1]), "side": np.array([0, 1, 1]), "box_xyxy": boxes}
    >>> group_hands(columns).tolist(), group_hands(columns, "never").tolist()
    ([[0, 1], [-1, 2]], [[0, -1], [-1, 1], [-1, 2]])

    Raises:
        ValueError: There is no such choice.
    """
    if pairs not in PAIR_CHOICES:
        raise ValueError(f"pairs: expected one of {PAIR_CHOICES}, got {pairs!r}")
    hands_of_image: dict[int, list[int]] = {}
    for row, image in enumerate(columns["image"].tolist()):
        hands_of_image.setdefault(image, []).append(row)
    samples: list[tuple[int, int]] = []
    for rows in hands_of_image.values():
        by_side = {int(columns["side"][row]): row for row in rows}
        is_pair = len(rows) == len(by_side) == len(SIDES) and pairs != "never"
        if is_pair and (pairs == "always" or _overlap(*(columns["box_xyxy"][row] for row in rows))):
            samples.append((by_side[RIGHT], by_side[LEFT]))
        else:
            samples += [(row, NOBODY) if columns["side"][row] == RIGHT else (NOBODY, row) for row in rows]
    return np.array(samples, dtype=np.int64).reshape(-1, len(SIDES))


def _overlap(first_xyxy: NDArray[np.floating], second_xyxy: NDArray[np.floating]) -> bool:
    """Return whether two boxes (4,) have a common area."""
    low, high = np.maximum(first_xyxy[:2], second_xyxy[:2]), np.minimum(first_xyxy[2:], second_xyxy[2:])
    return bool((low < high).all())
