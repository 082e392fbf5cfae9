"""Which recordings of DexYCB to read, and what their `meta.yml` says. Facts: the data set's toolkit."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dfmamba.datasets.dexycb.splits import SEQUENCES_PER_SUBJECT, SUBJECTS
from dfmamba.io.files import get_integer, get_key, read_yaml, shorten
from dfmamba.io.record_errors import record_error
from dfmamba.skeleton import SIDES

MAX_FRAMES = 10_000  # of a recording; the official ones have about 72


class Selection(NamedTuple):
    """Which part of the set to read, in the order of the image ids.

    Attributes:
        subjects: Names of the subjects' folders.
        serials: Serial numbers of the cameras.
        sequences: Positions among a subject's recordings, in the order of their names; those that a smaller tree does
            not have are left out.
        sequences_per_subject: How many recordings every subject must have.
    """

    subjects: tuple[str, ...]
    serials: tuple[str, ...]
    sequences: tuple[int, ...]
    sequences_per_subject: int = SEQUENCES_PER_SUBJECT


class Recording(NamedTuple):
    """One recording of a subject, seen by all cameras at once.

    Attributes:
        name: `<subject>/<recording>`, the folder.
        subject: Position in `SUBJECTS`; -1 for a folder that the official set does not have.
        number: Position among the subject's recordings.
        side: `RIGHT` or `LEFT`, the same in all frames.
        num_frames: Of each camera.
        first_image_id: Image id of the first camera's first frame.
    """

    name: str
    subject: int
    number: int
    side: int
    num_frames: int
    first_image_id: int


def list_recordings(root: Path, subject: str, count: int) -> list[str]:
    """Return the names of a subject's recordings in order; their positions decide which split they belong to.

    Raises:
        FileNotFoundError: There is no such subject.
        ValueError: There are not `count` recordings.
    """
    folder = root / subject
    if not folder.is_dir():
        raise FileNotFoundError(f"no such folder: {folder} (a subject)")
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    if len(names) != count:
        raise ValueError(
            f"{folder}: expected {count} recordings, because their numbers decide on the split, got "
            f"{len(names)}. For a part of the set, say how many with sequences_per_subject"
        )
    return names


def list_meta_files(root: Path, selection: Selection) -> list[tuple[Path, int]]:
    """Return the `meta.yml` and the position of each selected recording, in the order of the image ids.

    Empty folders only hold the place of recordings that a part of the set lacks: they are left out.

    Raises:
        FileNotFoundError: A subject's folder or a `meta.yml` does not exist.
        ValueError: A subject does not have `sequences_per_subject` recordings, no recording is left, or the selection
            names something twice.
    """
    for name in ("subjects", "serials", "sequences"):
        twice = [value for value, count in Counter(getattr(selection, name)).items() if count > 1]
        if twice:
            raise ValueError(f"{name}: expected each once, or image ids would come twice, got {twice} more often")
    files = []
    for subject in selection.subjects:
        names = list_recordings(root, subject, selection.sequences_per_subject)
        folders = [(root / subject / names[i], i) for i in selection.sequences if i < len(names)]
        files += [(folder / "meta.yml", i) for folder, i in folders if any(folder.iterdir())]
    for path, _ in files:
        if not path.is_file():
            raise FileNotFoundError(f"no such file: {path} (about a recording)")
    if not files:
        raise ValueError(
            f"{root}: expected at least one recording among the positions {selection.sequences} of "
            f"{selection.subjects}, got none"
        )
    return files


def read_recordings(root: Path, selection: Selection) -> list[Recording]:
    """Read the `meta.yml` of the selected recordings.

    Raises:
        FileNotFoundError: See `list_meta_files`.
        ValueError: See `list_meta_files`; or a `meta.yml` is no YAML of plain data, lacks a key or a selected camera,
            or has an impossible side or number of frames.
    """
    recordings: list[Recording] = []
    next_id = 0
    for path, number in list_meta_files(root, selection):
        meta, subject = read_yaml(path), path.parent.parent.name
        _check_serials(path, get_key(path, "-", meta, "serials"), selection.serials)
        num_frames = get_integer(path, "-", meta, "num_frames")
        if not 0 < num_frames <= MAX_FRAMES:
            raise record_error(path, "-", f"a 'num_frames' from 1 to {MAX_FRAMES}", num_frames)
        recordings.append(
            Recording(
                name=f"{subject}/{path.parent.name}",
                subject=SUBJECTS.index(subject) if subject in SUBJECTS else -1,
                number=number,
                side=side_of_mano(path, get_key(path, "-", meta, "mano_sides")),
                num_frames=num_frames,
                first_image_id=next_id,
            )
        )
        next_id += num_frames * len(selection.serials)
    return recordings


def count_empty(recordings: Sequence[Recording], selection: Selection) -> int:
    """Count the selected recordings whose folders are empty."""
    places = sum(i < selection.sequences_per_subject for i in selection.sequences)
    return len(selection.subjects) * places - len(recordings)


def side_of_mano(path: Path, mano_sides: object) -> int:
    """Return `RIGHT` or `LEFT` for the `mano_sides` of a recording, a list with the side of its one hand.

    Raises:
        ValueError: It is no such list.
    """
    if not isinstance(mano_sides, (list, tuple)) or len(mano_sides) != 1 or mano_sides[0] not in SIDES:
        raise record_error(path, "-", f"'mano_sides', a list with one of {SIDES}", shorten(mano_sides))
    return SIDES.index(mano_sides[0])


def _check_serials(path: Path, serials: object, wanted: Sequence[str]) -> None:
    """Refuse a recording that lacks a selected camera; serial numbers may come without quotes."""
    listed = serials if isinstance(serials, (list, tuple)) else []
    there = {str(serial) for serial in listed if isinstance(serial, (str, int))}
    missing = [serial for serial in wanted if serial not in there]
    if missing:
        raise record_error(path, "-", f"the cameras {missing} among 'serials'", shorten(serials))
