"""What all tests share. It imports nothing but pytest: the operators' tests also run where there is torch alone."""

import gc
import logging
import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Tests, and the programs that they start, keep their annotation indices away from the user's."""
    before = os.environ.get("DFMAMBA_CACHE_DIR")
    os.environ["DFMAMBA_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["DFMAMBA_CACHE_DIR"]
    else:
        os.environ["DFMAMBA_CACHE_DIR"] = before


@pytest.fixture(scope="session")
def synthetic_set(tmp_path_factory):
    """Return a function that gives the folder of a small SYNTHETIC set, by the name of its data set.

    It is drawn once in a run, whichever process needs it first, and for reading only.
    """
    counts = {
        "interhand26m": {"train": 2, "val": 2, "test": 3},
        "rhp": {"train": 2, "test": 2},
        "nyu": {"train": 2, "test": 1},
        "dexycb": {"train": 8, "val": 8, "test": 8},
        "assemblyhands": {"train": 2, "val": 2},
        "own_data": {"train": 2, "test": 2},
    }
    of_worker = tmp_path_factory.getbasetemp()
    of_run = of_worker.parent if "PYTEST_XDIST_WORKER" in os.environ else of_worker

    def folder_of(name):
        from filelock import FileLock

        from dfmamba.datasets.spec import data_set

        folder = of_run / "synthetic" / name
        folder.parent.mkdir(exist_ok=True)
        with FileLock(f"{folder}.lock"):  # the writers do nothing where their set is there already
            data_set(name).write(folder, counts[name], seed=0, view_spread_deg=30)
        return folder

    return folder_of


@pytest.fixture
def log(caplog):
    """Catch what goes to mmengine's logger, which does not propagate."""
    from mmengine.logging import MMLogger

    logger = MMLogger.get_current_instance()
    level = logger.level  # a tool that another test called may have made it quiet
    logger.addHandler(caplog.handler)
    logger.setLevel(logging.INFO)
    yield caplog
    logger.setLevel(level)
    logger.removeHandler(caplog.handler)


def pytest_collection_modifyitems(items):
    """Begin with the files that have slow tests: at the end, quick ones leave no process waiting for the other."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish():
    """Spare the collector of cycles what the imports have left, which stays: half a million objects at each search."""
    gc.collect()
    gc.freeze()
