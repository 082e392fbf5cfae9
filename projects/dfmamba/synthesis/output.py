"""What every writer shares: seeds, the output folder, work on several processes."""

import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from dfmamba import __version__

NOTE = "SYNTHETIC.txt"
LIST = "SYNTHETIC.files.txt"  # what a writer has written into the folder, and may delete from it
STAGE = "UNFINISHED"  # the folder in which a set grows until it is complete
STAGE_NOTE = "SYNTHETIC data that is not complete yet. The same command makes the set again.\n"
SPLITS = ("train", "val", "test")
STUDIO = "studio"  # the style that every layout has
PURPOSES = ("subject", "cameras", "frame", "picture", "plan", "sensor")  # new ones at the end: the place is a seed

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Layout:
    """An official layout that a writer imitates.

    Attributes:
        name: Its name in `tools/make_dataset.py`.
        title: Official name and version.
        splits: Which of `SPLITS` it has.
        owned: Names below the root of the folders and files that the writer makes.
        generation: Counts changes of what a seed gives; raise it whenever the same command would write other bytes.
        styles: Keys into `style.STYLES` that it can be drawn in.
    """

    name: str
    title: str
    splits: tuple[str, ...]
    owned: tuple[str, ...]
    generation: int
    styles: tuple[str, ...] = (STUDIO,)


def generator_for(seed: int, split: str, purpose: str, *numbers: int) -> np.random.Generator:
    """Return the random numbers of one item, independent of all other items and of the order of work.

    Args:
        seed: The set's seed, not negative.
        split: One of `SPLITS`.
        purpose: One of `PURPOSES`.
        numbers: Which one: a capture, a frame, a camera...
    """
    key = (SPLITS.index(split), PURPOSES.index(purpose), *numbers)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def begin_set(
    folder: Path,
    layout: Layout,
    num_images: dict[str, int],
    seed: int,
    view_spread_deg: float | None,
    overwrite: bool,
    style: str = STUDIO,
) -> tuple[dict[str, int], str] | None:
    """Check what is wanted and make the folder ready: how every writer begins. It writes into the folder `STAGE`.

    Returns:
        The images of each split that gets any, and the note for `finish_set`; None if this very set is there already.

    Raises:
        ValueError: A split is unknown or not in this layout, a count, the seed or the spread is out of range, or
            there is nothing to write.
        FileExistsError: See `prepare_folder`.
    """
    counts = {split: num_images.get(split, 0) for split in SPLITS}
    unknown = set(num_images) - set(SPLITS)
    absent = [split for split in SPLITS if counts[split] and split not in layout.splits]
    if unknown or absent or min(counts.values()) < 0 or not any(counts.values()):
        raise ValueError(
            f"num_images: expected counts for {', '.join(layout.splits)}, not negative and not all 0, got {num_images}"
        )
    if seed < 0:
        raise ValueError(f"seed: expected 0 or more, got {seed}")
    if view_spread_deg is not None and not 0 <= view_spread_deg <= 180:
        raise ValueError(f"view_spread_deg: expected 0 to 180, got {view_spread_deg}")
    if style not in layout.styles:
        raise ValueError(f"style: expected {' or '.join(layout.styles)} in the layout {layout.name}, got {style!r}")
    counts = {split: count for split, count in counts.items() if count}
    wanted = " ".join(f"--{split} {count}" for split, count in counts.items())
    if view_spread_deg is not None:
        wanted += f" --view-spread {view_spread_deg:g}"
    if style != STUDIO:
        wanted += f" --style {style}"
    note = note_text(layout, f"python tools/make_dataset.py {layout.name} --out DIR {wanted} --seed {seed}")
    if not prepare_folder(folder, note, layout, overwrite):
        return None
    return counts, note


def note_text(layout: Layout, command: str) -> str:
    """Return the text of the note at the root of a finished set; equal for equal sets."""
    return (
        f"SYNTHETIC DATA in the layout of {layout.title}. No real person, no third-party hand model.\n"
        f"Errors measured on it say nothing about errors on the real data set.\n"
        f"made by: dfmamba {__version__}, generation {layout.generation}\n"
        f"command: {command}\n"
    )


