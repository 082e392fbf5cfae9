"""Run a tool as a process of its own, without the seconds in which it would import torch, mmengine and mmpose.

`run` is `subprocess.run` for a Python script. A server, one for each process of the test session, has imported what
others wrote, and nothing of this package. Each call forks it, and the child goes on as `python SCRIPT` would: with its
own folder, environment, streams and exit code. So what this package does while it is imported happens anew in each
call. What a fresh interpreter differs in, such as a library that is missing, is no matter for `run`.
"""

import atexit
import functools
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = (
    "cv2",
    "matplotlib.pyplot",
    "mmcv.ops",
    "mmdet.models",
    "mmengine.runner",
    "mmpose.apis",
    "mmpose.datasets",
    "mmpose.models",
    "scipy.spatial.transform",
    "torch",
)
# mmengine sets the second in this process, and leaves it set, where a loader has several workers.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
# Variables that no library reads while it is imported: a child takes its own. With others it is a new interpreter.
OWN = ("DFMAMBA_", "LOCAL_RANK", "MASTER_", "PYTEST_", "PYTHONPATH", "RANK", "SLURM_", "WORLD_SIZE")


def run(
    script: str | Path,
    *arguments: object,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    imports: Sequence[Path] = (),
    merge: bool = False,
    limit_s: float = 600.0,
) -> subprocess.CompletedProcess[str]:
    """Run a Python script; return its exit code (-N if signal N ended it) and what it wrote.

    Args:
        script: The file, as in `python SCRIPT`.
        arguments: Those of the script.
        cwd: Folder that it runs in, if not this one.
        env: Variables beside those of this process, one thread, and `imports`.
        imports: Folders that it finds modules in, beside projects/.
        merge: Write both streams into `stdout`.
        limit_s: After so many seconds it is killed.

    Raises:
        subprocess.TimeoutExpired: It took longer.
    """
    words = [str(script), *map(str, arguments)]
    path = os.pathsep.join(map(str, [*imports, ROOT / "projects"]))
    env = {**os.environ, **ONE_THREAD, "PYTHONPATH": path, **(env or {})}
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        streams = (out, out if merge else err)
        server, of_server = _server()
        if _of_libraries(env) == of_server:
            code = _run_in_fork(server, words, str(cwd or Path.cwd()), env, streams, limit_s)
        else:
            files = {"stdin": subprocess.DEVNULL, "stdout": streams[0], "stderr": streams[1]}
            done = subprocess.run([sys.executable, *words], cwd=cwd, env=env, timeout=limit_s, check=False, **files)
            code = done.returncode
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(words, code, out.read(), err.read())


def _of_libraries(env: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if not name.startswith(OWN)}


@functools.cache
def _server() -> tuple[socket.socket, dict[str, str]]:
    """Start the server; return the socket for its requests, and the variables that its libraries were imported with."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    env = _of_libraries({**os.environ, **ONE_THREAD})
    command = [sys.executable, __file__, str(theirs.fileno())]
    process = subprocess.Popen(
        command,
        env=env,
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # what interrupts the tests does not reach it
    )
    theirs.close()

    def stop() -> None:
        ours.close()  # it reads the end of its requests
        process.wait()

    atexit.register(stop)
    return ours, env


def _run_in_fork(
    server: socket.socket, words: list[str], cwd: str, env: dict[str, str], streams: tuple, limit_s: float
) -> int:
    reading, writing = os.pipe()
    request = json.dumps({"words": words, "cwd": cwd, "env": env}).encode()
    socket.send_fds(server, [request], [streams[0].fileno(), streams[1].fileno(), writing])
    os.close(writing)
    with os.fdopen(reading) as reply:
        group = int(reply.readline())
        try:
            if not select.select([reply], [], [], limit_s)[0]:
                raise subprocess.TimeoutExpired(words, limit_s)
            return int(reply.readline())
        except BaseException:
            os.killpg(group, signal.SIGKILL)
            reply.readline()
            raise


# ---- in the server


def _serve(requests: socket.socket) -> None:
    """Wait for requests, and run each in a child, until there are no more."""
    children = 0
    while True:
        message, handles, _, _ = socket.recv_fds(requests, 2**20, 3)
        while children and os.waitpid(-1, os.WNOHANG if message else 0)[0]:
            children -= 1
        if not message:
            return
        if os.fork() == 0:
            requests.close()
            *streams, reply = handles
            _keep(json.loads(message), streams, reply)
            return
        children += 1
        for handle in handles:
            os.close(handle)


def _keep(request: dict, streams: list[int], reply: int) -> None:
    """Run a request in a child of this process, and reply the child's number and its exit code, a line each."""
    child = os.fork()
    if child == 0:
        os.close(reply)
        _become(**request, streams=streams)
        return
    os.setpgid(child, child)
    os.write(reply, f"{child}\n".encode())
    _, status = os.waitpid(child, 0)
    os.write(reply, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _become(words: list[str], cwd: str, env: dict[str, str], streams: list[int]) -> None:
    """Go on as `python SCRIPT ARGUMENTS`; an exit or an error of the script goes through to the interpreter."""
    import numpy as np

    os.setpgid(0, 0)  # a group of its own, which can be killed with all that it starts
    for number, handle in enumerate([os.open(os.devnull, os.O_RDONLY), *streams]):
        os.dup2(handle, number)
        os.close(handle)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = words
    sys.path[:0] = [str(Path(words[0]).parent), *filter(None, env["PYTHONPATH"].split(os.pathsep))]
    np.random.seed()  # noqa: NPY002, or its numbers would be the same in each child
    runpy.run_path(words[0], run_name="__main__")


def _main() -> None:
    del sys.path[0]  # the folder of this file
    for name in LIBRARIES:
        import_module(name)
    import torch

    # What a fork does not take along, or shares with its parent.
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "threads before the fork"
    assert not torch.cuda.is_initialized()
    assert "dfmamba" not in sys.modules
    gc.freeze()  # or each child would copy the memory of all objects when it looks for cycles
    _serve(socket.socket(fileno=int(sys.argv[1])))


if __name__ == "__main__":
    _main()
