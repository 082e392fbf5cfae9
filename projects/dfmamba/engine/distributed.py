"""Several processes for one training or test, with GPUs or without, and one voice for all of them.

mmengine's launchers take a GPU for each process. Without GPUs the process group is made here, with gloo.
"""

import gc
import os
import re
import sys
import time
from collections.abc import Callable
from datetime import timedelta

import torch
from mmengine.config import Config
from torch import distributed

from dfmamba.engine.errors import ConfigError
from dfmamba.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USER_ERROR, StoppedError, message_for_user

TIMEOUT_S = 600  # for one exchange; indexing a million records takes a minute
VARIABLES = {  # of each launcher: rank, number of processes, rank on this machine
    "pytorch": ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    "slurm": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
    "mpi": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
}
TELLING_S = 1.0  # in this time a message gets out of a process, before another one ends the run


def join_processes(config: Config) -> None:
    """Make this process one of several, if `config.launcher` says so; with GPUs that is left to mmengine's runner.

    Without GPUs the model is wrapped without device ids. Seconds to wait for another process are
    `env_cfg.dist_cfg.timeout`, else `TIMEOUT_S`.

    Raises:
        ConfigError: The launcher's variables are not there, there are fewer GPUs than processes, or the config wants
            what only GPUs can do.
    """
    launcher = config.get("launcher", "none")
    if launcher == "none" or distributed.is_initialized():
        return
    rank, world_size, local_rank = (os.environ.get(name) for name in VARIABLES[launcher])
    if rank is None or world_size is None or (launcher == "pytorch" and "MASTER_ADDR" not in os.environ):
        raise ConfigError(
            f"--launcher {launcher}: expected the environment variables {', '.join(VARIABLES[launcher])} "
            "of a launcher, got none. "
            + (
                "Start with: torchrun --nproc_per_node=2 tools/train.py CONFIG --launcher pytorch"
                if launcher == "pytorch"
                else "Is this run started by srun or mpirun?"
            )
        )
    settings = {"timeout": TIMEOUT_S, **((config.get("env_cfg") or {}).get("dist_cfg") or {})}
    config.merge_from_dict({"env_cfg.dist_cfg": settings})
    if torch.cuda.is_available():
        if int(local_rank or 0) >= torch.cuda.device_count():
            raise ConfigError(
                f"--launcher {launcher}: expected a GPU for each process on this machine, got process "
                f"{int(local_rank or 0) + 1} and {torch.cuda.device_count()} GPUs"
            )
        return
    if config.get("sync_bn"):
        raise ConfigError("sync_bn: batch norms over several processes need GPUs, torch sees none")
    if launcher != "pytorch" and not {"MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys():
        raise ConfigError(
            f"--launcher {launcher}: without GPUs, expected the environment variables MASTER_ADDR and "
            "MASTER_PORT, the first process's machine and a free port there"
        )
    os.environ.update(RANK=rank, WORLD_SIZE=world_size, LOCAL_RANK=local_rank or "0")
    config.merge_from_dict({"env_cfg.dist_cfg.backend": "gloo"})
    wrapper = config.get("model_wrapper_cfg") or {
        "type": "MMDistributedDataParallel",
        "broadcast_buffers": False,
        "find_unused_parameters": config.get("find_unused_parameters", False),
    }
    config.model_wrapper_cfg = {**wrapper, "device_ids": None}
    distributed.init_process_group("gloo", timeout=timedelta(seconds=settings["timeout"]))


def one_voice(name: str, work: Callable[[], None]) -> None:
    """Call `work` as one of several processes, or as the only one.

    Of processes that find a mistake of the user's, the first one tells it; the others leave with the exit code in
    silence. Of those that lose another process, one says so in one line, and all leave with exit code 1.

    Args:
        name: Of the tool, for messages.
        work: What it does.
    """
    try:
        work()
    except KeyboardInterrupt:
        if os.environ.get("RANK", "0") != "0":
            sys.exit(EXIT_INTERRUPTED)
        raise
    except StoppedError as stop:
        _leave_unless_first("told", stop.exit_code)
        raise
    except Exception as error:
        if _has_lost_another(error):
            _leave_unless_first("lost", EXIT_FAILED)
            sys.exit(
                f"{name}: process {os.environ.get('RANK')} lost contact to another process of this run, which has "
                "ended, and may have said why, or did not answer in time"
            )
        if message_for_user(error) is not None:
            _leave_unless_first("told", EXIT_USER_ERROR)
        raise
    leave_processes()


def leave_processes() -> None:
    """Give up the process group, if there is one, at the end of a run; gloo aborts a process that ends with one.

    The model's wrapper has the group, too, and frees it with Python's lock held. gloo then waits for its threads, and
    one of them may wait for that lock, to drop the tensors of its last exchange. `group` is freed without the lock, so
    it has to be the last one.
    """
    if distributed.is_initialized():
        group = distributed.group.WORLD
        distributed.destroy_process_group()
        gc.collect()
        del group


_OF_CONNECTION = re.compile(r"gloo|NCCL|Connection (closed|reset)|Broken pipe|recvValue|TCPStore", re.IGNORECASE)


def _has_lost_another(error: Exception) -> bool:
    """Say whether an error comes from the exchange between processes; gloo raises plain RuntimeErrors."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return False
    return isinstance(error, distributed.DistError) or (
        type(error) is RuntimeError and _OF_CONNECTION.search(str(error).split("\nOriginal")[0]) is not None
    )


def _leave_unless_first(what: str, exit_code: int) -> None:
    """Leave if another process of this run has been here already; return where that cannot be known."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return
    try:
        if distributed.is_initialized():
            store = distributed.distributed_c10d._get_default_store()
        elif os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":  # torchrun's own store, there from the start
            store = distributed.PrefixStore(
                "default_pg",
                distributed.TCPStore(
                    os.environ["MASTER_ADDR"],
                    int(os.environ["MASTER_PORT"]),
                    is_master=False,
                    timeout=timedelta(seconds=5),
                ),
            )
        else:
            return
        is_first = store.add(f"dfmamba/{what}", 1) == 1
    except (RuntimeError, ValueError, KeyError):  # the process that has the store may be gone
        return
    if not is_first:
        time.sleep(TELLING_S)  # the end of this process ends the one that tells
        sys.exit(exit_code)