def prepare_folder(folder: Path, note: str, layout: Layout, overwrite: bool) -> bool:
    """Make an output folder ready, or find the wanted set already in it.

    Nothing in it is changed or deleted before the new set is complete, see `finish_set`.

    Args:
        folder: Root of the set.
        note: The wanted set's `note_text`.
        layout: Its layout.
        overwrite: Whether to replace a synthetic set of another layout, or to write beside other files.

    Returns:
        Whether there is something to do: False if this very set is there.

    Raises:
        FileExistsError: The folder holds something else than a synthetic set of this layout, and `overwrite` is off; or
            something that no writer has made is where the set would come.
        NotADirectoryError: The path is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"out: expected a folder, {folder} is a file")
    there = (folder / NOTE).read_text(encoding="utf-8") if (folder / NOTE).is_file() else ""
    if there == note:
        return False
    written, stage = _written(folder), folder / STAGE
    if stage.exists() and not (stage / NOTE).is_file():
        raise FileExistsError(f"out: {stage} is in the way, and not of this tool. Move it, or choose another folder.")
    others = [path for path in folder.iterdir() if path.name not in (NOTE, LIST, STAGE)] if folder.is_dir() else []
    is_same = f"in the layout of {layout.title}." in there
    if others and not is_same and not overwrite:
        what = "a synthetic set of another layout" if there or written else "other files"
        raise FileExistsError(
            f"out: expected an empty folder or an earlier synthetic set of {layout.title}, but "
            f"{folder} holds {what}, such as {sorted(others)[0].name}. Choose another folder, or "
            "add --overwrite, which deletes only what this tool has written there."
        )
    _refuse_in_the_way(folder, layout, written)
    if stage.exists():
        shutil.rmtree(stage)
    stage.mkdir(parents=True)
    (stage / NOTE).write_text(STAGE_NOTE, encoding="utf-8")
    return True


def finish_set(folder: Path, layout: Layout, note: str) -> None:
    """Put a set that is complete in its place, and delete what an earlier one has left there: how every writer ends.

    Raises:
        FileExistsError: Meanwhile something that no writer has made has come where the set belongs.
    """
    stage, old = folder / STAGE, _written(folder)
    _refuse_in_the_way(folder, layout, old)
    new = {path.relative_to(stage).as_posix() + "/" * path.is_dir() for path in stage.rglob("*")} - {NOTE}
    # At no time is something of ours there that the list does not name.
    (folder / LIST).write_text("".join(f"{name}\n" for name in sorted(old | new)), encoding="utf-8")
    (folder / NOTE).unlink(missing_ok=True)
    for name in sorted(old, reverse=True):  # what is in a folder before the folder
        path = folder / name
        if not name.endswith("/"):
            path.unlink(missing_ok=True)
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    for path in list(stage.iterdir()):
        if path.name != NOTE:
            path.rename(folder / path.name)
    shutil.rmtree(stage)
    (folder / LIST).write_text("".join(f"{name}\n" for name in sorted(new)), encoding="utf-8")
    (folder / NOTE).write_text(note, encoding="utf-8")


def _written(folder: Path) -> set[str]:
    """Return what writers have written into a folder: names relative to it, those of folders end with a slash."""
    if not (folder / LIST).is_file():
        return set()
    names = (folder / LIST).read_text(encoding="utf-8").splitlines()
    return {name for name in names if name.strip("/") and not Path(name).is_absolute() and ".." not in Path(name).parts}


def _refuse_in_the_way(folder: Path, layout: Layout, written: set[str]) -> None:
    """Refuse to write where something is that no writer has made."""
    for name in layout.owned:
        path = folder / name
        inside = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path] if path.exists() else []
        for found in inside:
            relative = found.relative_to(folder).as_posix()
            if relative not in written and f"{relative}/" not in written:
                raise FileExistsError(
                    f"out: {found} is in the way, and not on the list of what this tool has written "
                    f"({folder / LIST}). Move it, or choose another folder."
                )


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Start child processes with single-threaded numerical libraries."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def work(
    function: Callable[[Task], Result], tasks: Sequence[Task], workers: int, on_result: Callable[[Result], None]
) -> list[Result]:
    """Apply a function to every task, on several processes; return the results in the order of the tasks.

    Args:
        function: A function of a module, so that other processes find it.
        tasks: What to do.
        workers: Number of processes; 1 works in this one.
        on_result: Called in this process with each result, in order, as they come.

    Raises:
        ValueError: `workers` is less than 1.
        BrokenProcessPool: A process died.
    """
    if workers < 1:
        raise ValueError(f"workers: expected at least 1, got {workers}")
    results = []
    if workers == 1 or len(tasks) < 2:
        for task in tasks:
            results.append(function(task))
            on_result(results[-1])
        return results
    # Not a `multiprocessing.Pool`: it waits for ever when a process dies, of too little memory for example.
    executor = ProcessPoolExecutor(
        min(workers, len(tasks)), multiprocessing.get_context("spawn"), initializer=cv2.setNumThreads, initargs=(1,)
    )
    with _one_thread_each(), executor as pool:
        try:
            for result in pool.map(function, tasks, chunksize=1 if len(tasks) < 8 * workers else 4):
                results.append(result)
                on_result(result)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return results
