"""The set-ups and splits of DexYCB: which subjects, cameras and recordings belong where, as data.

Source: the data set's toolkit (`dex_ycb.py`), facts only. Numbers are positions: a subject's in `SUBJECTS`, a camera's
in `SERIALS`, a recording's among the 100 of its subject in the order of their names. A subject's recording number i
shows the grasp of object number i // 5, trial i % 5.
"""

from typing import NamedTuple

SUBJECTS = (
    "20200709-subject-01",
    "20200813-subject-02",
    "20200820-subject-03",
    "20200903-subject-04",
    "20200908-subject-05",
    "20200918-subject-06",
    "20200928-subject-07",
    "20201002-subject-08",
    "20201015-subject-09",
    "20201022-subject-10",
)
SERIALS = (
    "836212060125",
    "839512060362",
    "840412060917",
    "841412060263",
    "932122060857",
    "932122060861",
    "932122061900",
    "932122062010",
)
SEQUENCES_PER_SUBJECT = 100
TRIALS_PER_OBJECT = 5


class Split(NamedTuple):
    """One split of a set-up.

    Attributes:
        subjects: Positions in `SUBJECTS`.
        cameras: Positions in `SERIALS`.
        sequences: Positions among a subject's recordings.
    """

    subjects: tuple[int, ...]
    cameras: tuple[int, ...]
    sequences: tuple[int, ...]


ALL_SUBJECTS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
ALL_CAMERAS = (0, 1, 2, 3, 4, 5, 6, 7)
ALL_SEQUENCES = tuple(range(SEQUENCES_PER_SUBJECT))
LAST_TRIALS = tuple(i for i in ALL_SEQUENCES if i % TRIALS_PER_OBJECT == 4)
OTHER_TRIALS = tuple(i for i in ALL_SEQUENCES if i % TRIALS_PER_OBJECT != 4)


def _trials_of(*objects: int) -> tuple[int, ...]:
    """Return the recordings of some objects, by number in the order of recording."""
    return tuple(i for i in ALL_SEQUENCES if i // TRIALS_PER_OBJECT in objects)


SETUPS: dict[str, dict[str, Split]] = {
    "s0": {  # everything seen; val and test have the same recording numbers, but other subjects
        "train": Split(ALL_SUBJECTS, ALL_CAMERAS, OTHER_TRIALS),
        "val": Split((0, 1), ALL_CAMERAS, LAST_TRIALS),
        "test": Split((2, 3, 4, 5, 6, 7, 8, 9), ALL_CAMERAS, LAST_TRIALS),
    },
    "s1": {  # unseen subjects
        "train": Split((0, 1, 2, 3, 4, 5, 9), ALL_CAMERAS, ALL_SEQUENCES),
        "val": Split((6,), ALL_CAMERAS, ALL_SEQUENCES),
        "test": Split((7, 8), ALL_CAMERAS, ALL_SEQUENCES),
    },
    "s2": {  # unseen cameras
        "train": Split(ALL_SUBJECTS, (0, 1, 2, 3, 4, 5), ALL_SEQUENCES),
        "val": Split(ALL_SUBJECTS, (6,), ALL_SEQUENCES),
        "test": Split(ALL_SUBJECTS, (7,), ALL_SEQUENCES),
    },
    "s3": {  # unseen grasped objects
        "train": Split(ALL_SUBJECTS, ALL_CAMERAS, _trials_of(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 16, 17, 18)),
        "val": Split(ALL_SUBJECTS, ALL_CAMERAS, _trials_of(3, 19)),
        "test": Split(ALL_SUBJECTS, ALL_CAMERAS, _trials_of(7, 11, 15)),
    },
}


def get_split(setup: str, split: str) -> Split:
    """Return a split by its names, such as 's0' and 'train'.

    Raises:
        ValueError: There is no such set-up or split.

    >>> get_split("s2", "test").cameras
    (7,)
    """
    if setup not in SETUPS:
        raise ValueError(f"setup: expected one of {list(SETUPS)}, got {setup!r}")
    if split not in SETUPS[setup]:
        raise ValueError(f"split: expected one of {list(SETUPS[setup])}, got {split!r}")
    return SETUPS[setup][split]
