"""What every writer shares: seeds, the output folder, work on several processes."""

import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from dfmamba import __version__

NOTE = "SYNTHETIC.txt"
UNFINISHED = "UNFINISHED: the run that wrote here did not end. The same command makes the set anew.\n"
# Counts changes of what a seed gives; raise it whenever the same command would write other bytes.
GENERATION = 2
SPLITS = ("train", "val", "test")
PURPOSES = ("subject", "cameras", "frame", "picture", "plan")

Task = TypeVar("Task")
Result = TypeVar("Result")


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


def note_text(layout: str, command: str) -> str:
    """Return the text of the note at the root of a finished set; equal for equal sets."""
    return (
        f"SYNTHETIC DATA in the layout of {layout}. No real person, no third-party hand model.\n"
        f"Errors measured on it say nothing about errors on the real data set.\n"
        f"made by: dfmamba {__version__}, generation {GENERATION}\n"
        f"command: {command}\n"
    )


def prepare_folder(folder: Path, note: str, owned: Sequence[str], overwrite: bool) -> bool:
    """Make an output folder ready, or find the wanted set already in it.

    Args:
        folder: Root of the set.
        note: The wanted set's `note_text`.
        owned: Names of the folders below the root that the writer fills; old ones are deleted.
        overwrite: Whether to replace these folders even where no earlier synthetic set is.

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
        shutil.rmtree(folder / name, ignore_errors=True)
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
    """
    if workers < 1:
        raise ValueError(f"workers: expected at least 1, got {workers}")
    results = []
    if workers == 1 or len(tasks) < 2:
        for task in tasks:
            results.append(function(task))
            on_result(results[-1])
        return results
    context = multiprocessing.get_context("spawn")
    with _one_thread_each(), context.Pool(min(workers, len(tasks)), cv2.setNumThreads, (1,)) as pool:
        for result in pool.imap(function, tasks, chunksize=1 if len(tasks) < 8 * workers else 4):
            results.append(result)
            on_result(result)
    return results
