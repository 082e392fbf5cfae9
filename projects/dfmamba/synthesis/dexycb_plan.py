"""Which recordings of DexYCB the writer draws: subjects, positions, hands, numbers of frames.

The names and rules are those of the data set's toolkit. A subject's recording number i, in the order of the names,
shows trial i % 5 of grasping object i // 5; s0 takes a trial for `val` (subjects 0, 1) and `test` (the others).
"""

from dataclasses import dataclass
from pathlib import Path

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
RECORDINGS, TRIALS = 100, 5  # of a subject; recording 5 k + t is trial t of grasping object k
# Subjects and trials of s0's splits. The first recordings are in all splits of s1 (by subject) and of s3 (by object).
SUBJECT_ORDER = {"train": (0, 6, 7, 2, 8, 1, 3, 4, 5, 9), "val": (0, 1), "test": (7, 2, 8, 3, 4, 5, 6, 9)}
TRIALS_OF = {"train": (0, 1, 2, 3), "val": (4,), "test": (4,)}
OBJECT_ORDER = (0, 3, 7, 1, 19, 11, 2, 4, 15, 5, 6, 8, 9, 10, 12, 13, 14, 16, 17, 18)
MIN_RECORDINGS, FRAMES_PER_RECORDING = 3, 4


@dataclass(frozen=True)
class Recording:
    """One recording to draw.

    Attributes:
        seed: Of the whole set.
        folder: Root of the set.
        split: Of s0.
        subject: Position in `SUBJECTS`.
        position: Among the subject's recordings.
        num_frames: Frames that each camera sees.
        view_spread_deg: See `write_dexycb`.
    """

    seed: int
    folder: Path
    split: str
    subject: int
    position: int
    num_frames: int
    view_spread_deg: float | None

    @property
    def name(self) -> str:
        """Name of its folder below the subject's; the order of the names is that of the positions."""
        return recording_name(self.subject, self.position)

    @property
    def side(self) -> int:
        """The hand that grasps, `RIGHT` or `LEFT`."""
        return (self.position + self.subject) % 2


def recording_name(subject: int, position: int) -> str:
    """Return the name of a recording's folder: date and time; the order of names is that of the positions."""
    return f"{SUBJECTS[subject][:8]}_{9 + position // 60:02d}{position % 60:02d}00"


def plan_split(folder: Path, seed: int, split: str, num_images: int, view_spread_deg: float | None) -> list[Recording]:
    """Lay out the recordings of one split of s0, with `num_images` views in all: 8 of each frame."""
    subjects, trials = SUBJECT_ORDER[split], TRIALS_OF[split]
    frames = num_images // len(SERIALS)
    count = min(
        max(min(frames, MIN_RECORDINGS), -(-frames // FRAMES_PER_RECORDING)),
        len(subjects) * len(OBJECT_ORDER) * len(trials),
    )
    recordings = []
    for number in range(count):
        row, column = divmod(number, len(subjects))
        obj = OBJECT_ORDER[(row + column) % len(OBJECT_ORDER)]
        position = TRIALS * obj + trials[row // len(OBJECT_ORDER)]
        recordings.append(
            Recording(
                seed,
                folder,
                split,
                subjects[column],
                position,
                frames // count + (number < frames % count),
                view_spread_deg,
            )
        )
    return recordings
