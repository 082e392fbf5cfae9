"""The errors that are the user's to mend, and how a tool ends: one message and an exit code.

Needs the standard library only, so that every part of the package may raise these errors and every tool may use them.
"""

import os
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

PACKAGE = str(Path(__file__).parent) + os.sep
EXIT_FAILED, EXIT_USER_ERROR, EXIT_INTERRUPTED = 1, 2, 130  # the last one as shells have it: 128 + SIGINT


class UserError(ValueError):
    """A mistake in a config, an option or the data; the message says what was expected, what came, where to look."""


class DataError(UserError):
    """A file of a data set or a result file is faulty; the message names file and record.

    Takes the whole message as its one argument: so it survives pickling, and a data loader's worker process can hand it
    to the main process.
    """


class StoppedError(Exception):
    """A tool was asked to stop, and has done so in good order.

    Attributes:
        exit_code: Of the tool, see `run_tool`.
    """

    exit_code = EXIT_INTERRUPTED


def run_tool(name: str, work: Callable[[], int | None], debug: bool = False) -> None:
    """Call `work`; leave with its exit code unless that is 0 or None. `message_for_user` decides what an error shows.

    Exit codes: 0 all is well; 1 a check found something, or the tool has a bug (with a traceback); 2 the user's
    mistake, told in one message on stderr as `name: message`; 130 interrupted, or 128 plus the number of the signal
    that stopped it.

    Args:
        name: Of the tool, such as `tools/train.py`.
        work: What it does.
        debug: Show the traceback in any case. The environment variable `DFMAMBA_TRACEBACK=1` does so, too.
    """
    try:
        code = work()
    except KeyboardInterrupt:
        _say(f"{name}: interrupted")
        sys.exit(EXIT_INTERRUPTED)
    except StoppedError as stop:
        _say(f"{name}: {stop}")
        sys.exit(stop.exit_code)
    except BrokenPipeError:  # whoever read our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would complain while it ends
        sys.exit(EXIT_FAILED)
    except Exception as error:
        message = message_for_user(error)
        if message is None or debug or os.environ.get("DFMAMBA_TRACEBACK"):
            raise
        _say(f"{name}: {message}")
        sys.exit(EXIT_USER_ERROR)
    if code:
        sys.exit(code)


def _say(text: str) -> None:
    sys.stdout.flush()  # in a log that has both, the message stays the last
    sys.stderr.write(text + "\n")


def message_for_user(error: BaseException) -> str | None:
    """Return the one message of an error that the user can mend, or None for a bug, which needs its traceback.

    The user's are, in the main process and in a data loader's worker alike:

    - `UserError` and its kinds, and every `ValueError` and `TypeError` that a `raise` statement of this package raises:
      they are our checks;
    - `OSError`: the system's word on files: missing, a folder, not permitted, read-only, disk full;
    - out of memory: `MemoryError`, torch's own, and a worker process that the system has ended;
    - `ModuleNotFoundError` for another package than ours: the environment is not complete.

    Every other error is a bug of ours or of a library: a case that our checks did not foresee.
    """
    text = _original_message(error)
    if isinstance(error, UserError) or _is_check_of_ours(error):
        return text
    if isinstance(error, OSError):
        return _describe_os_error(text) or type(error).__name__
    if _is_out_of_memory(error):
        reason = text.splitlines()[0] if text else type(error).__name__
        return f"out of memory: {reason}. Try a smaller batch_size, or fewer num_workers."
    if _is_dead_worker(error):
        return (
            f"a worker process died: {text.splitlines()[0]} Most often the system ended it for lack of memory: "
            "try fewer workers (train_dataloader.num_workers, or --workers) or a smaller batch_size."
        )
    if isinstance(error, ModuleNotFoundError) and error.name and error.name.split(".")[0] != "dfmamba":
        return (
            f"{text}. In a clone: run `make setup` once, start with .venv/bin/python; `tools/env_check.py` tells what "
            "is missing. In an environment of your own, see the README, where it says which versions work together."
        )
    return None


_OF_WORKER = re.compile(r"Caught \w+ in .*\.\nOriginal Traceback \(most recent call last\):\n")
_NEXT_IN_CHAIN = re.compile(
    r"\n\n(?:The above exception was the direct cause of the following exception|"
    r"During handling of the above exception, another exception occurred):\n\n"
    r"Traceback \(most recent call last\):\n"
)
_FRAME = re.compile(r'  File "(.*)", line \d+, in .*\n    (.*)')  # the place in a file, and the code there
_FROM_REGISTRY = re.compile(r"class `\w+` in [\w./-]+\.py: ")


def _original_message(error: BaseException) -> str:
    """Return an error's message as it was before others wrapped it.

    A worker process has the type in front of it, and mmengine's registries put the class and its file there.
    """
    text = str(error)
    if _OF_WORKER.match(text):
        text = re.sub(r"^[\w.<>]+(?:: |$)", "", _split_worker_text(text)[1], count=1)
    return _FROM_REGISTRY.sub("", text, count=1) if _FROM_REGISTRY.match(text) else text


def _split_worker_text(text: str) -> tuple[str, str]:
    """Return the stack and the error of a worker process, both as text.

    torch raises such an error again with the worker's whole traceback as its message, see
    `torch._utils.ExceptionWrapper`. The lines of the stack are indented, the first one that is not begins the error.
    """
    lines = _NEXT_IN_CHAIN.split(_OF_WORKER.sub("", text, count=1))[-1].splitlines()
    number = next((number for number, line in enumerate(lines) if not line.startswith(" ")), len(lines))
    return "\n".join(lines[:number]), "\n".join(lines[number:])


def _is_check_of_ours(error: BaseException) -> bool:
    """Say whether a `raise` statement of this package raised a ValueError or TypeError."""
    if not isinstance(error, ValueError | TypeError):
        return False
    if _FROM_REGISTRY.match(str(error)) and error.__context__ is not None:
        return _is_check_of_ours(error.__context__)
    if _OF_WORKER.match(str(error)):
        places = _FRAME.findall(_split_worker_text(str(error))[0])
    else:
        places = [(frame.filename, frame.line or "") for frame in traceback.extract_tb(error.__traceback__)]
    return bool(places) and places[-1][0].startswith(PACKAGE) and places[-1][1].startswith("raise ")


_OF_SYSTEM = re.compile(r"\[Errno \d+\] (?P<reason>[^:]*)(?:: '(?P<path>.*)')?", re.DOTALL)


def _describe_os_error(text: str) -> str:
    """Return `path: reason` where the system raised the error; else our own message.

    >>> _describe_os_error("[Errno 2] No such file or directory: 'a.json'")
    'a.json: No such file or directory'
    """
    found = _OF_SYSTEM.fullmatch(text)
    if not found:
        return text
    return f"{found['path']}: {found['reason']}" if found["path"] else found["reason"]


def _is_out_of_memory(error: BaseException) -> bool:
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))
    )  # torch's allocator of the CPU


def _is_dead_worker(error: BaseException) -> bool:
    return type(error).__name__ == "BrokenProcessPool" or (
        isinstance(error, RuntimeError) and re.match(r"DataLoader worker \(pid", str(error)) is not None
    )
