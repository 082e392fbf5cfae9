"""Joints of a video without the trembling: the One-Euro filter.

Source: Casiez, Roussel, Vogel, 1 Euro Filter: A Simple Speed-based Low-pass Filter for Noisy Input in Interactive
Systems (CHI 2012): a low-pass filter whose cutoff frequency rises with the speed, so that still hands do not tremble
and quick ones do not lag.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfmamba.apis.results import Array, Detection, HandJoints, PictureHands

FIELDS = ("keypoints_px", "depth_mm", "keypoints_mm", "keypoints_cam_mm")


@dataclass(frozen=True)
class OneEuro:
    """The filter's settings.

    Attributes:
        min_cutoff_hz: Cutoff frequency of what stands still: smaller trembles less.
        beta: How fast the cutoff rises with the speed, Hz for one px/s or mm/s: larger lags less.
        speed_cutoff_hz: Cutoff frequency of the speed itself.
    """

    min_cutoff_hz: float = 1.0
    beta: float = 0.01
    speed_cutoff_hz: float = 1.0


class OneEuroFilter:
    """The filter of one array of coordinates, each number on its own.

    Args:
        settings: See `OneEuro`.
    """

    def __init__(self, settings: OneEuro) -> None:
        self.settings = settings
        self._time_s = 0.0
        self._value: NDArray[np.float64] | None = None
        self._speed: NDArray[np.float64] | float = 0.0

    def __call__(self, values: Array, time_s: float) -> Array:
        """Return the smoothed values at a time after that of the call before; the first ones are unchanged."""
        if self._value is None:
            self._value = values.astype(np.float64)
        else:
            step_s = max(time_s - self._time_s, 1e-6)
            speed = (values - self._value) / step_s
            self._speed += _share(self.settings.speed_cutoff_hz, step_s) * (speed - self._speed)
            cutoff_hz = self.settings.min_cutoff_hz + self.settings.beta * np.abs(self._speed)
            self._value = self._value + _share(cutoff_hz, step_s) * (values - self._value)
        self._time_s = time_s
        return self._value.astype(np.float32)


def _share(cutoff_hz: NDArray[np.float64] | float, step_s: float) -> NDArray[np.float64] | float:
    """Return the share of the new value in a low-pass filter."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff_hz * step_s))


class HandSmoother:
    """Smooths the hands of a video, each side on its own; one that was not in the frame before starts again.

    Args:
        settings: See `OneEuro`.
    """

    def __init__(self, settings: OneEuro) -> None:
        self.settings = settings
        self._filters: dict[tuple[str | None, str], OneEuroFilter] = {}

    def __call__(self, found: PictureHands) -> PictureHands:
        """Return a frame with smoothed hands; other pictures, and those with several boxes, as they are."""
        if found.picture.time_s is None or len(found.detections) != 1:
            self._filters.clear()
            return found
        if not found.picture.is_frame:
            self._filters.clear()
        (detection,) = found.detections
        sides = {hand.side for hand in detection.hands}
        self._filters = {key: one for key, one in self._filters.items() if key[0] in sides}
        hands = tuple(self._smooth(hand, found.picture.time_s) for hand in detection.hands)
        return replace(found, detections=(Detection(detection.box, detection.score, hands),))

    def _smooth(self, hand: HandJoints, time_s: float) -> HandJoints:
        changes: dict[str, Any] = {}
        for name in FIELDS:
            if (values := getattr(hand, name)) is not None:
                one = self._filters.setdefault((hand.side, name), OneEuroFilter(self.settings))
                changes[name] = one(values, time_s)
        return replace(hand, **changes)
