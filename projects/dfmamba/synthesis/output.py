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
UNFINISHED = "UNFINISHED: the run that wrote here did not end. The same command makes the set anew.\n"
SPLITS = ("train", "val", "test")
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
        owned: Names below the root of the folders and files that the writer makes; old ones are deleted.
        generation: Counts changes of what a seed gives; raise it whenever the same command would write other bytes.
    """

    name: str
    title: str
    splits: tuple[str, ...]
    owned: tuple[str, ...]
    generation: int


def generator_for(seed: int, split: str, purpose: str, *numbers: int) -> np.random.Generator:
    """Return the random numbers of one thing, independent of every other thing and of the order of work.

    Args:
        seed: The set's seed, not negative.
        split: One of `SPLITS`.
        purpose: One of `PURPOSES`.
        numbers: Which one: a capture, a frame, a camera...
    """
    key = (SPLITS.index(split), PURPOSES.index(purpose), *numbers)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def begin_set(folder: Path, layout: Layout, num_images: dict[str, int], seed: int, view_spread_deg: float | None,
              overwrite: bool) -> tuple[dict[str, int], str] | None:
    """Check what is wanted and make the folder ready: how every writer begins.

    Returns:
        The images of each split that gets any, and the note to write to `NOTE` when all is done; None if this very
        set is there already.

    Raises:
        ValueError: A split is unknown or not in this layout, a count, the seed or the spread is negative, or there is
            nothing to write.
        FileExistsError: See `prepare_folder`.
    """
    counts = {split: num_images.get(split, 0) for split in SPLITS}
    unknown = set(num_images) - set(SPLITS)
    absent = [split for split in SPLITS if counts[split] and split not in layout.splits]
    if unknown or absent or min(counts.values()) < 0 or not any(counts.values()):
        raise ValueError(f"num_images: expected counts for {', '.join(layout.splits)}, not negative and not all 0, "
                         f"got {num_images}")
    if seed < 0:
        raise ValueError(f"seed: expected 0 or more, got {seed}")
    if view_spread_deg is not None and view_spread_deg < 0:
        raise ValueError(f"view_spread_deg: expected 0 or more, got {view_spread_deg}")
    counts = {split: count for split, count in counts.items() if count}
    wanted = " ".join(f"--{split} {count}" for split, count in counts.items())
    if view_spread_deg is not None:
        wanted += f" --view-spread {view_spread_deg:g}"
    note = note_text(layout, f"python tools/make_dataset.py {layout.name} --out DIR {wanted} --seed {seed}")
    if not prepare_folder(folder, note, layout.owned, overwrite):
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


def prepare_folder(folder: Path, note: str, owned: Sequence[str], overwrite: bool) -> bool:
    """Make an output folder ready, or find the wanted set already in it.

    Args:
        folder: Root of the set.
        note: The wanted set's `note_text`.
        owned: Names of the folders and files below the root that the writer makes; old ones are deleted.
        overwrite: Whether to replace these even where no earlier synthetic set is.

    Returns:
        Whether there is something to do: False if this very set is there.

    Raises:
        FileExistsError: The folder holds something that is no synthetic set, and `overwrite` is off.
        NotADirectoryError: The path is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"out: expected a folder, {folder} is a file")
    note_file = folder / NOTE
    if note_file.is_file():
        if note_file.read_text(encoding="utf-8") == note:
            return False
    elif folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise FileExistsError(
            f"out: expected an empty folder or an earlier synthetic set (one with {NOTE}), but {folder} holds other "
            f"files. Choose another folder, or add --overwrite, which deletes {', '.join(owned)} there.")
    folder.mkdir(parents=True, exist_ok=True)
    note_file.write_text(UNFINISHED, encoding="utf-8")
    for name in owned:
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)
        else:
            (folder / name).unlink(missing_ok=True)
    return True


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


def work(function: Callable[[Task], Result], tasks: Sequence[Task], workers: int,
         on_result: Callable[[Result], None]) -> list[Result]:
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
    executor = ProcessPoolExecutor(min(workers, len(tasks)), multiprocessing.get_context("spawn"),
                                   initializer=cv2.setNumThreads, initargs=(1,))
    with _one_thread_each(), executor as pool:
        try:
            for result in pool.map(function, tasks, chunksize=1 if len(tasks) < 8 * workers else 4):
                results.append(result)
                on_result(result)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return results
